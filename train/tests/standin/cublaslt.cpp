// A stand-in for cublasLt: products with the epilogues that the product asks for, and refusals where NVIDIA's documentation of
// cublasLtMatmul demands something.
//
// It has three algorithms. The first two sum in the same order, and the first takes twice as long; the third splits the sum,
// so that it rounds otherwise.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "standin.h"

namespace {

enum Status { SUCCESS = 0, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum Type { FLOAT32 = 0, BFLOAT16 = 14 };
enum Compute { COMPUTE_FLOAT32 = 68, COMPUTE_TF32 = 77 };
enum Epilogue { DEFAULT = 1, RELU_AUX_BIAS = 134, DRELU = 136, DRELU_BGRAD = 152, BGRADB = 512 };

struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t stride;
    size_t bytes() const { return size_t(stride) * columns * (type == FLOAT32 ? 4 : 2); }
};
struct Description {
    int compute, scale;
    int32_t transposed[2] = {0, 0};
    int epilogue = DEFAULT;
    char *bias = nullptr, *bits = nullptr;
    int64_t bits_stride = 0;
};
enum Reduction { IN_COMPUTE_TYPE = 2, ANY_REDUCTION = 7 };
struct Preference {
    uint64_t workspace = 0;
    uint32_t reductions = ANY_REDUCTION;
};
struct Algorithm {
    uint64_t data[8];
};
struct Candidate {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

constexpr uint64_t MARK = 0x57a4d1;
constexpr int ALGORITHMS = 3;
constexpr size_t SPLIT_WORKSPACE = 1 << 20, ALIGNMENT = 256;
long long replayed[ALGORITHMS];

float get(const char *matrix, int type, size_t place) {
    float value;
    if (type == FLOAT32) {
        memcpy(&value, matrix + place * 4, 4);
        return value;
    }
    uint16_t half;
    memcpy(&half, matrix + place * 2, 2);
    uint32_t bits = uint32_t(half) << 16;
    memcpy(&value, &bits, 4);
    return value;
}
// The value with so many bits of its fraction cut off, rounded to the nearest.
float rounded(float value, int cut) {
    if (!std::isfinite(value)) return value;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits += (1u << (cut - 1)) - 1 + (bits >> cut & 1);
    bits &= ~((1u << cut) - 1);
    memcpy(&value, &bits, 4);
    return value;
}
void put(char *matrix, int type, size_t place, float value) {
    if (type == FLOAT32) {
        memcpy(matrix + place * 4, &value, 4);
        return;
    }
    value = rounded(value, 16);
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint16_t half = uint16_t(bits >> 16);
    memcpy(matrix + place * 2, &half, 2);
}

bool is_refused(int epilogue) {
    const char *text = getenv("STANDIN_REFUSED_EPILOGUES");
    return text && (" " + std::string(text) + " ").find(" " + std::to_string(epilogue) + " ") != std::string::npos;
}

// Rows and columns of an operand as the product reads it.
std::pair<uint64_t, uint64_t> shape(const Layout &layout, bool transposed) {
    return transposed ? std::make_pair(layout.columns, layout.rows) : std::make_pair(layout.rows, layout.columns);
}

int check(const Description &of, const Layout &a, const Layout &b, const Layout &c, const Layout &d) {
    auto [m, k] = shape(a, of.transposed[0]);
    auto [k_of_b, n] = shape(b, of.transposed[1]);
    if (k != k_of_b || d.rows != m || d.columns != n || m == 0 || n == 0 || k == 0) return INVALID_VALUE;
    if (c.type != d.type || c.rows != d.rows || c.columns != d.columns || c.stride != d.stride) return INVALID_VALUE;
    for (const Layout *layout : {&a, &b, &d})
        if (layout->stride < int64_t(layout->rows)) return INVALID_VALUE;
    if (of.scale != FLOAT32 || a.type != b.type) return NOT_SUPPORTED;
    bool floats = a.type == FLOAT32 && d.type == FLOAT32 && (of.compute == COMPUTE_FLOAT32 || of.compute == COMPUTE_TF32);
    bool halves = a.type == BFLOAT16 && of.compute == COMPUTE_FLOAT32 && (d.type == BFLOAT16 || d.type == FLOAT32);
    if (!floats && !halves) return NOT_SUPPORTED;
    bool wants_bias = of.epilogue == RELU_AUX_BIAS || of.epilogue == DRELU_BGRAD || of.epilogue == BGRADB;
    bool wants_bits = of.epilogue == RELU_AUX_BIAS || of.epilogue == DRELU || of.epilogue == DRELU_BGRAD;
    if (of.epilogue != DEFAULT && !wants_bias && !wants_bits) return NOT_SUPPORTED;
    // NVIDIA's own Python binding (nvmath) keeps its users from these: the library does not refuse them, and may fault.
    if (k == 1 && (of.epilogue == DRELU || of.epilogue == DRELU_BGRAD || of.epilogue == BGRADB)) {
        fprintf(stderr, "stand-in: a product of one term with epilogue %d\n", of.epilogue);
        abort();
    }
    if (wants_bias && !of.bias) return INVALID_VALUE;
    if (wants_bits && (!of.bits || of.bits_stride % 128 != 0 || of.bits_stride < int64_t(d.rows))) return INVALID_VALUE;
    return is_refused(of.epilogue) ? NOT_SUPPORTED : SUCCESS;
}

struct Product {
    Description of;
    Layout a, b, d;
    const char *first, *second;
    char *result;
    uint64_t algorithm;

    float operand(const char *matrix, const Layout &layout, bool transposed, size_t row, size_t column) const {
        size_t place = transposed ? row * size_t(layout.stride) + column : column * size_t(layout.stride) + row;
        float value = get(matrix, layout.type, place);
        return of.compute == COMPUTE_TF32 ? rounded(value, 13) : value;
    }
    float left(size_t row, size_t term) const { return operand(first, a, of.transposed[0], row, term); }
    float right(size_t term, size_t column) const { return operand(second, b, of.transposed[1], term, column); }

    void run() const {
        size_t terms = shape(a, of.transposed[0]).second;
        // The operands, each line of a sum beside the other's.
        std::vector<float> lefts(d.rows * terms), rights(d.columns * terms);
        for (size_t row = 0; row < d.rows; ++row)
            for (size_t term = 0; term < terms; ++term) lefts[row * terms + term] = left(row, term);
        for (size_t column = 0; column < d.columns; ++column)
            for (size_t term = 0; term < terms; ++term) rights[column * terms + term] = right(term, column);
        std::vector<float> sums(d.rows * d.columns);
        for (int time = algorithm == 0 ? 0 : 1; time < 2; ++time)
            for (size_t column = 0; column < d.columns; ++column)
                for (size_t row = 0; row < d.rows; ++row)
                    sums[column * d.rows + row] = sum(&lefts[row * terms], &rights[column * terms], terms);
        for (size_t column = 0; column < d.columns; ++column)
            for (size_t row = 0; row < d.rows; ++row) finish(row, column, sums[column * d.rows + row]);
        if (of.epilogue == DRELU_BGRAD)
            for (size_t row = 0; row < d.rows; ++row) {
                double total = 0.0;
                for (size_t column = 0; column < d.columns; ++column)
                    total += get(result, d.type, column * size_t(d.stride) + row);
                put(of.bias, d.type, row, float(total));
            }
        if (of.epilogue == BGRADB)
            for (size_t column = 0; column < d.columns; ++column) {
                double total = 0.0;
                for (size_t term = 0; term < terms; ++term) total += rights[column * terms + term];
                put(of.bias, d.type, column, float(total));
            }
    }

    float sum(const float *one, const float *other, size_t terms) const {
        if (algorithm == 2) {
            float halves[2] = {0.0f, 0.0f};
            for (size_t term = 0; term < terms; ++term) halves[term < terms / 2] += one[term] * other[term];
            return halves[0] + halves[1];
        }
        double total = 0.0;
        for (size_t term = 0; term < terms; ++term) total += double(one[term]) * double(other[term]);
        return float(total);
    }

    void finish(size_t row, size_t column, float value) const {
        size_t bit = column * size_t(of.bits_stride) + row;
        if (of.epilogue == RELU_AUX_BIAS) {
            value += get(of.bias, d.type, row);
            bool passes = value > 0.0f;
            char mask = char(1 << bit % 8);
            of.bits[bit / 8] = char(passes ? of.bits[bit / 8] | mask : of.bits[bit / 8] & ~mask);
            if (!passes) value = 0.0f;
        }
        if ((of.epilogue == DRELU || of.epilogue == DRELU_BGRAD) && !(of.bits[bit / 8] >> bit % 8 & 1)) value = 0.0f;
        put(result, d.type, column * size_t(d.stride) + row, value);
    }
};

template <class T>
int set(T &attribute, const void *value, size_t bytes) {
    if (!value || bytes != sizeof(T)) return INVALID_VALUE;
    memcpy(&attribute, value, bytes);
    return SUCCESS;
}

}  // namespace

extern "C" {

// How many products with that algorithm have been done as parts of graphs.
long long standin_replayed(int algorithm) { return replayed[algorithm]; }

size_t cublasLtGetVersion() { return size_t(standin::setting("STANDIN_CUBLASLT", 130000)); }
int cublasLtCreate(void **handle) { return *handle = &replayed, SUCCESS; }
int cublasLtDestroy(void *) { return SUCCESS; }
int cublasLtMatmulDescCreate(Description **of, int compute, int scale) {
    return *of = new Description{compute, scale}, SUCCESS;
}
int cublasLtMatmulDescDestroy(Description *of) { return delete of, SUCCESS; }
int cublasLtMatmulDescSetAttribute(Description *of, int attribute, const void *value, size_t bytes) {
    switch (attribute) {
        case 3: return set(of->transposed[0], value, bytes);
        case 4: return set(of->transposed[1], value, bytes);
        case 7: return set(of->epilogue, value, bytes);
        case 8: return set(of->bias, value, bytes);
        case 11: return set(of->bits, value, bytes);
        case 12: return set(of->bits_stride, value, bytes);
        default: return INVALID_VALUE;
    }
}
int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    return *layout = new Layout{type, rows, columns, stride}, SUCCESS;
}
int cublasLtMatrixLayoutDestroy(Layout *layout) { return delete layout, SUCCESS; }
int cublasLtMatmulPreferenceCreate(Preference **preference) { return *preference = new Preference(), SUCCESS; }
int cublasLtMatmulPreferenceDestroy(Preference *preference) { return delete preference, SUCCESS; }
int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t bytes) {
    switch (attribute) {
        case 1: return set(preference->workspace, value, bytes);
        case 3: return set(preference->reductions, value, bytes);
        default: return INVALID_VALUE;
    }
}
int cublasLtMatmulAlgoGetHeuristic(void *handle, const Description *of, const Layout *a, const Layout *b, const Layout *c,
                                   const Layout *d, const Preference *preference, int asked, Candidate *candidates,
                                   int *count) {
    *count = 0;
    if (!handle || !of || !a || !b || !c || !d || !preference || asked < 1) return INVALID_VALUE;
    if (int status = check(*of, *a, *b, *c, *d)) return status;
    // Whoever lets sums be added up in the result's precision, or in place, gets less than the computation's.
    if (preference->reductions & ~IN_COMPUTE_TYPE) return NOT_SUPPORTED;
    for (int number = 0; number < ALGORITHMS && *count < asked; ++number) {
        size_t workspace = number == 2 ? SPLIT_WORKSPACE : 0;
        if (workspace > preference->workspace) continue;
        if (number == 2 && !(preference->reductions & IN_COMPUTE_TYPE)) continue;
        candidates[(*count)++] = Candidate{{{MARK, uint64_t(number)}}, workspace, SUCCESS, 1.0f, {}};
    }
    return SUCCESS;
}
int cublasLtMatmul(void *handle, const Description *of, const float *alpha, const char *first, const Layout *a,
                   const char *second, const Layout *b, const float *beta, const char *third, const Layout *c, char *result,
                   const Layout *d, const Algorithm *algorithm, char *workspace, size_t workspace_bytes, void *stream) {
    std::lock_guard<std::recursive_mutex> guard(standin::lock());
    if (!handle || !of || !a || !b || !c || !d || !alpha || !beta || !algorithm) return INVALID_VALUE;
    if (*alpha != 1.0f || *beta != 0.0f || third != result) return NOT_SUPPORTED;
    if (algorithm->data[0] != MARK || algorithm->data[1] >= ALGORITHMS) return INVALID_VALUE;
    if (int status = check(*of, *a, *b, *c, *d)) return status;
    // The last line of a matrix ends with its last element.
    auto bytes = [](const Layout *layout) {
        size_t element = layout->type == FLOAT32 ? 4 : 2;
        return layout->bytes() - (size_t(layout->stride) - layout->rows) * element;
    };
    if (!standin::is_on_device(first, bytes(a)) || !standin::is_on_device(second, bytes(b)) ||
        !standin::is_on_device(result, bytes(d)))
        return INVALID_VALUE;
    // What the preference takes for granted unless it is told otherwise.
    for (const char *matrix : {first, second, static_cast<const char *>(result)})
        if (uintptr_t(matrix) % ALIGNMENT != 0) return INVALID_VALUE;
    if (of->bits && !standin::is_on_device(of->bits, size_t(of->bits_stride) / 8 * d->columns)) return INVALID_VALUE;
    size_t biases = of->epilogue == BGRADB ? d->columns : d->rows;
    if (of->bias && !standin::is_on_device(of->bias, biases * (d->type == FLOAT32 ? 4 : 2))) return INVALID_VALUE;
    uint64_t number = algorithm->data[1];
    if (number == 2 && (workspace_bytes < SPLIT_WORKSPACE || !standin::is_on_device(workspace, SPLIT_WORKSPACE)))
        return INVALID_VALUE;
    Product product{*of, *a, *b, *d, first, second, result, number};
    bool is_recorded = standin::is_recording(stream);
    int status = standin::enqueue(stream, [=] {
        replayed[number] += is_recorded;
        if (product.algorithm == 2) memset(workspace, 0x5a, SPLIT_WORKSPACE);
        product.run();
    });
    return status ? EXECUTION_FAILED : SUCCESS;
}

}  // extern "C"
