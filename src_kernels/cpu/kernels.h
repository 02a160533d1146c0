/* What the CPU can do, as C: the entry points that the Cython modules call, and the table of kernels behind them that
 * each instruction set fills. */
#ifndef FASTDROP_KERNELS_H
#define FASTDROP_KERNELS_H

#include "shared/mask_rule.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FD_MAX_DIMS 64 /* NumPy's own limit */
#define FD_MAX_OPERANDS 5

typedef enum { FD_FLOAT32, FD_FLOAT64, FD_FLOAT16, FD_BFLOAT16, FD_DTYPES } fd_dtype;

/* What loops over large arrays ask memory for in advance: how far ahead, in bytes, and into which cache. Processors
 * differ. */
typedef enum { FD_NO_PREFETCH, FD_FIRST_LEVEL, FD_SECOND_LEVEL, FD_NON_TEMPORAL } fd_hint;
typedef struct {
    fd_hint hint;
    int64_t ahead;
} fd_prefetch;

/* An elementwise operation of shared/operations.h, by its number there. */
typedef struct {
    const char *name;
    int inputs;   /* arrays that are read */
    int has_bias; /* the last of them has one element for each column */
    int has_sums; /* results are summed over rows */
} fd_operation;
const fd_operation *fd_operation_at(int number); /* NULL behind the last one */

/* Arrays of one shape and their keep bits, walked in C order; strides of operands in bytes, of keep bits in bits. The
 * operands are y, which is written, then the inputs, then (fd_has_sums) the sums, which are added to. The keep bit at
 * an index is number first_bit + sum(index[axis] * bit_stride[axis]). A bit stride of 0 means that one bit is shared
 * along that axis; a slice of a mask may have any strides, also negative ones. */
typedef struct {
    fd_dropout_mask mask;
    double scale, shift;
    int nontemporal; /* write past the caches */
    fd_prefetch prefetch;
    int operands;
    char *data[FD_MAX_OPERANDS];
    int ndim; /* at least 1 */
    int64_t shape[FD_MAX_DIMS];
    uint64_t first_bit;
    int64_t bit_stride[FD_MAX_DIMS];
    int64_t stride[FD_MAX_OPERANDS][FD_MAX_DIMS];
} fd_elementwise;

/* The panels that the transposed kernel works on: rows (along memory) and columns (along keep bits). */
#define FD_PANEL_ROWS 256
#define FD_PANEL_COLUMNS 4096

/* Rows of a C-contiguous array: softmax(x) and dropout, or their backward pass, where y is dx. */
typedef struct {
    fd_dropout_mask mask;
    double scale;
    int64_t rows, columns;
    const char *dy; /* NULL: forward */
    const char *x;
    char *y;
} fd_softmax;

/* y = x * (1 + sigma * z) of contiguous arrays; x's first element is the first of group `first_group` of normal
 * numbers. */
typedef struct {
    fd_draw draw;
    double sigma;
    uint64_t first_group;
    int64_t count;
    const char *x;
    char *y;
} fd_gaussian;

/* DropConnect, one mask per example: the keep bit of a weight is number (b * outputs + o) * inputs + i. All arrays are
 * C-contiguous, of float or double; `to` is written, the others are read where a kernel says so. */
typedef struct {
    fd_dropout_mask mask;
    double scale;
    int64_t batch, outputs, inputs;
    const void *x, *weight, *bias, *dy; /* bias: may be NULL */
    void *to;
} fd_dropconnect;

/* Copies, for the benchmark. */
typedef enum { FD_COPY_VECTORS, FD_COPY_NONTEMPORAL, FD_COPY_MEMCPY } fd_copy_kind;

typedef void fd_elementwise_kernel(const fd_elementwise *, int operation, int64_t begin, int64_t end);
typedef void fd_softmax_kernel(const fd_softmax *, int64_t begin, int64_t end);
typedef void fd_gaussian_kernel(const fd_gaussian *, int64_t begin, int64_t end);
typedef void fd_dropconnect_kernel(const fd_dropconnect *, int64_t begin, int64_t end);

typedef struct {
    const char *name;
    /* Keep bits from the first tile on, word range [begin, end) of them, begin a multiple of FD_TILE_WORDS. */
    void (*keep_bits)(fd_dropout_mask, uint64_t first_tile, uint32_t *words, int64_t begin, int64_t end);
    fd_elementwise_kernel *elementwise[FD_DTYPES]; /* the elements [begin, end) in C order */
    fd_elementwise_kernel *transposed[FD_DTYPES];  /* dropout where memory runs along another axis than bits: panels */
    fd_softmax_kernel *softmax[FD_DTYPES];         /* rows */
    fd_gaussian_kernel *gaussian[FD_DTYPES];       /* elements, begin a multiple of FD_NORMAL_GROUP */
    /* y[b,o] = bias[o] + scale * sum_i keep * weight[o,i] * x[b,i], for outputs [begin, end) */
    fd_dropconnect_kernel *dropconnect_forward[2];
    /* dx[b,i] = scale * sum_o keep * weight[o,i] * dy[b,o], for examples [begin, end) */
    fd_dropconnect_kernel *dropconnect_dx[2];
    /* dweight[o,i] = scale * sum_b keep * dy[b,o] * x[b,i], for outputs [begin, end) */
    fd_dropconnect_kernel *dropconnect_dweight[2];
    /* Bytes [begin, end). */
    void (*copy)(const char *from, char *to, fd_copy_kind, int64_t begin, int64_t end);
} fd_kernels;

/* Each instruction set's table; NULL-terminated list of those that this processor runs, best first. */
extern const fd_kernels fd_kernels_portable;
extern const fd_kernels fd_kernels_neon;
extern const fd_kernels fd_kernels_avx2;
extern const fd_kernels fd_kernels_avx512;
const fd_kernels *const *fd_available(void);

/* The processor as CPUID describes it: AMD's Zen 3 and 4 are family 25, Zen 5 is 26, Intel's are nearly all 6. Zeros
 * where there is no CPUID. */
typedef struct {
    char vendor[13];
    int family, model;
} fd_processor;
fd_processor fd_processor_here(void);

/* Threads. */
int fd_max_threads(void);
int fd_concurrent_calls(void);                       /* those that asked for more than one thread */
int fd_team_size(int threads, int calls, int cores); /* threads of one call while `calls` run at the same time */
int fd_has_openmp(void);

/* Run a kernel over its range on up to `threads` threads. Results do not depend on their number. */
void fd_run_keep_bits(const fd_kernels *, int threads, fd_dropout_mask, uint64_t first_tile, uint32_t *words,
                      int64_t count);
/* An operation's sums: its last operand has room for a row of them for every fd_sum_rows rows, each added up on its
 * own, whatever the number of threads. */
void fd_run_elementwise(const fd_kernels *, int threads, fd_dtype, int operation, fd_elementwise *);
int64_t fd_sum_rows(int64_t columns);
void fd_run_softmax(const fd_kernels *, int threads, fd_dtype, const fd_softmax *);
void fd_run_gaussian(const fd_kernels *, int threads, fd_dtype, const fd_gaussian *);
void fd_run_dropconnect_forward(const fd_kernels *, int threads, fd_dtype, const fd_dropconnect *);
void fd_run_dropconnect_dx(const fd_kernels *, int threads, fd_dtype, const fd_dropconnect *);
void fd_run_dropconnect_dweight(const fd_kernels *, int threads, fd_dtype, const fd_dropconnect *);
void fd_run_copy(const fd_kernels *, int threads, const char *from, char *to, fd_copy_kind, int64_t count,
                 int64_t size);

#ifdef __cplusplus
}
#endif

#endif
