/* The entry points: each splits its kernel's range over threads. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu and affinities */
#endif
#include "cpu/kernels.h"

#include <string.h>

#include "cpu/threads.h"
#include "shared/operations.h"

/* ---- the table of operations, for C ---- */

namespace {
template <typename Operations>
struct table;
template <typename... Ops>
struct table<op::list<Ops...>> {
    static constexpr fd_operation rows[] = {{Ops::name, Ops::inputs, Ops::has_bias, Ops::has_sums}...};
    static constexpr int count = sizeof...(Ops);
};
constexpr int operation_named(const char *name) {
    for (int k = 0; k < table<op::all>::count; k++) {
        const char *a = table<op::all>::rows[k].name, *b = name;
        while (*a && *a == *b) a++, b++;
        if (*a == *b) return k;
    }
    return -1;
}
constexpr int DROPOUT = operation_named("dropout");
} // namespace

const fd_operation *fd_operation_at(int number) {
    return number >= 0 && number < table<op::all>::count ? &table<op::all>::rows[number] : NULL;
}

/* ---- the order of a walk ---- */

namespace {

/* Moves an axis further in, to place `to`; elements keep their bits. */
void move_axis(fd_elementwise *e, int from, int to) {
    const auto rotate = [from, to](int64_t *values) {
        const int64_t moved = values[from];
        for (int axis = from; axis < to; axis++) values[axis] = values[axis + 1];
        values[to] = moved;
    };
    rotate(e->shape);
    rotate(e->bit_stride);
    for (int k = 0; k < e->operands; k++) rotate(e->stride[k]);
}

/* Where memory runs along another axis than keep bits do, moves that axis in. Returns whether the transposed kernel is
 * the one for it. */
bool arrange(fd_elementwise *e, int operation, int64_t size) {
    const int last = e->ndim - 1;
    if (e->stride[0][last] == size && e->stride[1][last] == size) return false;
    for (int axis = last - 1; axis >= 0; axis--) {
        bool neighbours = e->shape[axis] > 1;
        for (int k = 0; k < e->operands; k++) neighbours &= e->stride[k][axis] == size;
        if (!neighbours) continue;
        if (e->bit_stride[axis] == 0) {
            move_axis(e, axis, last);
            return false;
        }
        if (operation != DROPOUT || e->bit_stride[last] != 1) return false;
        move_axis(e, axis, last - 1);
        return true;
    }
    return false;
}

int64_t ceiling(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }

/* Groups of rows, each with its own row of sums. */
void run_with_sums(int threads, fd_elementwise_kernel *kernel, int operation, const fd_elementwise *e, int64_t count) {
    const int64_t columns = e->shape[e->ndim - 1], group = fd_sum_rows(columns) * columns;
    const int64_t size = columns * e->stride[4][e->ndim - 1];
    split(threads, ceiling(count, group), 1, [=](int64_t begin, int64_t end) {
        for (int64_t g = begin; g < end; g++) {
            fd_elementwise part = *e;
            part.data[4] += FD_FAULT(sums_place, g, g / 2) * size;
            const int64_t next = (g + 1) * group;
            kernel(&part, operation, g * group, next < count ? next : count);
        }
    });
}

} // namespace

/* ---- entry points ---- */

/* About 2^16 elements, so that there are groups for many threads and few sums. */
int64_t fd_sum_rows(int64_t columns) {
    return columns < 1 << 16 ? FD_FAULT(sum_rows, 1 << 16, 1 << 15) / (columns > 0 ? columns : 1) : 1;
}

void fd_run_elementwise(const fd_kernels *kernels, int threads, fd_dtype dtype, int operation, fd_elementwise *e) {
    static const int64_t sizes[FD_DTYPES] = {4, 8, 2, 2};
    fd_elementwise_kernel *const kernel = kernels->elementwise[dtype];
    int64_t count = 1;
    for (int axis = 0; axis < e->ndim; axis++) count *= e->shape[axis];
    const auto run = [=](int64_t begin, int64_t end) { kernel(e, operation, begin, end); };
    if (table<op::all>::rows[operation].has_sums) {
        run_with_sums(threads, kernel, operation, e, count);
    } else if (FD_FAULT(memory_order_ignored, arrange(e, operation, sizes[dtype]), 0)) {
        const int64_t rows = e->shape[e->ndim - 2], columns = e->shape[e->ndim - 1];
        const int64_t panels =
            count / (rows * columns) * ceiling(rows, FD_PANEL_ROWS) * ceiling(columns, FD_PANEL_COLUMNS);
        split(threads, panels, 1,
              [=](int64_t begin, int64_t end) { kernels->transposed[dtype](e, operation, begin, end); });
    } else if (count < LONG) {
        split(threads, count, FD_TILE, run);
    } else {
        split_long(threads, count, FD_TILE, run);
    }
}

void fd_run_keep_bits(const fd_kernels *kernels, int threads, fd_dropout_mask mask, uint64_t first_tile,
                      uint32_t *words, int64_t count) {
    split(threads, count, FD_TILE_WORDS,
          [=](int64_t begin, int64_t end) { kernels->keep_bits(mask, first_tile, words, begin, end); });
}

void fd_run_softmax(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_softmax *softmax) {
    split(threads, softmax->rows, 1, [=](int64_t begin, int64_t end) { kernels->softmax[dtype](softmax, begin, end); });
}

void fd_run_gaussian(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_gaussian *gaussian) {
    const auto run = [=](int64_t begin, int64_t end) { kernels->gaussian[dtype](gaussian, begin, end); };
    if (gaussian->count < LONG)
        split(threads, gaussian->count, FD_TILE, run);
    else
        split_long(threads, gaussian->count, FD_TILE, run);
}

namespace {
void run_dropconnect(fd_dropconnect_kernel *kernel, int threads, int64_t count, const fd_dropconnect *call) {
    split_long(threads, count, 1, [=](int64_t begin, int64_t end) { kernel(call, begin, end); });
}
} // namespace

void fd_run_dropconnect_forward(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_dropconnect *call) {
    run_dropconnect(kernels->dropconnect_forward[dtype], threads, call->outputs, call);
}

void fd_run_dropconnect_dx(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_dropconnect *call) {
    run_dropconnect(kernels->dropconnect_dx[dtype], threads, call->batch, call);
}

void fd_run_dropconnect_dweight(const fd_kernels *kernels, int threads, fd_dtype dtype, const fd_dropconnect *call) {
    run_dropconnect(kernels->dropconnect_dweight[dtype], threads, call->outputs, call);
}

/* Split as fd_run_elementwise splits contiguous arrays of this size. */
void fd_run_copy(const fd_kernels *kernels, int threads, const char *from, char *to, fd_copy_kind kind, int64_t count,
                 int64_t size) {
    const auto run = [=](int64_t begin, int64_t end) { kernels->copy(from, to, kind, begin * size, end * size); };
    if (count < LONG)
        split(threads, count, FD_TILE, run);
    else
        split_long(threads, count, FD_TILE, run);
}

/* ---- threads ---- */

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

int fd_team_size(int threads, int calls, int cores) {
    const int own = cores > calls ? cores / calls : 1;
    return FD_FAULT(teams_not_shared, calls > 1 && threads > own ? own : threads, threads);
}

int fd_concurrent_calls(void) {
#if defined(_OPENMP)
    return __atomic_load_n(&concurrent_calls, __ATOMIC_RELAXED);
#else
    return concurrent_calls;
#endif
}
