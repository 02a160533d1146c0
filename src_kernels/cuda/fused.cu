/* Backward of bias + activation + dropout, and softmax + dropout. All arrays are C-contiguous.
 *
 * Sums are taken in the CPU's order (fastdrop/reference.py), so that they are the same bit for bit: a bias' gradient
 * over groups of rows, a softmax's over 32 partial sums, here the lanes of a warp, added in halves.
 */
#include "cuda/common.cuh"

struct fd_bias_backward {
    fd_draws draws;
    void *dx;
    const void *dy, *x, *bias;
    void *sums;                   /* in the type that is computed in: a row of `columns` for each group of rows */
    int64_t rows, columns, group; /* group: its rows */
};

/* A warp has 32 columns of a group of rows. For 32 rows at a time each lane draws the keep bits of one; then they are
 * handed round, row after row. */
template <typename T, typename Op>
FD_KERNEL fd_bias_backward_kernel(const fd_bias_backward call) {
    typedef typename fd_compute_type<T>::type real;
    enum { AT_ONCE = 4 };
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t across = (call.columns + FD_WARP - 1) / FD_WARP;
    const int64_t number = (int64_t)blockIdx.x * (blockDim.x / FD_WARP) + warp;
    const int64_t group = number / across, left = call.columns - number % across * FD_WARP;
    const int64_t column = number % across * FD_WARP + lane, first = group * call.group;
    if (first >= call.rows) return;
    const int64_t end = first + call.group < call.rows ? first + call.group : call.rows;
    const bool inside = lane < left;
    const uint32_t wanted = left < FD_WARP ? (1u << left) - 1 : ~0u;
    const fd_masks masks = fd_masks_of(call.draws);
    const affine<real> by = fd_affine_of<real>(call.draws);
    const T *const dy = (const T *)call.dy, *const x = (const T *)call.x;
    T *const dx = (T *)call.dx;
    const real bias = inside ? fd_widen(((const T *)call.bias)[column]) : (real)0;
    real sum = 0;
#pragma unroll 1
    for (int64_t row = first; row < end; row += FD_WARP) {
        uint32_t bits = 0;
        if (row + lane < end)
            bits = fd_keep_from(masks, (uint64_t)((row + lane) * call.columns + column - lane), wanted);
        __syncwarp();
#pragma unroll 1
        for (int begin = 0; begin < FD_WARP; begin += AT_ONCE) {
            real g[AT_ONCE] = {}, z[AT_ONCE] = {};
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                const int64_t at = (row + begin + k) * call.columns + column;
                if (!inside || row + begin + k >= end) continue;
                g[k] = fd_widen(dy[at]);
                z[k] = fd_widen(x[at]);
            }
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                const uint32_t kept = __shfl_sync(FD_ALL_LANES, bits, begin + k) >> lane & 1;
                if (!inside || row + begin + k >= end) continue;
                const real value = Op::apply(kept != 0, by, g[k], z[k], bias);
                sum += value;
                fd_narrow(value, dx + (row + begin + k) * call.columns + column);
            }
        }
    }
    if (inside) ((real *)call.sums)[FD_FAULT(cuda_sums_place, group, 0) * call.columns + column] = sum;
}

struct fd_softmax {
    fd_draws draws;
    void *y;
    const void *x, *dy; /* dy: backward only, where y is dx */
    int64_t rows, columns;
};

template <typename real>
__device__ __forceinline__ real fd_reduce_add(real sum) {
#pragma unroll
    for (int half = FD_WARP / 2; half > 0; half /= 2) sum += __shfl_xor_sync(FD_ALL_LANES, sum, half);
    return sum;
}

/* The keep bits of 1024 columns from `column` on, 32 for each lane. */
__device__ __forceinline__ uint32_t fd_softmax_bits(const fd_masks &masks, int64_t row, int64_t column,
                                                    int64_t columns) {
    const int64_t own = column + threadIdx.x % FD_WARP * 32, left = columns - own;
    uint32_t bits = 0;
    if (left > 0) bits = fd_keep_from(masks, (uint64_t)(row * columns + own), left < 32 ? (1u << left) - 1 : ~0u);
    __syncwarp();
    return bits;
}

/* A warp has a row, which it reads again where it has not stored: from the caches, unless the row is very long. */
template <typename T, bool BACKWARD>
FD_KERNEL fd_softmax_kernel(const fd_softmax call) {
    typedef typename fd_compute_type<T>::type real;
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t row = (int64_t)blockIdx.x * (blockDim.x / FD_WARP) + warp, columns = call.columns;
    if (row >= call.rows) return;
    const fd_masks masks = fd_masks_of(call.draws);
    const real scale = (real)call.draws.scale;
    const T *const x = (const T *)call.x + row * columns;
    const T *const dy = BACKWARD ? (const T *)call.dy + row * columns : x;
    T *const y = (T *)call.y + row * columns;

    const real lowest = -(real)__int_as_float(0x7F800000);
    real most = lowest;
#pragma unroll 4
    for (int64_t i = lane; i < columns; i += FD_WARP) {
        const real value = fd_widen(x[i]);
        most = value > most ? value : most;
    }
#pragma unroll
    for (int half = FD_WARP / 2; half > 0; half /= 2) {
        const real other = __shfl_xor_sync(FD_ALL_LANES, most, half);
        most = other > most ? other : most;
    }

    real total = 0, inner = 0;
    uint32_t bits = 0;
#pragma unroll 1
    for (int64_t begin = 0; begin < columns; begin += 32 * FD_WARP) {
        if (BACKWARD) bits = fd_softmax_bits(masks, row, begin, columns);
#pragma unroll 2
        for (int k = 0; k < FD_WARP; k++) {
            if (begin + k * FD_WARP >= columns) break;
            const int64_t i = begin + k * FD_WARP + lane;
            const bool kept = BACKWARD && __shfl_sync(FD_ALL_LANES, bits, k) >> lane & 1;
            if (i >= columns) continue;
            const real e = exp_of_negative(fd_widen(x[i]) - most);
            total += e;
            if (BACKWARD) inner += (FD_FAULT(cuda_softmax_mean, kept, true) ? fd_widen(dy[i]) * scale : (real)0) * e;
        }
    }
    const real inverse = 1 / fd_reduce_add(total), mean = BACKWARD ? fd_reduce_add(inner) * inverse : (real)0;
    const real factor = inverse * scale;
#pragma unroll 1
    for (int64_t begin = 0; begin < columns; begin += 32 * FD_WARP) {
        if (!BACKWARD || columns > 32 * FD_WARP) bits = fd_softmax_bits(masks, row, begin, columns);
#pragma unroll 2
        for (int k = 0; k < FD_WARP; k++) {
            if (begin + k * FD_WARP >= columns) break;
            const int64_t i = begin + k * FD_WARP + lane;
            const bool kept = __shfl_sync(FD_ALL_LANES, bits, k) >> lane & 1;
            if (i >= columns) continue;
            const real e = exp_of_negative(fd_widen(x[i]) - most);
            if (BACKWARD)
                fd_narrow(e * inverse * ((kept ? fd_widen(dy[i]) * scale : (real)0) - mean), y + i);
            else
                fd_narrow(kept ? e * factor : (real)0, y + i);
        }
    }
}
