/* Enough of CUDA C++ to run src_kernels' .cu files on the processor, for tests only.
 *
 * Included before the same source that a GPU gets. A block's threads are coroutines of one thread: each runs until
 * it must wait for others, at a barrier or in a shuffle (scheduler.h). Blocks run one after the other, so a
 * `__shared__` array is a static one.
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
#include "scheduler.h"

/* ---- threads, as coroutines ---- */

enum { STACK_BYTES = 256 << 10 };

EMULATION ucontext_t contexts[MOST_THREADS], between;

static void resume_thread(unsigned thread) { swapcontext(&between, &contexts[thread]); }
static void leave() { swapcontext(&contexts[current], &between); }

static void wait_at(scheduled_barrier &barrier, unsigned expected) {
    if (arrive(barrier, expected, 0)) leave();
}
static inline void __syncthreads() { wait_at(block_barrier, blockDim.x); }
static inline void __syncwarp() { wait_at(warp_barriers[current / LANES], LANES); }

template <typename T>
static T exchange(unsigned mask, T value, int source) {
    if (mask != 0xFFFFFFFFu) fail("a shuffle of a part of the warp");
    if (source < 0 || source >= LANES) fail("a shuffle from a lane that does not exist");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    const unsigned turn = offer(word);
    wait_at(warp_barriers[current / LANES], LANES);
    word = offered(turn, source % LANES);
    memcpy(&value, &word, sizeof value);
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

/* ---- unwritten shared memory ----
 *
 * Compiled with -fsanitize=thread and linked without it, the kernels call these functions at each access to memory.
 * Only shared arrays have no initial values in this library. */
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
#define EMULATED_ACCESS(size)                                                                                          \
    extern "C" void __tsan_read##size(void *at) { note_access(at, size, false); }                                      \
    extern "C" void __tsan_write##size(void *at) { note_access(at, size, true); }                                      \
    extern "C" void __tsan_unaligned_read##size(void *at) { note_access(at, size, false); }                            \
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

static void run_thread() {
    running(running_argument);
    threads[current].done = true;
    leave();
}

static void begin_block() { forget_shared_writes(); }

static void begin_thread(unsigned thread) {
    ucontext_t &context = contexts[thread];
    void *stack = context.uc_stack.ss_sp ? context.uc_stack.ss_sp : malloc(STACK_BYTES);
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = 0;
    makecontext(&context, run_thread, 0);
}

static const char *emulate(emulated_kernel kernel, const void *argument, const launch &how) {
    running = kernel;
    running_argument = argument;
    return run_blocks(how);
}
