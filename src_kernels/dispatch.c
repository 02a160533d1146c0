/* Which instruction set runs, and how a call is split over threads. */
#include "kernels.h"

#include <stddef.h>

#ifdef _OPENMP
#include <omp.h>
#endif

const fd_kernels *const *fd_available(void) {
    static const fd_kernels *list[3];
    int count = 0;
#if defined(FASTDROP_HAVE_AVX512)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("bmi2"))
        list[count++] = &fd_kernels_avx512;
#endif
    list[count++] = &fd_kernels_portable;
    list[count] = NULL;
    return list;
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

/* Thread t's share of [0, count): whole units, as even as they come. */
typedef struct {
    int64_t begin, end;
} fd_range;

static fd_range share(int64_t count, int64_t unit, int threads, int t) {
    const int64_t units = (count + unit - 1) / unit;
    fd_range range = {units * t / threads * unit, units * (t + 1) / threads * unit};
    if (range.end > count) range.end = count;
    return range;
}

/* A team is not even looked at for one thread: in a child made by fork() its threads are gone. */
#define FD_SPLIT(count, unit, call)                                             \
    do {                                                                        \
        if (threads <= 1) {                                                     \
            const fd_range range = {0, count};                                  \
            call;                                                               \
        } else {                                                                \
            _Pragma("omp parallel for num_threads(threads) schedule(static, 1)") \
            for (int t = 0; t < threads; t++) {                                 \
                const fd_range range = share(count, unit, threads, t);          \
                if (range.begin < range.end) call;                              \
            }                                                                   \
        }                                                                       \
    } while (0)

void fd_bits(const fd_kernels *kernels, int threads, fd_recipe recipe, uint64_t first_tile, uint32_t *words,
             int64_t count) {
    FD_SPLIT(count, FD_TILE_WORDS, kernels->bits(recipe, first_tile, words, range.begin, range.end));
}

void fd_apply(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_geometry *geometry, fd_recipe recipe,
              double scale, const char *x, char *y) {
    int64_t count = 1;
    for (int axis = 0; axis < geometry->ndim; axis++) count *= geometry->shape[axis];
    FD_SPLIT(count, FD_TILE, kernels->apply[dtype](geometry, recipe, scale, x, y, range.begin, range.end));
}

void fd_connect_forward(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_dropconnect_size size,
                        fd_recipe recipe, double scale, const void *x, const void *weight, const void *bias, void *y) {
    FD_SPLIT(size.outputs, 1,
             kernels->connect_forward[dtype](size, recipe, scale, x, weight, bias, y, range.begin, range.end));
}

void fd_connect_dx(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_dropconnect_size size, fd_recipe recipe,
                   double scale, const void *dy, const void *weight, void *dx) {
    FD_SPLIT(size.batch, 1, kernels->connect_dx[dtype](size, recipe, scale, dy, weight, dx, range.begin, range.end));
}

void fd_connect_dweight(const fd_kernels *kernels, int threads, fd_dtype dtype, fd_dropconnect_size size,
                        fd_recipe recipe, double scale, const void *dy, const void *x, void *dweight) {
    FD_SPLIT(size.outputs, 1,
             kernels->connect_dweight[dtype](size, recipe, scale, dy, x, dweight, range.begin, range.end));
}
