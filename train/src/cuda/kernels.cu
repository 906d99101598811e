// The CUDA engine's own kernels: everything of a training step but its matrix products.
//
// Each takes one structure, mirrored field by field in `kernels.rs`. Matrices are row-major `[images, width]` with rows of
// `stride` elements, a multiple of 8; what lies between `width` and `stride` stays 0. A thread does eight columns of an image,
// the number that one Philox counter of dropout decides. Compiled without fused multiplications (`--fmad=false`), so that
// every element is computed as the CPU engine does, but for the device's own sin, cos, exp, ln and pow and for the order of
// the sums within a warp; no sum has more than one order.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(256)
#endif

// What activations and their gradients consist of.
#ifdef BFLOAT16
struct Element {
    u16 bits;
};
__device__ inline float widened(Element element) {
    return __uint_as_float(u32(element.bits) << 16);
}
// To the nearest, of two equally near ones to the even one; NaN stays NaN, and what is too large becomes an infinity.
__device__ inline Element narrowed(float value) {
    u32 bits = __float_as_uint(value);
    if (value != value) return Element{u16(bits >> 16 | 64)};
    return Element{u16((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
__device__ inline u32 narrowed_pair(float low, float high) {
    return u32(narrowed(low).bits) | u32(narrowed(high).bits) << 16;
}
#else
typedef float Element;
__device__ inline float widened(Element element) { return element; }
__device__ inline Element narrowed(float value) { return value; }
#endif

// Eight elements, by accesses of 16 bytes: a group of columns begins at a multiple of as many.
__device__ inline void load_group(const Element *from, float values[8]) {
#ifdef BFLOAT16
    uint4 pairs = *reinterpret_cast<const uint4 *>(from);
    u32 words[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        values[2 * word] = __uint_as_float(words[word] << 16);
        values[2 * word + 1] = __uint_as_float(words[word] & 0xffff0000u);
    }
#else
    const float4 *fours = reinterpret_cast<const float4 *>(from);
    float4 low = fours[0], high = fours[1];
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
    values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
#endif
}
__device__ inline void store_group(Element *to, const float values[8]) {
#ifdef BFLOAT16
    *reinterpret_cast<uint4 *>(to) = uint4{narrowed_pair(values[0], values[1]), narrowed_pair(values[2], values[3]),
                                           narrowed_pair(values[4], values[5]), narrowed_pair(values[6], values[7])};
#else
    float4 *fours = reinterpret_cast<float4 *>(to);
    fours[0] = float4{values[0], values[1], values[2], values[3]};
    fours[1] = float4{values[4], values[5], values[6], values[7]};
#endif
}

// What changes from step to step, written by the host before the step is launched.
struct Step {
    u64 seed;       // Of the network's training.
    u32 first;      // The place of the batch's first image in the epoch's order.
    u32 epoch;      // Counted from 1.
    u32 number[2];  // The low half of the step's number, then 16 bits of its high half above 16 that are a layer's.
    u32 half;       // Which half of the staging buffer holds the batch, where images are staged.
    float step_size, deviation_scale, keep, average_share, gradient_scale;  // Of AdamW: see `adam.rs`.
};

// Philox4x32-10: see `random.rs`.
struct Words {
    u32 word[4];
};
__device__ inline Words philox(u32 a, u32 b, u32 c, u32 d, u64 key) {
    u32 low_key = u32(key), high_key = u32(key >> 32);
    for (int round = 0; round < 10; ++round) {
        u64 first = u64(0xD2511F53u) * a, second = u64(0xCD9E8D57u) * c;
        a = u32(second >> 32) ^ b ^ low_key;
        b = u32(second);
        c = u32(first >> 32) ^ d ^ high_key;
        d = u32(first);
        low_key += 0x9E3779B9u;
        high_key += 0xBB67AE85u;
    }
    return Words{{a, b, c, d}};
}

// See `dropout.rs`. Nothing is dropped with a threshold of 0.
struct Dropout {
    u32 threshold;
    float scale;
    u32 layer;
};
__device__ inline void drop(const Dropout &dropout, const Step &step, u32 image, u32 group, float values[8]) {
    if (dropout.threshold == 0) return;
    Words words = philox(image, group, step.number[0], step.number[1] | dropout.layer, step.seed);
    for (int column = 0; column < 8; ++column) {
        u32 bits = words.word[column / 2] >> (column % 2 * 16) & 0xffff;
        values[column] = bits < dropout.threshold ? 0.0f : values[column] * dropout.scale;
    }
}

// The step that begins: the next of those that the host has written.
struct BeginStep {
    const Step *written;
    Step *step;
    u32 *next;
};
KERNEL begin_step(BeginStep of) {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    *of.step = of.written[*of.next];
    *of.next += 1;
}

// What happens to an image: see `augment.rs`.
struct Variation {
    float from[6];
    float stroke;
};

// Draws the variation of each image of the batch. A thread does an image.
struct Vary {
    const Step *step;
    const u32 *order;
    Variation *variations;
    double shift, rotation, shear, scale, stroke;
    u32 count, domain;
};
__device__ inline double uniform(u32 word) { return double(word) / 4294967295.0 * 2.0 - 1.0; }
KERNEL vary(Vary of) {
    u32 image = blockIdx.x * blockDim.x + threadIdx.x;
    if (image >= of.count) return;
    u32 row = of.order[of.step->first + image];
    Words words = philox(row, of.step->epoch, 0, of.domain, of.step->seed);
    Words more = philox(row, of.step->epoch, 1, of.domain, of.step->seed);
    double shift_x = of.shift * uniform(words.word[0]), shift_y = of.shift * uniform(words.word[1]);
    double angle = of.rotation * uniform(words.word[2]) * 0.017453292519943295;
    double sine = sin(angle), cosine = cos(angle);
    double shear = of.shear * uniform(words.word[3]);
    double scale_x = 1.0 + of.scale * uniform(more.word[0]), scale_y = 1.0 + of.scale * uniform(more.word[1]);
    double a = cosine / scale_x + shear * sine / scale_x, b = sine / scale_x - shear * cosine / scale_x;
    double c = -sine / scale_y, d = cosine / scale_y;
    of.variations[image] = Variation{
        {float(a), float(b), float(-(a * shift_x + b * shift_y)), float(c), float(d), float(-(c * shift_x + d * shift_y))},
        float(of.stroke * uniform(more.word[2]))};
}

// Puts a batch together: standardised, and in training varied and some pixels dropped.
struct Gather {
    const Step *step;             // None of validation images, which are consecutive rows from `first`.
    const u32 *order;
    const u8 *images;             // `[rows, height * width]`, or where images are staged two halves of `staged` rows.
    const Variation *variations;  // None where images stay as they are.
    Element *output;
    Dropout dropout;
    u32 first, count, staged, height, width, stride;
    float scale, offset;
};
// The pixel with its stroke changed, as it lies in an image with a border of two black pixels.
__device__ inline float stroked(const u8 *image, int height, int width, float stroke, int y, int x) {
    y -= 2, x -= 2;
    if (y < 0 || x < 0 || y >= height || x >= width) return 0.0f;
    int pixel = image[y * width + x];
    int above = image[(y > 0 ? y - 1 : 0) * width + x], below = image[(y < height - 1 ? y + 1 : y) * width + x];
    int left = image[y * width + (x > 0 ? x - 1 : 0)], right = image[y * width + (x < width - 1 ? x + 1 : x)];
    int found = stroke >= 0.0f ? max(max(pixel, max(above, below)), max(left, right))
                               : min(min(pixel, min(above, below)), min(left, right));
    return float(pixel) + fabsf(stroke) * float(found - pixel);
}
// In 65,536ths of a pixel.
__device__ inline i64 fixed(double pixels) { return i64(round(pixels * 65536.0)); }
__device__ inline float varied(const u8 *image, int height, int width, const Variation &variation, int pixel) {
    int row = pixel / width, column = pixel % width;
    double a = variation.from[0], b = variation.from[1], c = variation.from[3], d = variation.from[4];
    double middle_x = (width - 1.0) / 2.0, middle_y = (height - 1.0) / 2.0, x = -middle_x, y = row - middle_y;
    i64 from_x = fixed(a * x + b * y + variation.from[2] + middle_x + 2.0) + column * fixed(a);
    i64 from_y = fixed(c * x + d * y + variation.from[5] + middle_y + 2.0) + column * fixed(c);
    i64 near = 1 << 15, far_x = (i64(width + 2) << 16) + near, far_y = (i64(height + 2) << 16) + near;
    from_x = from_x < near ? near : from_x > far_x ? far_x : from_x;
    from_y = from_y < near ? near : from_y > far_y ? far_y : from_y;
    int left = int(from_x >> 16), top = int(from_y >> 16);
    float share_x = float(from_x & 0xffff) / 65536.0f, share_y = float(from_y & 0xffff) / 65536.0f;
    float corners[2][2];
    for (int down = 0; down < 2; ++down)
        for (int across = 0; across < 2; ++across)
            corners[down][across] = stroked(image, height, width, variation.stroke, top + down, left + across);
    float upper = corners[0][0] + share_x * (corners[0][1] - corners[0][0]);
    float lower = corners[1][0] + share_x * (corners[1][1] - corners[1][0]);
    return upper + share_y * (lower - upper);
}
KERNEL gather(Gather of) {
    u32 groups = of.stride / 8, task = blockIdx.x * blockDim.x + threadIdx.x;
    u32 image = task / groups, group = task % groups, pixels = of.height * of.width;
    if (image >= of.count) return;
    u64 row = of.step == 0 ? of.first + image
            : of.staged != 0 ? u64(of.step->half) * of.staged + image : of.order[of.step->first + image];
    const u8 *from = of.images + row * pixels;
    float values[8];
    if (of.variations == 0 && pixels % 8 == 0 && group * 8 < pixels) {
        uint2 bytes = *reinterpret_cast<const uint2 *>(from + group * 8);
#pragma unroll
        for (u32 column = 0; column < 8; ++column) {
            u32 pixel = (column < 4 ? bytes.x : bytes.y) >> column % 4 * 8 & 0xff;
            values[column] = float(pixel) * of.scale + of.offset;
        }
    } else {
        for (u32 column = 0; column < 8; ++column) {
            u32 pixel = group * 8 + column;
            if (pixel >= pixels) {
                values[column] = 0.0f;
                continue;
            }
            float value = of.variations == 0 ? float(from[pixel])
                                             : varied(from, of.height, of.width, of.variations[image], pixel);
            values[column] = value * of.scale + of.offset;
        }
    }
    if (of.step != 0) drop(of.dropout, *of.step, image, group, values);
    store_group(of.output + u64(image) * of.stride + group * 8, values);
}

// A layer's bias and, where it is hidden, ReLU and dropout, where the product before did not see to them.
struct Activate {
    const Step *step;  // None outside training.
    const float *bias;
    Element *values;
    Dropout dropout;
    u32 count, width, stride, relu;
};
KERNEL activate(Activate of) {
    u32 groups = (of.width + 7) / 8, task = blockIdx.x * blockDim.x + threadIdx.x;
    u32 image = task / groups, group = task % groups;
    if (image >= of.count) return;
    Element *place = of.values + u64(image) * of.stride + group * 8;
    float values[8];
    load_group(place, values);
#pragma unroll
    for (u32 column = 0; column < 8; ++column) {
        u32 output = group * 8 + column;
        float value = output < of.width ? values[column] + of.bias[output] : 0.0f;
        values[column] = of.relu == 0 || value > 0.0f ? value : 0.0f;
    }
    if (of.step != 0) drop(of.dropout, *of.step, image, group, values);
    store_group(place, values);
}

// The gradient by a hidden layer's output before its activation, from the one after: a ReLU passes the gradient where its
// output is above 0, and what was dropped is 0.
struct Deactivate {
    const Element *outputs;
    Element *gradients;
    float scale;  // What dropout multiplied by what it kept.
    u32 count, width, stride;
};
KERNEL deactivate(Deactivate of) {
    u32 groups = (of.width + 7) / 8, task = blockIdx.x * blockDim.x + threadIdx.x;
    u32 image = task / groups, group = task % groups;
    if (image >= of.count) return;
    u64 start = u64(image) * of.stride + group * 8;
    float outputs[8], gradients[8];
    load_group(of.outputs + start, outputs);
    load_group(of.gradients + start, gradients);
#pragma unroll
    for (u32 column = 0; column < 8; ++column)
        gradients[column] = outputs[column] > 0.0f ? gradients[column] * of.scale : 0.0f;
    store_group(of.gradients + start, gradients);
}

// The loss of each image, and its gradient by the logits: see `softmax.rs`. A warp does an image of at most 256 classes.
struct Judge {
    const Step *step;
    const u32 *order;
    const u8 *labels;
    const float *logits;
    const float *bias;  // The last layer's, which the product did not add.
    Element *gradients;
    float *losses;  // By the image's place in the epoch's order.
    u32 count, classes, stride, loss;
    float right, wrong, share, exponent, reverse;
};
__device__ inline float sum_of_warp(float value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}
__device__ inline float highest_of_warp(float value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lanes));
    return value;
}
KERNEL judge(Judge of) {
    u32 image = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (image >= of.count) return;
    u32 place = of.step->first + image, label = of.labels[of.order[place]];
    const float *logits = of.logits + u64(image) * of.stride;
    const float minus_infinity = __uint_as_float(0xff800000u);
    float logit[8], probability[8], highest = minus_infinity, sum = 0.0f, own = 0.0f, loss = 0.0f;
#pragma unroll
    for (u32 part = 0; part < 8; ++part) {
        u32 output = part * 32 + lane;
        logit[part] = output < of.classes ? logits[output] + of.bias[output] : minus_infinity;
        highest = fmaxf(highest, logit[part]);
    }
    highest = highest_of_warp(highest);
#pragma unroll
    for (u32 part = 0; part < 8; ++part) {
        probability[part] = part * 32 + lane < of.classes ? expf(logit[part] - highest) : 0.0f;
        sum += probability[part];
    }
    sum = sum_of_warp(sum);
    float log_sum = highest + logf(sum);
#pragma unroll
    for (u32 part = 0; part < 8; ++part) {
        u32 output = part * 32 + lane;
        probability[part] /= sum;
        if (output == label) own = probability[part];
        if (output < of.classes) loss -= (output == label ? of.right : of.wrong) * (logit[part] - log_sum);
    }
    own = sum_of_warp(own);
    loss = sum_of_warp(loss);
    float heed = powf(own, of.exponent);
    if (of.loss == 1) loss = (1.0f - heed) / of.exponent;
    if (of.loss == 2) loss += of.reverse * (1.0f - own);
    if (of.loss > 2) loss = __uint_as_float(0x7fc00000u);  // None that is known here: no number, which ends the training.
    if (lane == 0) of.losses[place] = loss;
#pragma unroll
    for (u32 part = 0; part < 8; ++part) {
        u32 output = part * 32 + lane;
        if (output >= of.classes) continue;
        float hard = probability[part] - (output == label ? 1.0f : 0.0f);
        float soft = probability[part] - (output == label ? of.right : of.wrong);
        float gradient = of.loss == 1 ? heed * hard : of.loss == 2 ? soft + of.reverse * own * hard : soft;
        of.gradients[u64(image) * of.stride + output] = narrowed(gradient * of.share);
    }
}

// The gradient by a bias, where no product saw to it: the sum over the images. A block does 8 columns, each in 32 slices.
struct SumRows {
    const Element *gradients;
    float *sums;
    u32 count, width, stride;
};
KERNEL sum_rows(SumRows of) {
    __shared__ float slices[32][8];
    u32 lane = threadIdx.x % 8, slice = threadIdx.x / 8, column = blockIdx.x * 8 + lane;
    float sum = 0.0f;
    if (column < of.width)
        for (u32 image = slice; image < of.count; image += 32) sum += widened(of.gradients[u64(image) * of.stride + column]);
    slices[slice][lane] = sum;
    __syncthreads();
    if (slice != 0 || column >= of.width) return;
    for (u32 other = 1; other < 32; ++other) sum += slices[other][lane];
    of.sums[column] = sum;
}

// The sum of the squares of a part of the gradients, for each block.
struct SquareSums {
    const float *gradients;
    double *sums;
    u32 count;
};
__device__ inline double sum_of_block(double value) {
    __shared__ double values[256];
    values[threadIdx.x] = value;
    __syncthreads();
    for (u32 half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
        __syncthreads();
    }
    return values[0];
}
KERNEL square_sums(SquareSums of) {
    double sum = 0.0;
    for (u64 place = blockIdx.x * blockDim.x + threadIdx.x; place < of.count; place += gridDim.x * blockDim.x)
        sum += double(of.gradients[place]) * double(of.gradients[place]);
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) of.sums[blockIdx.x] = sum;
}

// What is left of a gradient that is longer than it may be; one block. As PyTorch's `clip_grad_norm_`.
struct Clip {
    Step *step;
    const double *sums;
    double longest;
    u32 count;
};
KERNEL clip(Clip of) {
    double sum = 0.0;
    for (u32 place = threadIdx.x; place < of.count; place += blockDim.x) sum += of.sums[place];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) of.step->gradient_scale = float(fmin(of.longest / (sqrt(sum) + 1e-6), 1.0));
}

// AdamW over the flat buffers, four parameters a thread: see `cpu/adam.rs`.
struct Update {
    const Step *step;
    const float4 *gradients;
    float4 *parameters, *exp_avg, *exp_avg_sq;
    float4 *averaged;  // None where no average is kept.
    Element *copy;     // The parameters as the products take them, where that is another form.
    u32 quads;
};
__device__ inline float flushed(float value) { return fabsf(value) < 1.17549435e-38f ? 0.0f : value; }
__device__ inline void step_one(const Step &step, float gradient, float &value, float &mean, float &square) {
    gradient *= step.gradient_scale;
    mean = flushed(mean + 0.1f * (gradient - mean));
    square = flushed(0.999f * square + 0.001f * gradient * gradient);
    value = value * step.keep - step.step_size * mean / (sqrtf(square) * step.deviation_scale + 1e-8f);
}
KERNEL update(Update of) {
    u32 quad = blockIdx.x * blockDim.x + threadIdx.x;
    if (quad >= of.quads) return;
    Step step = *of.step;
    float4 gradient = of.gradients[quad], value = of.parameters[quad];
    float4 mean = of.exp_avg[quad], square = of.exp_avg_sq[quad];
    step_one(step, gradient.x, value.x, mean.x, square.x);
    step_one(step, gradient.y, value.y, mean.y, square.y);
    step_one(step, gradient.z, value.z, mean.z, square.z);
    step_one(step, gradient.w, value.w, mean.w, square.w);
    of.parameters[quad] = value, of.exp_avg[quad] = mean, of.exp_avg_sq[quad] = square;
    if (of.averaged != 0) {
        float4 average = of.averaged[quad];
        average.x += step.average_share * (value.x - average.x);
        average.y += step.average_share * (value.y - average.y);
        average.z += step.average_share * (value.z - average.z);
        average.w += step.average_share * (value.w - average.w);
        of.averaged[quad] = average;
    }
#ifdef BFLOAT16
    uint2 *copy = reinterpret_cast<uint2 *>(of.copy);
    if (copy != 0) copy[quad] = uint2{narrowed_pair(value.x, value.y), narrowed_pair(value.z, value.w)};
#endif
}

// The parameters as the products take them.
struct Narrow {
    const float *from;
    Element *to;
    u32 count;
};
KERNEL narrow(Narrow of) {
    u32 place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < of.count) of.to[place] = narrowed(of.from[place]);
}

// Whether two buffers hold the same words: of two ways to compute a product, those that give the same bytes may take turns.
struct Differ {
    const u32 *one, *other;
    u32 *found;
    u64 count;
};
KERNEL differ(Differ of) {
    u64 place = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (place < of.count && of.one[place] != of.other[place]) *of.found = 1;
}
