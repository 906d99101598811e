// A stand-in for libcuda: one pretended device, whose memory is the host's.
//
// Memory is poisoned when it is taken (every float is then no number), ends at a page that nobody may touch, and what little
// lies between is looked at when it is freed. STANDIN_... variables of the environment say how the device is, and when it
// fails.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels.h"
#include "standin.h"

namespace {

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NOT_FOUND = 500,
    LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900,
};

using Work = std::function<void()>;

// An event may still name a stream that was destroyed.
struct Stream : std::enable_shared_from_this<Stream> {
    std::deque<Work> queue;
    std::unique_ptr<std::vector<Work>> recording;
};
struct Event {
    std::shared_ptr<Stream> stream;
    uint64_t recorded = 0, reached = 0;
};
struct Memory {
    char *mapping;
    size_t mapped, bytes;
    bool is_device;
};
using Graph = std::vector<Work>;

constexpr size_t PAGE = 4096, ALIGNMENT = 256;
constexpr unsigned char POISON = 0xff, CANARY = 0xa5;

std::map<char *, Memory> memories;
std::vector<std::shared_ptr<Stream>> streams;
size_t taken = 0, taken_by_others = 0;
int failure = SUCCESS;
long long kernels_run = 0;
thread_local bool has_context = false;
thread_local int recordings = 0;  // That this thread is making.

size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

void on_bad_access(int, siginfo_t *info, void *) {
    char text[128];
    int length = snprintf(text, sizeof text, "stand-in: access outside of memory at %p\n", info->si_addr);
    if (write(2, text, size_t(length)) < 0) _exit(1);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

char *take(size_t bytes, bool is_device) {
    size_t mapped = rounded(bytes, ALIGNMENT);
    mapped = rounded(mapped, PAGE) + 2 * PAGE;
    char *mapping = static_cast<char *>(mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (mapping == MAP_FAILED) return nullptr;
    mprotect(mapping + PAGE, mapped - 2 * PAGE, PROT_READ | PROT_WRITE);
    char *place = mapping + mapped - PAGE - rounded(bytes, ALIGNMENT);
    memset(mapping + PAGE, CANARY, mapped - 2 * PAGE);
    memset(place, POISON, bytes);
    memories[place] = Memory{mapping, mapped, bytes, is_device};
    return place;
}

bool give_back(char *place, bool is_device) {
    auto found = memories.find(place);
    if (found == memories.end() || found->second.is_device != is_device) return false;
    Memory memory = found->second;
    for (char *byte = memory.mapping + PAGE; byte < memory.mapping + memory.mapped - PAGE; ++byte) {
        bool is_inside = byte >= place && byte < place + memory.bytes;
        if (!is_inside && static_cast<unsigned char>(*byte) != CANARY) {
            fprintf(stderr, "stand-in: something was written %td bytes from a buffer of %zu\n", byte - place, memory.bytes);
            abort();
        }
    }
    munmap(memory.mapping, memory.mapped);
    memories.erase(found);
    return true;
}

// The memory that an address lies in.
const std::pair<char *const, Memory> *memory_of(const void *address) {
    auto after = memories.upper_bound(static_cast<char *>(const_cast<void *>(address)));
    if (after == memories.begin()) return nullptr;
    --after;
    return static_cast<const char *>(address) < after->first + after->second.bytes ? &*after : nullptr;
}

bool is_inside(const void *address, size_t bytes, bool on_device) {
    auto memory = memory_of(address);
    return memory && memory->second.is_device == on_device &&
           static_cast<const char *>(address) + bytes <= memory->first + memory->second.bytes;
}

void do_next(Stream *stream) {
    Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (failure == SUCCESS) work();
}
void drain(Stream *stream) {
    while (!stream->queue.empty()) do_next(stream);
}
void drain_all() {
    for (const std::shared_ptr<Stream> &stream : streams) drain(stream.get());
}
void reach(Event *event, uint64_t moment) {
    while (event->reached < moment && !event->stream->queue.empty()) do_next(event->stream.get());
}

}  // namespace

namespace standin {

std::recursive_mutex &lock() {
    static std::recursive_mutex mutex;
    return mutex;
}
int enqueue(void *raw, Work work) {
    if (failure != SUCCESS) return failure;
    Stream *stream = static_cast<Stream *>(raw);
    if (stream->recording) stream->recording->push_back(std::move(work));
    else stream->queue.push_back(std::move(work));
    return SUCCESS;
}
bool is_on_device(const void *address, size_t bytes) { return is_inside(address, bytes, true); }
bool is_recording(void *stream) { return static_cast<Stream *>(stream)->recording != nullptr; }
int capability() { return int(setting("STANDIN_CAPABILITY", 90)); }
long long setting(const char *name, long long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

}  // namespace standin

using standin::setting;
#define GUARD std::lock_guard<std::recursive_mutex> guard(standin::lock())
#define NEED(condition, code) \
    if (!(condition)) return code
#define WORKING NEED(failure == SUCCESS, failure); NEED(has_context, INVALID_CONTEXT)

extern "C" {

int cuInit(unsigned flags) {
    GUARD;
    NEED(flags == 0, INVALID_VALUE);
    struct sigaction action = {};
    action.sa_sigaction = on_bad_access;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    return int(setting("STANDIN_INIT", setting("STANDIN_DEVICES", 1) > 0 ? SUCCESS : NO_DEVICE));
}
int cuDriverGetVersion(int *version) { return *version = int(setting("STANDIN_DRIVER", 13000)), SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = int(setting("STANDIN_DEVICES", 1)), SUCCESS; }
int cuDeviceGet(int *device, int ordinal) {
    NEED(ordinal >= 0 && ordinal < setting("STANDIN_DEVICES", 1), INVALID_DEVICE);
    return *device = ordinal, SUCCESS;
}
int cuDeviceGetName(char *name, int length, int device) {
    return snprintf(name, size_t(length), "Stand-in %d", device), SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = size_t(setting("STANDIN_MEMORY", 1LL << 36)), SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    NEED(attribute == 75 || attribute == 76, INVALID_VALUE);  // The two halves of the compute capability.
    return *value = attribute == 75 ? standin::capability() / 10 : standin::capability() % 10, SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &memories, SUCCESS; }
int cuCtxSetCurrent(void *context) { return has_context = context != nullptr, SUCCESS; }

int cuMemGetInfo_v2(size_t *free, size_t *total) {
    GUARD;
    WORKING;
    *total = size_t(setting("STANDIN_MEMORY", 1LL << 36));
    *free = *total - taken - taken_by_others;
    taken_by_others = size_t(setting("STANDIN_OTHERS", 0));  // Another process comes right after the question.
    return SUCCESS;
}
int cuMemAlloc_v2(char **pointer, size_t bytes) {
    GUARD;
    WORKING;
    NEED(bytes > 0, INVALID_VALUE);
    NEED(recordings == 0, CAPTURE_UNSUPPORTED);
    NEED(taken + taken_by_others + bytes <= size_t(setting("STANDIN_MEMORY", 1LL << 36)), OUT_OF_MEMORY);
    *pointer = take(bytes, true);
    NEED(*pointer, OUT_OF_MEMORY);
    taken += bytes;
    return SUCCESS;
}
int cuMemFree_v2(char *pointer) {
    GUARD;
    drain_all();
    auto found = memories.find(pointer);
    size_t bytes = found == memories.end() ? 0 : found->second.bytes;
    NEED(give_back(pointer, true), INVALID_VALUE);
    taken -= bytes;
    return failure;
}
int cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) {
    GUARD;
    WORKING;
    NEED(bytes > 0 && flags == 0, INVALID_VALUE);
    *pointer = take(bytes, false);
    return *pointer ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFreeHost(char *pointer) {
    GUARD;
    drain_all();
    NEED(give_back(pointer, false), INVALID_VALUE);
    return failure;
}
int cuMemsetD8Async(char *pointer, unsigned char value, size_t bytes, void *stream) {
    GUARD;
    WORKING;
    NEED(is_inside(pointer, bytes, true), INVALID_VALUE);
    return standin::enqueue(stream, [=] { memset(pointer, value, bytes); });
}
// What is not pinned is read at once, as the driver does; pinned memory is read when the copy is done.
int cuMemcpyHtoDAsync_v2(char *to, const void *from, size_t bytes, void *stream) {
    GUARD;
    WORKING;
    NEED(is_inside(to, bytes, true), INVALID_VALUE);
    if (bytes == 0) return SUCCESS;
    if (is_inside(from, bytes, false)) return standin::enqueue(stream, [=] { memcpy(to, from, bytes); });
    NEED(!standin::is_recording(stream), CAPTURE_UNSUPPORTED);
    std::vector<char> copy(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
    return standin::enqueue(stream, [=, copy = std::move(copy)] { memcpy(to, copy.data(), bytes); });
}
int cuMemcpyDtoHAsync_v2(void *to, const char *from, size_t bytes, void *stream) {
    GUARD;
    WORKING;
    NEED(bytes == 0 || is_inside(from, bytes, true), INVALID_VALUE);
    return standin::enqueue(stream, [=] { memcpy(to, from, bytes); });
}
int cuMemcpyDtoDAsync_v2(char *to, const char *from, size_t bytes, void *stream) {
    GUARD;
    WORKING;
    NEED(is_inside(to, bytes, true) && is_inside(from, bytes, true), INVALID_VALUE);
    return standin::enqueue(stream, [=] { memcpy(to, from, bytes); });
}

int cuStreamCreate(void **stream, unsigned) {
    GUARD;
    WORKING;
    streams.push_back(std::make_shared<Stream>());
    return *stream = streams.back().get(), SUCCESS;
}
int cuStreamDestroy_v2(Stream *stream) {
    GUARD;
    drain(stream);
    for (size_t place = 0; place < streams.size(); ++place)
        if (streams[place].get() == stream) streams.erase(streams.begin() + long(place));
    return SUCCESS;
}
int cuStreamSynchronize(Stream *stream) {
    GUARD;
    WORKING;
    NEED(!stream->recording, CAPTURE_UNSUPPORTED);
    drain(stream);
    return failure;
}
int cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    GUARD;
    WORKING;
    NEED(!stream->recording, CAPTURE_UNSUPPORTED);
    return standin::enqueue(stream, [event, moment = event->recorded] { reach(event, moment); });
}
int cuEventCreate(Event **event, unsigned) {
    GUARD;
    WORKING;
    return *event = new Event(), SUCCESS;
}
int cuEventDestroy_v2(Event *event) {
    GUARD;
    drain_all();
    delete event;
    return SUCCESS;
}
int cuEventRecord(Event *event, Stream *stream) {
    GUARD;
    WORKING;
    NEED(!stream->recording, CAPTURE_UNSUPPORTED);
    event->stream = stream->shared_from_this();
    return standin::enqueue(stream, [event, moment = ++event->recorded] { event->reached = moment; });
}
int cuEventSynchronize(Event *event) {
    GUARD;
    WORKING;
    if (event->stream) reach(event, event->recorded);
    return failure;
}

int cuStreamBeginCapture_v2(Stream *stream, int) {
    GUARD;
    WORKING;
    NEED(!stream->recording, CAPTURE_UNSUPPORTED);
    stream->recording.reset(new Graph());
    ++recordings;
    return SUCCESS;
}
int cuStreamEndCapture(Stream *stream, Graph **graph) {
    GUARD;
    WORKING;
    NEED(stream->recording, CAPTURE_UNSUPPORTED);
    --recordings;
    return *graph = stream->recording.release(), SUCCESS;
}
int cuGraphInstantiateWithFlags(Graph **executable, const Graph *graph, unsigned long long flags) {
    GUARD;
    WORKING;
    NEED(flags == 0 && !graph->empty(), INVALID_VALUE);
    return *executable = new Graph(*graph), SUCCESS;
}
int cuGraphDestroy(Graph *graph) { return delete graph, SUCCESS; }
int cuGraphExecDestroy(Graph *graph) { return delete graph, SUCCESS; }
int cuGraphLaunch(const Graph *graph, Stream *stream) {
    GUARD;
    WORKING;
    NEED(!stream->recording, CAPTURE_UNSUPPORTED);
    stream->queue.insert(stream->queue.end(), graph->begin(), graph->end());
    return SUCCESS;
}

int cuModuleLoadData(std::string **module, const char *image) {
    GUARD;
    WORKING;
    const std::string mark = "stand-in code: ";
    NEED(strncmp(image, mark.c_str(), mark.size()) == 0, INVALID_IMAGE);
    return *module = new std::string(image + mark.size()), SUCCESS;
}
int cuModuleUnload(std::string *module) { return delete module, SUCCESS; }
int cuModuleGetFunction(const standin::Kernel **kernel, const std::string *module, const char *name) {
    GUARD;
    *kernel = standin::find_kernel(*module, name);
    return *kernel ? SUCCESS : NOT_FOUND;
}
int cuFuncGetAttribute(int *value, int attribute, const standin::Kernel *) {
    NEED(attribute == 0, INVALID_VALUE);  // The most threads of a block.
    return *value = 256, SUCCESS;
}
int cuLaunchKernel(const standin::Kernel *kernel, unsigned blocks, unsigned y, unsigned z, unsigned threads, unsigned ty,
                   unsigned tz, unsigned shared, void *stream, void **parameters, void **extra) {
    GUARD;
    WORKING;
    bool fits = y == 1 && z == 1 && ty == 1 && tz == 1 && shared == 0 && blocks > 0 && threads > 0 && threads <= 256;
    NEED(fits && threads % 32 == 0 && parameters && !extra, INVALID_VALUE);
    const char *from = static_cast<const char *>(parameters[0]);
    std::vector<char> argument(from, from + kernel->bytes);
    return standin::enqueue(stream, [=, argument = std::move(argument)] {
        if (++kernels_run == setting("STANDIN_FAIL_AT", 0)) {
            failure = LAUNCH_FAILED;
            return;
        }
        standin::run(*kernel, blocks, threads, argument.data());
    });
}

int cuGetErrorName(int error, const char **text) {
    switch (error) {
        case OUT_OF_MEMORY: return *text = "CUDA_ERROR_OUT_OF_MEMORY", SUCCESS;
        case NO_DEVICE: return *text = "CUDA_ERROR_NO_DEVICE", SUCCESS;
        case LAUNCH_FAILED: return *text = "CUDA_ERROR_LAUNCH_FAILED", SUCCESS;
        case CAPTURE_UNSUPPORTED: return *text = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", SUCCESS;
        default: return *text = "CUDA_ERROR_OF_THE_STAND_IN", SUCCESS;
    }
}
int cuGetErrorString(int error, const char **text) {
    return *text = error == LAUNCH_FAILED ? "unspecified launch failure" : "the stand-in refuses", SUCCESS;
}

}  // extern "C"
