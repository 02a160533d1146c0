/* Elements that lie side by side in every array, element i with keep bit i; and the keep bits themselves.
 *
 * A warp takes two tiles: each of its lanes draws one Philox counter of them, all of whose bits are used, and puts the
 * keep bits into shared memory, 512 bytes, where every lane finds those of its 16-byte accesses with one broadcast
 * read. The first accesses are on their way while the bits are drawn.
 */
#include "cuda/common.cuh"

#define FD_IN_FLIGHT 4 /* accesses that a lane begins before it waits for the first: 2 KB for a warp */

struct fd_flat {
    fd_draws draws;
    void *y;
    const void *x, *second; /* an element for each of x's; or a bias, one for each column */
    int64_t count, columns;
};

/* The index of a bias' element for the element `place` behind column 0 of some row; place < columns + FD_WARP_ELEMENTS.
 */
__device__ __forceinline__ int64_t fd_column(int64_t place, int64_t columns) {
    if (columns >= FD_WARP_ELEMENTS) return place < columns ? place : place - columns;
    return (uint32_t)place % (uint32_t)columns;
}

template <typename T, typename Op, int WIDTH, bool WHOLE>
__device__ __forceinline__ void fd_flat_warp(const fd_flat &call, int64_t first, uint32_t *words) {
    typedef typename fd_compute_type<T>::type real;
    enum {
        SECOND = Op::inputs > 1,
        BIAS = Op::has_bias,
        STEP = FD_WARP * WIDTH,
        AT_ONCE = WHOLE ? FD_IN_FLIGHT / (SECOND ? 2 : 1) : 1, /* an array's end takes its time, and few registers */
    };
    const int lane = threadIdx.x % FD_WARP;
    const T *const x = (const T *)call.x + first;
    const T *const second = BIAS ? (const T *)call.second : (const T *)call.second + first;
    T *const y = (T *)call.y + first;
    const int64_t left = call.count - first;
    const int64_t column = BIAS ? FD_FAULT(cuda_bias_place, first % call.columns, 0) : 0;
    const affine<real> by = fd_affine_of<real>(call.draws);
    fd_pack<T, WIDTH> a[AT_ONCE], b[AT_ONCE];
#pragma unroll 1
    for (int begin = 0; begin < FD_WARP_ELEMENTS; begin += AT_ONCE * STEP) {
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int at = begin + k * STEP + lane * WIDTH;
            const int64_t from = BIAS ? fd_column(column + at, call.columns) : at;
            a[k] = WHOLE ? fd_load<T, WIDTH>(x + at) : fd_load_some<T, WIDTH>(x + at, left - at);
            if (BIAS) /* columns are a multiple of WIDTH: none of a pack is missing if its first is not */
                b[k] = fd_load_some<T, WIDTH>(second + from, WHOLE || at < left ? WIDTH : 0);
            else if (SECOND)
                b[k] = WHOLE ? fd_load<T, WIDTH>(second + at) : fd_load_some<T, WIDTH>(second + at, left - at);
            else
                b[k] = a[k];
        }
        if (begin == 0) fd_draw_warp(fd_masks_of(call.draws), first, words);
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int at = begin + k * STEP + lane * WIDTH;
            const uint32_t bits = words[at / 32] >> (at % 32);
            fd_pack<T, WIDTH> result;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) result.at[i] = fd_compute<Op, T>(bits >> i & 1, a[k].at[i], b[k].at[i], by);
            if (WHOLE)
                fd_store<T, WIDTH>(y + at, result);
            else
                fd_store_some<T, WIDTH>(y + at, result, left - at - FD_FAULT(cuda_end_one_short, 0, 1));
        }
    }
}

/* WIDTH elements at once: 16 bytes, or one element where an array or a row does not begin at a multiple of 16 bytes. */
template <typename T, typename Op, int WIDTH>
FD_KERNEL fd_flat_kernel(const fd_flat call) {
    __shared__ uint32_t words[FD_MOST_WARPS][FD_WARP_WORDS];
    const int warp = threadIdx.x / FD_WARP;
    const int64_t first = fd_warp_first();
    if (first + FD_WARP_ELEMENTS <= call.count)
        fd_flat_warp<T, Op, WIDTH, true>(call, first, words[warp]);
    else if (first < call.count)
        fd_flat_warp<T, Op, WIDTH, false>(call, first, words[warp]);
}

struct fd_keep_bits {
    fd_draws draws;
    void *to;
    int64_t count;
};

/* Packed as docs/mask-rule.md says: 32-bit words; bits behind the last one are 0. */
FD_KERNEL fd_keep_bits_kernel(const fd_keep_bits call) {
    __shared__ uint32_t words[FD_MOST_WARPS][FD_WARP_WORDS];
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t first = fd_warp_first();
    if (first >= call.count) return;
    fd_draw_warp(fd_masks_of(call.draws), first, words[warp]);
    for (int n = lane; n < FD_WARP_WORDS; n += FD_WARP) {
        const int64_t left = call.count - first - 32 * n;
        if (left > 0)
            ((uint32_t *)call.to)[first / 32 + n] =
                words[warp][n] & (FD_FAULT(cuda_bits_behind, left < 32, 0) ? (1u << left) - 1 : ~0u);
    }
}

/* One byte each, 0 or 1; the array begins at a multiple of 16 bytes. */
FD_KERNEL fd_booleans_kernel(const fd_keep_bits call) {
    __shared__ uint32_t words[FD_MOST_WARPS][FD_WARP_WORDS];
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t first = fd_warp_first();
    if (first >= call.count) return;
    fd_draw_warp(fd_masks_of(call.draws), first, words[warp]);
    for (int at = lane * 16; at < FD_WARP_ELEMENTS; at += FD_WARP * 16) {
        const uint32_t bits = words[warp][at / 32] >> (at % 32);
        fd_pack<uint8_t, 16> result;
#pragma unroll
        for (int k = 0; k < 16; k++) result.at[k] = bits >> k & 1;
        fd_store_some<uint8_t, 16>((uint8_t *)call.to + first + at, result, call.count - first - at);
    }
}
