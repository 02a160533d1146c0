/* Which instruction set runs, and how a call is split over threads. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu and affinities */
#endif
#include "kernels.h"

#include <stddef.h>
#include <string.h>
#ifdef __linux__
#include <sched.h>
#include <unistd.h>
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define FD_CPUID(leaf, r) __cpuid(leaf, r[0], r[1], r[2], r[3])
#elif defined(_M_X64) || defined(_M_IX86)
#include <intrin.h>
#define FD_CPUID(leaf, r) __cpuid((int *)r, leaf)
#endif

#if defined(FASTDROP_HAVE_AVX512) || defined(FASTDROP_HAVE_AVX2)
/* Bit `bit` of a register that CPUID fills in. */
static int has(unsigned bits, int bit) { return bits >> bit & 1; }

/* What the processor has and the system saves the registers of. Not by __builtin_cpu_supports: it asks the compiler's
 * run-time library, which clang-cl does not link and Zig has as a stub that knows no instruction set. */
static void find_isas(int *avx2, int *avx512) {
    unsigned basic[4], extended[4] = {0}, saved, high;
    *avx2 = *avx512 = 0;
    FD_CPUID(0, basic);
    if (basic[0] < 7) return;
    FD_CPUID(1, basic);
    const int osxsave = 27, avx = 28, f16c = 29, popcnt = 23; /* of basic's ECX */
    if (!has(basic[2], osxsave) || !has(basic[2], avx)) return;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    __cpuid_count(7, 0, extended[0], extended[1], extended[2], extended[3]);
    const unsigned ebx = extended[1];
    const int avx2_bit = 5, bmi2 = 8, avx512f = 16, dq = 17, cd = 28, bw = 30, vl = 31;
    if ((saved & 0x06) != 0x06 || !has(ebx, bmi2)) return; /* SSE's and AVX's registers */
    *avx2 = has(ebx, avx2_bit) && has(basic[2], f16c);
    *avx512 = has(ebx, avx512f) && has(ebx, dq) && has(ebx, cd) && has(ebx, bw) && has(ebx, vl) && has(basic[2], popcnt);
#if !defined(__APPLE__) /* macOS begins to save AVX-512's when a thread first uses them */
    *avx512 &= (saved & 0xE0) == 0xE0;
#endif
}
#endif

const fd_kernels *const *fd_available(void) {
    static const fd_kernels *list[4];
    int count = 0;
#if defined(FASTDROP_HAVE_AVX512) || defined(FASTDROP_HAVE_AVX2)
    int avx2, avx512;
    find_isas(&avx2, &avx512);
#endif
#if defined(FASTDROP_HAVE_AVX512)
    if (avx512) list[count++] = &fd_kernels_avx512;
#endif
#if defined(FASTDROP_HAVE_AVX2)
    if (avx2) list[count++] = &fd_kernels_avx2;
#endif
#if defined(FASTDROP_HAVE_NEON)
    list[count++] = &fd_kernels_neon;
#endif
    list[count++] = &fd_kernels_portable;
    list[count] = NULL;
    return list;
}

fd_processor fd_processor_here(void) {
    fd_processor found = {"", 0, 0};
#if defined(FD_CPUID)
    unsigned r[4];
    FD_CPUID(0, r);
    memcpy(found.vendor, r + 1, 4);
    memcpy(found.vendor + 4, r + 3, 4);
    memcpy(found.vendor + 8, r + 2, 4);
    FD_CPUID(1, r); /* the numbers are continued in extended fields */
    const unsigned family = r[0] >> 8 & 15, model = r[0] >> 4 & 15;
    found.family = (int)(family == 15 ? family + (r[0] >> 20 & 255) : family);
    found.model = (int)(family == 15 || family == 6 ? model | (r[0] >> 16 & 15) << 4 : model);
#endif
    return found;
}

int fd_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

int fd_max_threads(void) {
#ifdef _OPENMP
    return omp_get_max_threads(); /* the cores that this process may use, or OMP_NUM_THREADS */
#else
    return 1;
#endif
}

/* The t-th of so many shares of [0, count): whole units, as even as they come. */
typedef struct {
    int64_t begin, end;
} fd_range;

static fd_range share(int64_t count, int64_t unit, int shares, int t) {
    const int64_t units = (count + unit - 1) / unit;
    fd_range range = {units * t / shares * unit, units * (t + 1) / shares * unit};
    range.end += FD_FAULT(shares_gap, 0, -(t + 1 < shares)) + FD_FAULT(shares_overlap, 0, t + 1 < shares);
    if (range.end > count) range.end = count;
    return range;
}

/* The thread that a call comes from: the core that it runs on, and the cores that it may run on. */
#if defined(__linux__) && defined(_OPENMP)
typedef struct {
    int core; /* -1: unknown, or OpenMP has been told where its threads run */
    cpu_set_t allowed;
} fd_caller;

/* Fills in the caller; returns how many threads its call gets: a caller that is pinned to fewer cores gets no more. */
static int team_of(int threads, fd_caller *caller) {
    caller->core = -1;
    if (threads <= 1 || omp_get_proc_bind() != omp_proc_bind_false) return threads;
    if (sched_getaffinity(0, sizeof caller->allowed, &caller->allowed) != 0) return threads; /* over 1024 cores */
    caller->core = sched_getcpu();
    const int cores = CPU_COUNT(&caller->allowed);
    return threads < cores ? threads : cores;
}

/* A worker that is woken on its caller's core runs after it, not beside it, and does so call after call where the system
 * does not look for idle cores (seen in a virtual machine: two threads took 60 microseconds longer than one). It moves
 * to any other core that its caller may use, and may no longer wake on this one. */
static void place_worker(const fd_caller *caller) {
    const int core = sched_getcpu();
    if (caller->core < 0 || core < 0 || (core != caller->core && CPU_ISSET(core, &caller->allowed))) return;
    cpu_set_t others = caller->allowed;
    CPU_CLR(caller->core, &others);
    if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others); /* where that fails, it stays */
}
#else
typedef struct {
    int core;
} fd_caller;
static int team_of(int threads, fd_caller *caller) {
    caller->core = -1;
    return threads;
}
static void place_worker(const fd_caller *caller) { (void)caller; }
#endif

/* Calls that several threads of a program make at the same time share the cores: else each of Dask's threads, say, would
 * have a team of that many. Counted are the calls that ask for more than one thread; the first ones keep more until they
 * end. */
static int at_once;
int fd_team_size(int threads, int calls, int cores) {
    const int own = cores > calls ? cores / calls : 1;
    return FD_FAULT(teams_not_shared, calls > 1 && threads > own ? own : threads, threads);
}
#if defined(_OPENMP)
int fd_calls_at_once(void) { return __atomic_load_n(&at_once, __ATOMIC_RELAXED); }
static int begin_call(int threads, fd_caller *caller) {
    const int team = team_of(threads, caller);
    if (threads <= 1) return team;
    const int calls = __atomic_add_fetch(&at_once, 1, __ATOMIC_RELAXED);
    return calls > 1 ? fd_team_size(team, calls, omp_get_num_procs()) : team;
}
static void end_call(int threads) {
    if (threads > 1) __atomic_sub_fetch(&at_once, 1, __ATOMIC_RELAXED);
}
#else
int fd_calls_at_once(void) { return at_once; }
static int begin_call(int threads, fd_caller *caller) { return team_of(threads, caller); }
static void end_call(int threads) { (void)threads; }
#endif

/* A team is not even looked at for one thread: in a child made by fork() its threads are gone. */
#ifdef _OPENMP
#define FD_PRAGMA(text) _Pragma(#text)
#define FD_PARALLEL(kind) FD_PRAGMA(omp parallel for num_threads(team) schedule(kind, 1))
static int is_worker(void) { return omp_get_thread_num() > 0; }
#else
#define FD_PARALLEL(kind)
static int is_worker(void) { return 0; }
#endif
/* [0, count) in so many pieces of whole units. */
#define FD_SPLIT_INTO(pieces, kind, count, unit, call)                     \
    do {                                                                   \
        fd_caller caller;                                                  \
        const int team = begin_call(threads, &caller);                     \
        if (team <= 1) {                                                   \
            const fd_range range = {0, count};                             \
            call;                                                          \
        } else {                                                           \
            FD_PARALLEL(kind)                                              \
            for (int piece = 0; piece < (pieces); piece++) {               \
                if (is_worker()) place_worker(&caller);                    \
                const fd_range range = share(count, unit, pieces, piece);  \
                if (range.begin < range.end) call;                         \
            }                                                              \
        }                                                                  \
        end_call(threads);                                                 \
    } while (0)
/* One for each thread, the same one call after call: its caches may still hold it. */
#define FD_SPLIT(count, unit, call) FD_SPLIT_INTO(threads, static, count, unit, call)
/* For what takes milliseconds, more, and whoever is free takes the next one: BLAS's idle threads spin for 0.1 s on the
 * cores that workers want, and who gets half a core is not to have half of the work (seen: 8 ms instead of 4.5). */
#define FD_LONG ((int64_t)1 << 22) /* elements: from there on no cache of a core's own holds its share */
#define FD_SPLIT_LONG(count, unit, call) FD_SPLIT_INTO(8 * threads, dynamic, count, unit, call)

void fd_bits(const fd_kernels *kernels, int threads, fd_recipe recipe, uint64_t first_tile, uint32_t *words,
             int64_t count) {
    FD_SPLIT(count, FD_TILE_WORDS, kernels->bits(recipe, first_tile, words, range.begin, range.end));
}

/* Moves an axis to the end of the walk, or to the last place but one; decisions keep their numbers. */
static void move_axis(fd_elementwise *e, int from, int to) {
    for (int axis = from; axis < to; axis++) {
        const int64_t shape = e->shape[axis], decision = e->decision_stride[axis];
        e->shape[axis] = e->shape[axis + 1];
        e->decision_stride[axis] = e->decision_stride[axis + 1];
        e->shape[axis + 1] = shape;
        e->decision_stride[axis + 1] = decision;
        for (int k = 0; k < e->operands; k++) {
            const int64_t stride = e->stride[k][axis];
            e->stride[k][axis] = e->stride[k][axis + 1];
            e->stride[k][axis + 1] = stride;
        }
    }
}

/* Where memory runs along another axis than decisions do, brings that axis forward. Returns whether the transposed
 * kernel is the one for it. */
static int arrange(fd_elementwise *e, fd_operation operation, int64_t size) {
    const int last = e->ndim - 1;
    if (e->stride[0][last] == size && e->stride[1][last] == size) return 0;
    for (int axis = last - 1; axis >= 0; axis--) {
        int neighbours = e->shape[axis] > 1;
        for (int k = 0; k < e->operands; k++) neighbours &= e->stride[k][axis] == size;
        if (!neighbours) continue;
        if (e->decision_stride[axis] == 0) {
            move_axis(e, axis, last);
            return 0;
        }
        if (operation != FD_DROPOUT || e->decision_stride[last] != 1) return 0;
        move_axis(e, axis, last - 1);
        return 1;
    }
    return 0;
}

static int64_t blocks(int64_t count, int64_t block) { return (count + block - 1) / block; }

/* Rows whose sums one block adds up: about 2^16 elements, so that there are blocks for many threads and few sums. */
int64_t fd_sum_rows(int64_t columns) {
    return columns < 1 << 16 ? FD_FAULT(sum_rows, 1 << 16, 1 << 15) / (columns > 0 ? columns : 1) : 1;
}

void fd_apply(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_operation operation, fd_elementwise *e) {
    static const int64_t sizes[FD_DTYPES] = {4, 8, 2, 2};
    int64_t count = 1;
    for (int axis = 0; axis < e->ndim; axis++) count *= e->shape[axis];
    if (fd_has_sums(operation)) { /* every block of rows has its own place for sums */
        const int64_t columns = e->shape[e->ndim - 1], block = fd_sum_rows(columns) * columns;
        const int64_t size = columns * e->stride[4][e->ndim - 1];
        FD_SPLIT(blocks(count, block), 1, {
            for (int64_t b = range.begin; b < range.end; b++) {
                fd_elementwise part = *e;
                part.data[4] += FD_FAULT(sums_place, b, b / 2) * size;
                kernels->elementwise[dtype](&part, operation, b * block,
                                            (b + 1) * block < count ? (b + 1) * block : count);
            }
        });
    } else if (FD_FAULT(memory_order_ignored, arrange(e, operation, sizes[dtype]), 0)) {
        const int64_t rows = e->shape[e->ndim - 2], columns = e->shape[e->ndim - 1];
        const int64_t units =
            count / (rows * columns) * blocks(rows, FD_BLOCK_ROWS) * blocks(columns, FD_BLOCK_COLUMNS);
        FD_SPLIT(units, 1, kernels->transposed[dtype](e, range.begin, range.end));
    } else if (count < FD_LONG) {
        FD_SPLIT(count, FD_TILE, kernels->elementwise[dtype](e, operation, range.begin, range.end));
    } else {
        FD_SPLIT_LONG(count, FD_TILE, kernels->elementwise[dtype](e, operation, range.begin, range.end));
    }
}

void fd_run_softmax(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_softmax *softmax) {
    FD_SPLIT(softmax->rows, 1, kernels->softmax[dtype](softmax, range.begin, range.end));
}

void fd_run_gaussian(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_gaussian *gaussian) {
    if (gaussian->count < FD_LONG)
        FD_SPLIT(gaussian->count, FD_TILE, kernels->gaussian[dtype](gaussian, range.begin, range.end));
    else
        FD_SPLIT_LONG(gaussian->count, FD_TILE, kernels->gaussian[dtype](gaussian, range.begin, range.end));
}

void fd_connect_forward(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_dropconnect_size size,
                        fd_recipe recipe, double scale, const void *x, const void *weight, const void *bias, void *y) {
    FD_SPLIT_LONG(size.outputs, 1,
             kernels->connect_forward[dtype](size, recipe, scale, x, weight, bias, y, range.begin, range.end));
}

void fd_connect_dx(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_dropconnect_size size, fd_recipe recipe,
                   double scale, const void *dy, const void *weight, void *dx) {
    FD_SPLIT_LONG(size.batch, 1, kernels->connect_dx[dtype](size, recipe, scale, dy, weight, dx, range.begin, range.end));
}

void fd_connect_dweight(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_dropconnect_size size,
                        fd_recipe recipe, double scale, const void *dy, const void *x, void *dweight) {
    FD_SPLIT_LONG(size.outputs, 1,
             kernels->connect_dweight[dtype](size, recipe, scale, dy, x, dweight, range.begin, range.end));
}

/* Split as fd_apply splits contiguous arrays of this size. */
void fd_copy(const fd_kernels *kernels, int threads, const char *from, char *to, fd_copy_kind kind, int64_t count,
             int64_t size) {
    if (count < FD_LONG)
        FD_SPLIT(count, FD_TILE, kernels->copy(from, to, kind, range.begin * size, range.end * size));
    else
        FD_SPLIT_LONG(count, FD_TILE, kernels->copy(from, to, kind, range.begin * size, range.end * size));
}
