// The kernels of the product, compiled for the host, and what runs them.

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "host.h"
#include "kernels.h"

namespace float32 {
#include KERNELS
}
#define BFLOAT16
namespace bfloat16 {
#include KERNELS
}

Index threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum class State { Ready, AtBarrier, AtShuffle, Done };

constexpr size_t STACK = 64 << 10;

struct Fiber {
    ucontext_t context;
    jmp_buf left;
    bool has_begun = false;
    State state = State::Done;
    uint32_t shuffles = 0;

    ~Fiber() { munmap(context.uc_stack.ss_sp, STACK); }
};

std::vector<std::unique_ptr<Fiber>> fibers;
jmp_buf scheduler;
unsigned current;
// What lanes give to one another, in turns: a lane may be a shuffle ahead of another.
uint32_t given[1024][2];
void (*invoke)(const void *);
const void *arguments;

[[noreturn]] void refuse(const char *what) {
    fprintf(stderr, "stand-in: %s\n", what);
    abort();
}

// From stack to stack by jumps: swapcontext would ask the system for the mask of signals each time.
void leave(State state) {
    Fiber *fiber = fibers[current].get();
    fiber->state = state;
    if (_setjmp(fiber->left) == 0) _longjmp(scheduler, 1);
}

void enter(Fiber *fiber) {
    if (_setjmp(scheduler) != 0) return;
    if (fiber->has_begun) _longjmp(fiber->left, 1);
    fiber->has_begun = true;
    setcontext(&fiber->context);
}

void live() {
    for (;;) {
        invoke(arguments);
        leave(State::Done);
    }
}

void make_fibers(size_t count) {
    while (fibers.size() < count) {
        auto fiber = std::make_unique<Fiber>();
        void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED || getcontext(&fiber->context) != 0) refuse("there is no memory for another thread");
        fiber->context.uc_stack.ss_sp = stack;
        fiber->context.uc_stack.ss_size = STACK;
        makecontext(&fiber->context, live, 0);
        fibers.push_back(std::move(fiber));
    }
}

// Lets those of a group go on that all wait alike, if no one else can.
bool release(unsigned first, unsigned end, State waiting) {
    unsigned waiters = 0, others = 0;
    for (unsigned thread = first; thread < end; ++thread) {
        if (fibers[thread]->state == waiting) ++waiters;
        else if (fibers[thread]->state != State::Done || waiting == State::AtShuffle) ++others;
    }
    if (waiters == 0 || others != 0) return false;
    for (unsigned thread = first; thread < end; ++thread)
        if (fibers[thread]->state == waiting) fibers[thread]->state = State::Ready;
    return true;
}

void run_block(unsigned threads, const std::vector<unsigned> &order) {
    for (unsigned thread = 0; thread < threads; ++thread) fibers[thread]->state = State::Ready, fibers[thread]->shuffles = 0;
    for (;;) {
        for (unsigned thread : order) {
            if (fibers[thread]->state != State::Ready) continue;
            current = thread;
            threadIdx = {thread, 0, 0};
            enter(fibers[thread].get());
        }
        bool done = true, released = false;
        for (unsigned thread = 0; thread < threads; ++thread) done &= fibers[thread]->state == State::Done;
        if (done) return;
        for (unsigned warp = 0; warp < threads; warp += 32) released |= release(warp, warp + 32, State::AtShuffle);
        released |= release(0, threads, State::AtBarrier);
        if (!released) refuse("threads of a block wait for one another for ever, or for a lane that has left its warp");
    }
}

template <class Arguments, void (*kernel)(Arguments)>
void call(const void *arguments) {
    kernel(*static_cast<const Arguments *>(arguments));
}

#define ENTRY(space, type, name) {#space, #name, sizeof(space::type), call<space::type, space::name>}
#define ENTRIES(space)                                                                                              \
    ENTRY(space, BeginStep, begin_step), ENTRY(space, Vary, vary), ENTRY(space, Gather, gather),                    \
        ENTRY(space, Activate, activate), ENTRY(space, Deactivate, deactivate), ENTRY(space, Judge, judge),         \
        ENTRY(space, SumRows, sum_rows), ENTRY(space, SquareSums, square_sums), ENTRY(space, Clip, clip),           \
        ENTRY(space, Update, update), ENTRY(space, Narrow, narrow), ENTRY(space, Differ, differ)

const standin::Kernel table[] = {ENTRIES(float32), ENTRIES(bfloat16)};

}  // namespace

void __syncthreads() { leave(State::AtBarrier); }

uint32_t shuffle(uint32_t value, int lanes) {
    unsigned turn = fibers[current]->shuffles++ % 2;
    given[current][turn] = value;
    leave(State::AtShuffle);
    return given[current ^ unsigned(lanes)][turn];
}

namespace standin {

const Kernel *find_kernel(const std::string &module, const char *name) {
    for (const Kernel &kernel : table)
        if (module == kernel.module && strcmp(kernel.name, name) == 0) return &kernel;
    return nullptr;
}

void run(const Kernel &kernel, unsigned blocks, unsigned threads, const void *with) {
    static std::mt19937 random(1);
    make_fibers(threads);
    invoke = kernel.invoke;
    arguments = with;
    blockDim = {threads, 1, 1};
    gridDim = {blocks, 1, 1};
    std::vector<unsigned> block_order(blocks), thread_order(threads);
    std::iota(block_order.begin(), block_order.end(), 0);
    std::iota(thread_order.begin(), thread_order.end(), 0);
    std::shuffle(block_order.begin(), block_order.end(), random);
    std::shuffle(thread_order.begin(), thread_order.end(), random);
    for (unsigned block : block_order) {
        blockIdx = {block, 0, 0};
        run_block(threads, thread_order);
    }
}

}  // namespace standin
