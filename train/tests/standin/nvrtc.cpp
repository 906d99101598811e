// A stand-in for NVRTC: it takes the one source that the driver's stand-in was built from, with the options that the product
// must give, and says which of its two forms was asked for.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "standin.h"

// The source, as the compiler of this file read it.
__asm__(".section .rodata\n.global source_begin\nsource_begin:\n.incbin \"" KERNELS_PATH "\"\n.byte 0\n.previous");
extern "C" const char source_begin[] __attribute__((visibility("hidden")));

namespace {
struct Program {
    std::string source, log, binary, ptx;
};
// Of the real compiler of CUDA 13.0.
const int KNOWN[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
enum { SUCCESS = 0, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6 };
}  // namespace

extern "C" {

int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, SUCCESS; }
int nvrtcGetNumSupportedArchs(int *count) { return *count = int(std::size(KNOWN)), SUCCESS; }
int nvrtcGetSupportedArchs(int *known) { return std::copy(std::begin(KNOWN), std::end(KNOWN), known), SUCCESS; }
int nvrtcCreateProgram(Program **program, const char *source, const char *, int headers, const char *const *,
                       const char *const *) {
    if (!source || headers != 0) return INVALID_INPUT;
    return *program = new Program{source, "", "", ""}, SUCCESS;
}
int nvrtcDestroyProgram(Program **program) { return delete *program, *program = nullptr, SUCCESS; }
int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
    // The device's own code, or for one that is not known, what the driver translates.
    auto known = std::upper_bound(std::begin(KNOWN), std::end(KNOWN), standin::capability()) - 1;
    bool is_known = *known == standin::capability();
    const std::string architecture =
        std::string("--gpu-architecture=") + (is_known ? "sm_" : "compute_") + std::to_string(*known);
    std::string form = "float32";
    bool for_device = false, without_fusing = false;
    for (int option = 0; option < count; ++option) {
        std::string text = options[option];
        if (text == architecture) for_device = true;
        else if (text == "--fmad=false") without_fusing = true;
        else if (text == "--define-macro=BFLOAT16") form = "bfloat16";
        else if (text != "--std=c++17") return program->log = "unknown option " + text, INVALID_OPTION;
    }
    if (!for_device || !without_fusing) return program->log = "an option is missing", INVALID_OPTION;
    if (program->source != source_begin) return program->log = "another source", COMPILATION;
    return (is_known ? program->binary : program->ptx) = "stand-in code: " + form, SUCCESS;
}
int nvrtcGetProgramLogSize(Program *program, size_t *bytes) { return *bytes = program->log.size() + 1, SUCCESS; }
int nvrtcGetProgramLog(Program *program, char *log) { return memcpy(log, program->log.c_str(), program->log.size() + 1), SUCCESS; }
int nvrtcGetCUBINSize(Program *program, size_t *bytes) { return *bytes = program->binary.size() + 1, SUCCESS; }
int nvrtcGetPTXSize(Program *program, size_t *bytes) { return *bytes = program->ptx.size() + 1, SUCCESS; }
int nvrtcGetPTX(Program *program, char *ptx) { return memcpy(ptx, program->ptx.c_str(), program->ptx.size() + 1), SUCCESS; }
int nvrtcGetCUBIN(Program *program, char *binary) {
    return memcpy(binary, program->binary.c_str(), program->binary.size() + 1), SUCCESS;
}

}  // extern "C"
