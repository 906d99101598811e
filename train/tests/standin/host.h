// What `kernels.cu` takes from CUDA, for the host: a thread is a fiber, and a block's threads run one at a time, each until it
// waits for others or is done, in an order that changes from launch to launch.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define __device__
#define __shared__ static
#define KERNEL static void

struct Index {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};

// Of the thread that runs.
extern Index threadIdx, blockIdx, blockDim, gridDim;

// Lets all threads of the block that are not done come here.
void __syncthreads();
// What the lane whose number differs in `lanes` gives; all lanes of the warp must come here.
uint32_t shuffle(uint32_t value, int lanes);

inline float __shfl_xor_sync(unsigned, float value, int lanes) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = shuffle(bits, lanes);
    memcpy(&value, &bits, 4);
    return value;
}
inline float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline uint32_t __float_as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}
inline int max(int one, int other) { return one > other ? one : other; }
inline int min(int one, int other) { return one < other ? one : other; }
