/* What the CPU can do: a table of kernels that each instruction set fills, and the entry points that the Cython
 * module calls. */
#ifndef FASTDROP_KERNELS_H
#define FASTDROP_KERNELS_H

#include "mask_rule.h"
#include "operations.h"

#define FD_MAX_DIMS 64 /* NumPy's own limit */
#define FD_MAX_OPERANDS 5

typedef enum { FD_FLOAT32, FD_FLOAT64, FD_FLOAT16, FD_BFLOAT16, FD_DTYPES } fd_dtype;

/* What streaming loops ask memory for in advance: how far ahead, in bytes, and into which cache. Processors differ. */
typedef enum { FD_NO_PREFETCH, FD_FIRST_LEVEL, FD_SECOND_LEVEL, FD_NON_TEMPORAL } fd_hint;
typedef struct {
    fd_hint hint;
    int64_t ahead;
} fd_prefetch;

/* Arrays of one shape and their decisions, walked in C order; strides of operands in bytes, of decisions in decisions.
 * The decision at an index is number first + sum(index[axis] * decision_stride[axis]). A stride of 0 decisions means that
 * one decision is shared along that axis; a mask's window may have any strides, also negative ones. */
typedef struct {
    fd_recipe recipe;
    double scale;
    double shift; /* of FD_ALPHA */
    int stream;   /* write past the caches */
    fd_prefetch prefetch;
    int operands;
    char *data[FD_MAX_OPERANDS];
    int ndim; /* at least 1 */
    int64_t shape[FD_MAX_DIMS];
    uint64_t first;
    int64_t decision_stride[FD_MAX_DIMS];
    int64_t stride[FD_MAX_OPERANDS][FD_MAX_DIMS];
} fd_elementwise;

FD_INLINE int fd_has_sums(fd_operation operation) {
    return operation == FD_BIAS_RELU_BACKWARD || operation == FD_BIAS_GELU_BACKWARD;
}

/* Whether the last operand is added along the last axis. */
FD_INLINE int fd_adds_bias(fd_operation operation) {
    return operation == FD_BIAS_RELU || operation == FD_BIAS_GELU;
}

/* Whether there is an operand beside x. */
FD_INLINE int fd_has_second(fd_operation operation) { return operation != FD_DROPOUT && operation != FD_ALPHA; }

/* The blocks that the transposed kernel works on: so many rows (along memory) and columns (along decisions). */
#define FD_BLOCK_ROWS 256
#define FD_BLOCK_COLUMNS 4096

/* Rows of a C-contiguous array: softmax(x) and dropout, or their backward pass, where y is dx. */
typedef struct {
    fd_recipe recipe;
    double scale;
    int64_t rows, columns;
    const char *dy; /* NULL: forward */
    const char *x;
    char *y;
} fd_softmax;

/* y = x * (1 + sigma * z) of contiguous arrays; x's first element is the first of group `first_group` of FD_NORMALS. */
typedef struct {
    fd_recipe recipe; /* its key and call */
    double sigma;
    uint64_t first_group;
    int64_t count;
    const char *x;
    char *y;
} fd_gaussian;

/* The benchmark's yardsticks: a copy by vectors, the same past the caches, and the C library's. */
typedef enum { FD_PLAIN, FD_STREAM, FD_MEMCPY } fd_copy_kind;

/* DropConnect, one mask per example: decision (b * outputs + o) * inputs + i, all arrays C-contiguous. */
typedef struct {
    int64_t batch, outputs, inputs;
} fd_dropconnect_size;

typedef struct {
    const char *name;
    /* Keep bits from the first tile on, word range [begin, end) of them, begin a multiple of FD_TILE_WORDS. */
    void (*bits)(fd_recipe, uint64_t first_tile, uint32_t *words, int64_t begin, int64_t end);
    /* The elements [begin, end) in C order. */
    void (*elementwise[FD_DTYPES])(const fd_elementwise *, fd_operation, int64_t begin, int64_t end);
    /* FD_DROPOUT where memory runs along another axis than decisions: units [begin, end) of fd_transposed_units. */
    void (*transposed[FD_DTYPES])(const fd_elementwise *, int64_t begin, int64_t end);
    void (*softmax[FD_DTYPES])(const fd_softmax *, int64_t first_row, int64_t last_row);
    /* The elements [begin, end), begin a multiple of FD_NORMALS. */
    void (*gaussian[FD_DTYPES])(const fd_gaussian *, int64_t begin, int64_t end);
    /* y[b,o] = bias[o] + scale * sum_i keep * weight[o,i] * x[b,i], for outputs [begin, end) */
    void (*connect_forward[2])(fd_dropconnect_size, fd_recipe, double scale, const void *x, const void *weight,
                               const void *bias, void *y, int64_t begin, int64_t end);
    /* dx[b,i] = scale * sum_o keep * weight[o,i] * dy[b,o], for examples [begin, end) */
    void (*connect_dx[2])(fd_dropconnect_size, fd_recipe, double scale, const void *dy, const void *weight, void *dx,
                          int64_t begin, int64_t end);
    /* dweight[o,i] = scale * sum_b keep * dy[b,o] * x[b,i], for outputs [begin, end) */
    void (*connect_dweight[2])(fd_dropconnect_size, fd_recipe, double scale, const void *dy, const void *x,
                               void *dweight, int64_t begin, int64_t end);
    /* Bytes [begin, end). */
    void (*copy)(const char *from, char *to, fd_copy_kind, int64_t begin, int64_t end);
} fd_kernels;

/* Each instruction set's table; NULL-terminated list of those that this processor runs, best first. */
extern const fd_kernels fd_kernels_portable;
extern const fd_kernels fd_kernels_neon;
extern const fd_kernels fd_kernels_avx2;
extern const fd_kernels fd_kernels_avx512;
const fd_kernels *const *fd_available(void);

/* The processor as CPUID describes it: AMD's Zen 3 and 4 are family 25, Zen 5 is 26, Intel's are nearly all 6. Zeros where there
 * is no CPUID. */
typedef struct {
    char vendor[13];
    int family, model;
} fd_processor;
fd_processor fd_processor_here(void);

/* Run a kernel over its range on up to `threads` threads. Results do not depend on their number. */
int fd_max_threads(void);
int fd_calls_at_once(void); /* those that asked for more than one thread */
int fd_team_size(int threads, int calls, int cores); /* threads of one call while `calls` run at once */
int fd_has_openmp(void);
void fd_bits(const fd_kernels *, int threads, fd_recipe, uint64_t first_tile, uint32_t *words, int64_t count);
/* A backward operation's sums: its last operand has room for a row of them for every fd_sum_rows rows, which are added up
 * by themselves, whatever the number of threads. */
void fd_apply(const fd_kernels *, int threads, fd_dtype, fd_operation, fd_elementwise *);
int64_t fd_sum_rows(int64_t columns);
void fd_run_softmax(const fd_kernels *, int threads, fd_dtype, const fd_softmax *);
void fd_run_gaussian(const fd_kernels *, int threads, fd_dtype, const fd_gaussian *);
void fd_connect_forward(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                        const void *x, const void *weight, const void *bias, void *y);
void fd_connect_dx(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                   const void *dy, const void *weight, void *dx);
void fd_connect_dweight(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                        const void *dy, const void *x, void *dweight);
void fd_copy(const fd_kernels *, int threads, const char *from, char *to, fd_copy_kind, int64_t count, int64_t size);

#endif
