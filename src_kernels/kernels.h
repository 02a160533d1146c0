/* The table of kernels that each instruction set fills, and the entry points that the Cython module calls. */
#ifndef FASTDROP_KERNELS_H
#define FASTDROP_KERNELS_H

#include "mask_rule.h"

#define FD_MAX_DIMS 64 /* NumPy's own limit */

typedef enum { FD_FLOAT32 = 0, FD_FLOAT64 = 1, FD_DTYPES = 2 } fd_dtype;

/* An array pair and its decisions, walked in C order; strides of x and y in bytes, of decisions in decisions.
 * A stride of 0 decisions means that one decision is shared along that axis. */
typedef struct {
    int ndim; /* at least 1 */
    int64_t shape[FD_MAX_DIMS];
    int64_t x_stride[FD_MAX_DIMS];
    int64_t y_stride[FD_MAX_DIMS];
    int64_t decision_stride[FD_MAX_DIMS]; /* the last is 0 or 1 */
} fd_geometry;

/* DropConnect, one mask per example: decision (b * outputs + o) * inputs + i, all arrays C-contiguous. */
typedef struct {
    int64_t batch, outputs, inputs;
} fd_dropconnect_size;

typedef struct {
    const char *name;
    /* Keep bits from the first tile on, word range [begin, end) of them, begin a multiple of FD_TILE_WORDS. */
    void (*bits)(fd_recipe, uint64_t first_tile, uint32_t *words, int64_t begin, int64_t end);
    /* y = keep ? x * scale : 0 for the elements [begin, end) in C order. */
    void (*apply[FD_DTYPES])(const fd_geometry *, fd_recipe, double scale, const char *x, char *y, int64_t begin,
                             int64_t end);
    /* y[b,o] = bias[o] + scale * sum_i keep * weight[o,i] * x[b,i], for outputs [begin, end) */
    void (*connect_forward[FD_DTYPES])(fd_dropconnect_size, fd_recipe, double scale, const void *x, const void *weight,
                                       const void *bias, void *y, int64_t begin, int64_t end);
    /* dx[b,i] = scale * sum_o keep * weight[o,i] * dy[b,o], for examples [begin, end) */
    void (*connect_dx[FD_DTYPES])(fd_dropconnect_size, fd_recipe, double scale, const void *dy, const void *weight,
                                  void *dx, int64_t begin, int64_t end);
    /* dweight[o,i] = scale * sum_b keep * dy[b,o] * x[b,i], for outputs [begin, end) */
    void (*connect_dweight[FD_DTYPES])(fd_dropconnect_size, fd_recipe, double scale, const void *dy, const void *x,
                                       void *dweight, int64_t begin, int64_t end);
} fd_kernels;

/* Each instruction set's table; NULL-terminated list of those that this processor runs, best first. */
extern const fd_kernels fd_kernels_portable;
extern const fd_kernels fd_kernels_avx512;
const fd_kernels *const *fd_available(void);

/* Run a kernel over its range on up to `threads` threads. Results do not depend on their number. */
int fd_max_threads(void);
int fd_has_openmp(void);
void fd_bits(const fd_kernels *, int threads, fd_recipe, uint64_t first_tile, uint32_t *words, int64_t count);
void fd_apply(const fd_kernels *, int threads, fd_dtype, const fd_geometry *, fd_recipe, double scale, const char *x,
              char *y);
void fd_connect_forward(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                        const void *x, const void *weight, const void *bias, void *y);
void fd_connect_dx(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                   const void *dy, const void *weight, void *dx);
void fd_connect_dweight(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                        const void *dy, const void *x, void *dweight);

#endif
