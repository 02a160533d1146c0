# The C interface of the kernels.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

# FD_FAULT(name, right, wrong) is `right`; the names are those of planted faults.
cdef extern from "shared/faults.h" nogil:
    int64_t FD_FAULT(int name, int64_t right, int64_t wrong)
    const int call_stays, children_repeat, given_back_late, seed_lost, scaling_mixed_up, overlap_unseen
    const int interleaving_unseen, alignment_unchecked, axes_merged, axis_not_shared
    const int never_past_caches, past_caches_in_place, one_thread_always

cdef extern from "cpu/kernels.h" nogil:
    const int FD_MAX_DIMS
    const int FD_MAX_OPERANDS

    ctypedef enum fd_dtype:
        FD_FLOAT32
        FD_FLOAT64
        FD_FLOAT16
        FD_BFLOAT16

    ctypedef struct fd_operation:
        const char *name
        int inputs
        int has_bias
        int has_sums

    ctypedef enum fd_hint:
        FD_NO_PREFETCH

    ctypedef struct fd_prefetch:
        fd_hint hint
        int64_t ahead

    ctypedef struct fd_processor:
        char vendor[13]
        int family
        int model

    ctypedef struct fd_words:
        uint32_t w[4]

    ctypedef struct fd_draw:
        uint64_t key
        uint64_t call

    ctypedef struct fd_dropout_mask:
        fd_draw draw
        uint64_t threshold

    ctypedef struct fd_elementwise:
        fd_dropout_mask mask
        double scale
        double shift
        int nontemporal
        fd_prefetch prefetch
        int operands
        char *data[5]
        int ndim
        int64_t shape[64]
        uint64_t first_bit
        int64_t bit_stride[64]
        int64_t stride[5][64]

    ctypedef struct fd_softmax:
        fd_dropout_mask mask
        double scale
        int64_t rows
        int64_t columns
        const char *dy
        const char *x
        char *y

    ctypedef struct fd_gaussian:
        fd_draw draw
        double sigma
        uint64_t first_group
        int64_t count
        const char *x
        char *y

    ctypedef struct fd_dropconnect:
        fd_dropout_mask mask
        double scale
        int64_t batch
        int64_t outputs
        int64_t inputs
        const void *x
        const void *weight
        const void *bias
        const void *dy
        void *to

    ctypedef enum fd_copy_kind:
        FD_COPY_VECTORS
        FD_COPY_NONTEMPORAL
        FD_COPY_MEMCPY

    ctypedef struct fd_kernels:
        const char *name

    fd_words fd_philox4x32_10(fd_words counter, uint32_t key0, uint32_t key1)
    const fd_kernels *const *fd_available()
    fd_processor fd_processor_here()
    const fd_operation *fd_operation_at(int number)
    int fd_max_threads()
    int fd_concurrent_calls()
    int fd_team_size(int threads, int calls, int cores)
    int fd_has_openmp()
    int64_t fd_sum_rows(int64_t columns)
    void fd_run_keep_bits(const fd_kernels *, int threads, fd_dropout_mask, uint64_t first_tile, uint32_t *words,
                          int64_t count)
    void fd_run_elementwise(const fd_kernels *, int threads, fd_dtype, int operation, fd_elementwise *)
    void fd_run_softmax(const fd_kernels *, int threads, fd_dtype, const fd_softmax *)
    void fd_run_gaussian(const fd_kernels *, int threads, fd_dtype, const fd_gaussian *)
    void fd_run_dropconnect_forward(const fd_kernels *, int threads, fd_dtype, const fd_dropconnect *)
    void fd_run_dropconnect_dx(const fd_kernels *, int threads, fd_dtype, const fd_dropconnect *)
    void fd_run_dropconnect_dweight(const fd_kernels *, int threads, fd_dtype, const fd_dropconnect *)
    void fd_run_copy(const fd_kernels *, int threads, const char *source, char *target, fd_copy_kind, int64_t count,
                     int64_t size)
