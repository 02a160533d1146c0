/* Enough of CUDA C++ to run src_kernels' .cu files on the processor, for tests only.
 *
 * Included before the very same text that a GPU gets. A block's threads are coroutines of one thread: each runs until it must
 * wait for others, at a barrier or in a shuffle. Blocks run one after the other, so a `__shared__` array is a static one.
 * What would hang or be undefined on a GPU (a lane that leaves while its warp waits, a shuffle of an absent lane) ends the
 * launch with a message.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __constant__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

struct __align__(16) uint4 {
    uint32_t x, y, z, w;
};
struct __align__(8) uint2 {
    uint32_t x, y;
};
struct emulated_index {
    unsigned x, y, z;
};

/* What is the emulation's own; all other variables are the kernels' shared memory, or constants. */
#define EMULATION static __attribute__((section("emulation")))

EMULATION emulated_index threadIdx, blockIdx, blockDim, gridDim;

/* ---- threads ---- */

enum { MOST_THREADS = 1024, STACK_BYTES = 256 << 10, LANES = 32 };

struct emulated_thread {
    ucontext_t context;
    bool done;
    const unsigned *waits_for; /* a barrier's generation; it waits while that is `seen` */
    unsigned seen;
};

struct emulated_barrier {
    unsigned arrived, generation;
};

EMULATION emulated_thread threads[MOST_THREADS];
EMULATION emulated_barrier warp_barriers[MOST_THREADS / LANES], block_barrier;
EMULATION uint64_t exchanged[MOST_THREADS / LANES][2][LANES];
EMULATION ucontext_t scheduler;
EMULATION unsigned current;
EMULATION const char *failure;

static void fail(const char *message) {
    if (!failure) failure = message;
}

static void leave() {
    emulated_thread &self = threads[current];
    swapcontext(&self.context, &scheduler);
}

static void wait_at(emulated_barrier &barrier, unsigned expected) {
    const unsigned generation = barrier.generation;
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        barrier.generation++;
        return;
    }
    threads[current].waits_for = &barrier.generation;
    threads[current].seen = generation;
    leave();
}

static inline void __syncthreads() { wait_at(block_barrier, blockDim.x); }
static inline void __syncwarp() { wait_at(warp_barriers[current / LANES], LANES); }

/* Two places for each lane, used in turns: nobody can come round to the first again before all have read it. */
template <typename T>
static T exchange(unsigned mask, T value, int source) {
    const unsigned warp = current / LANES, turn = warp_barriers[warp].generation % 2;
    if (mask != 0xFFFFFFFFu) fail("a shuffle of a part of the warp");
    if (source < 0 || source >= LANES) fail("a shuffle from a lane that does not exist");
    memcpy(&exchanged[warp][turn][current % LANES], &value, sizeof value);
    wait_at(warp_barriers[warp], LANES);
    memcpy(&value, &exchanged[warp][turn][source % LANES], sizeof value);
    return value;
}
template <typename T>
static T __shfl_sync(unsigned mask, T value, int source) {
    return exchange(mask, value, source);
}
template <typename T>
static T __shfl_xor_sync(unsigned mask, T value, int other) {
    return exchange(mask, value, (int)(current % LANES) ^ other);
}

/* ---- intrinsics ---- */

static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift) {
    return (uint32_t)(((uint64_t)high << 32 | low) >> (shift % 32));
}
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

template <typename To, typename From>
static To reinterpreted(From from) {
    To to;
    static_assert(sizeof to == sizeof from, "of one size");
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline int32_t __float_as_int(float x) { return reinterpreted<int32_t>(x); }
static inline float __int_as_float(int32_t x) { return reinterpreted<float>(x); }
static inline int64_t __double_as_longlong(double x) { return reinterpreted<int64_t>(x); }
static inline double __longlong_as_double(int64_t x) { return reinterpreted<double>(x); }
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }

/* The half dtypes' conversions, which are single instructions there. */
struct fd_float16;
struct fd_bfloat16;
static inline float fd_widen(fd_float16 x);
static inline float fd_widen(fd_bfloat16 x);
static inline void fd_narrow(float x, fd_float16 *to);
static inline void fd_narrow(float x, fd_bfloat16 *to);

/* ---- shared memory that nobody wrote ----
 *
 * Compiled with -fsanitize=thread and linked without it, the kernels call these functions at each access to memory. Shared
 * arrays are all that this library has without initial values. */
#if defined(__SANITIZE_THREAD__)
#define EMULATED_UNCHECKED __attribute__((no_sanitize("thread")))
extern char shared_begin[] __asm__("__bss_start");
extern char shared_end[] __asm__("_end");
EMULATION unsigned char *written;

EMULATED_UNCHECKED static void forget_shared_writes() {
    if (!written) written = (unsigned char *)malloc(shared_end - shared_begin + 1);
    memset(written, 0, shared_end - shared_begin);
}
EMULATED_UNCHECKED static void note_access(const void *address, unsigned long size, bool writes) {
    const char *at = (const char *)address;
    if (at < shared_begin || at >= shared_end) return;
    for (unsigned long k = 0; k < size; k++) {
        if (writes) written[at - shared_begin + k] = 1;
        if (!written[at - shared_begin + k]) fail("shared memory is read that no thread of the block wrote");
    }
}
#define EMULATED_ACCESS(size)                                                                \
    extern "C" void __tsan_read##size(void *at) { note_access(at, size, false); }            \
    extern "C" void __tsan_write##size(void *at) { note_access(at, size, true); }            \
    extern "C" void __tsan_unaligned_read##size(void *at) { note_access(at, size, false); }  \
    extern "C" void __tsan_unaligned_write##size(void *at) { note_access(at, size, true); }
EMULATED_ACCESS(1)
EMULATED_ACCESS(2)
EMULATED_ACCESS(4)
EMULATED_ACCESS(8)
EMULATED_ACCESS(16)
extern "C" void __tsan_read_range(void *at, unsigned long size) { note_access(at, size, false); }
extern "C" void __tsan_write_range(void *at, unsigned long size) { note_access(at, size, true); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit() {}
#else
static void forget_shared_writes() {}
#endif

/* ---- launches ---- */

typedef void (*emulated_kernel)(const void *argument);

EMULATION emulated_kernel running;
EMULATION const void *running_argument;

static void begin_thread() {
    running(running_argument);
    threads[current].done = true;
    leave();
}

/* `backwards` starts the last thread first: what is right only because lower threads run earlier shows. */
static bool run_block(unsigned count, bool backwards) {
    forget_shared_writes();
    memset(warp_barriers, 0, sizeof warp_barriers);
    block_barrier = emulated_barrier();
    for (unsigned t = 0; t < count; t++) {
        emulated_thread &thread = threads[t];
        if (!thread.context.uc_stack.ss_sp) thread.context.uc_stack.ss_sp = malloc(STACK_BYTES);
        void *stack = thread.context.uc_stack.ss_sp;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = stack;
        thread.context.uc_stack.ss_size = STACK_BYTES;
        thread.context.uc_link = 0;
        thread.done = false;
        thread.waits_for = 0;
        makecontext(&thread.context, begin_thread, 0);
    }
    for (unsigned left = count; left > 0 && !failure;) {
        bool moved = false;
        for (unsigned n = 0; n < count; n++) {
            const unsigned t = backwards ? count - 1 - n : n;
            emulated_thread &thread = threads[t];
            if (thread.done || (thread.waits_for && *thread.waits_for == thread.seen)) continue;
            moved = true;
            thread.waits_for = 0;
            current = t;
            threadIdx.x = t;
            swapcontext(&scheduler, &thread.context);
            if (thread.done) left--;
        }
        if (!moved) fail("threads wait for others that have left");
    }
    return !failure;
}

/* Blocks [first, last) of a grid of `grid`; null, or what went wrong. */
static const char *emulate(emulated_kernel kernel, const void *argument, unsigned grid, unsigned first, unsigned last,
                           unsigned block, bool backwards) {
    failure = 0;
    if (block == 0 || block % LANES || block > MOST_THREADS) return "blocks are 32 to 1024 threads, whole warps";
    running = kernel;
    running_argument = argument;
    blockDim = {block, 1, 1};
    gridDim = {grid, 1, 1};
    for (unsigned b = first; b < last; b++) {
        blockIdx = {b, 0, 0};
        if (!run_block(block, backwards)) break;
    }
    return failure;
}
