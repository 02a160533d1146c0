/* Arrays whose elements do not lie side by side, and keep bits that several elements share.
 *
 * Axes as on the CPU: merged where one stride can walk two of them, keep bits numbered in C order, a bit stride of 0
 * along axes that share one. A mask's slice begins with another keep bit than 0 and may have any strides of keep bits.
 * Which of the five kernels runs is decided in fastdrop/backends/cuda/geometry.py:
 *
 *   strided     no shared axis, lanes along the last one
 *   transposed  no shared axis, lanes along another one, that memory runs along
 *   rows        the last axis is shared: one keep bit for a row, of which nothing is read if it is dropped
 *   columns     another axis is shared: a thread draws the keep bits of its columns once and walks along that axis
 *   stepped     what the others cannot: keep bits that do not follow each other, lanes along the last axis
 */
#include "cuda/common.cuh"

#define FD_MOST_AXES 32
#define FD_OPERANDS 3 /* y, x, and the residual or bias */
#define FD_AT_ONCE 4

struct fd_walk {
    fd_draws draws;
    char *data[FD_OPERANDS];
    int64_t ndim;
    int64_t shape[FD_MOST_AXES];
    uint64_t first_bit;
    int64_t bit_stride[FD_MOST_AXES];          /* in keep bits */
    int64_t stride[FD_OPERANDS][FD_MOST_AXES]; /* in bytes */
    int64_t along;   /* the axis that lanes run along (transposed), or that threads walk along (columns) */
    int64_t lanes;   /* rows: lanes that share a row, a power of two up to 32; columns: positions side by side */
    int64_t steps;   /* rows, columns: accesses of a thread, one after the other */
    int64_t pieces;  /* rows, columns: into how many a row, or a walk, is cut; stepped: how many there are */
    int64_t threads; /* that have work */
};

struct fd_place {
    char *data[FD_OPERANDS];
    uint64_t bit;
};

/* number = result + size * what is returned; in 32 bits where they do, since 64-bit division takes a hundred steps */
__device__ __forceinline__ uint64_t fd_split(uint64_t number, int64_t size, int64_t *result) {
    const uint64_t quotient =
        (number | (uint64_t)size) >> 32 ? number / (uint64_t)size : (uint32_t)number / (uint32_t)size;
    *result = (int64_t)(number - quotient * (uint64_t)size);
    return quotient;
}

__device__ __forceinline__ void fd_move(const fd_walk &walk, int64_t axis, int64_t by, fd_place *place) {
#pragma unroll
    for (int k = 0; k < FD_OPERANDS; k++) place->data[k] += by * walk.stride[k][axis];
    place->bit += (uint64_t)(by * walk.bit_stride[axis]);
}

/* Where row `number` begins; rows are numbered in C order over all axes but the last one and `along`. */
__device__ __forceinline__ fd_place fd_locate(const fd_walk &walk, uint64_t number, int64_t along) {
    fd_place place;
#pragma unroll
    for (int k = 0; k < FD_OPERANDS; k++) place.data[k] = walk.data[k];
    place.bit = FD_FAULT(cuda_slice_first, walk.first_bit, 0);
#pragma unroll 1
    for (int64_t axis = walk.ndim - 2; axis >= 0; axis--) {
        if (axis == along) continue;
        int64_t coordinate;
        number = fd_split(number, walk.shape[axis], &coordinate);
        fd_move(walk, axis, coordinate, &place);
    }
    return place;
}

template <typename T, typename Op>
FD_KERNEL fd_strided_kernel(const fd_walk walk) {
    typedef typename fd_compute_type<T>::type real;
    __shared__ uint32_t words[FD_MOST_WARPS][FD_WARP_WORDS];
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t first = fd_warp_first();
    if (first / FD_WARP_ELEMENTS * FD_WARP >= walk.threads) return;
    fd_draw_warp(fd_masks_of(walk.draws), first, words[warp]);
    const int64_t last = walk.ndim - 1, columns = walk.shape[last];
    const affine<real> by = fd_affine_of<real>(walk.draws);
    uint64_t rows = 1;
    for (int64_t axis = 0; axis < last; axis++) rows *= (uint64_t)walk.shape[axis];
    int64_t column;
    const uint64_t begin = fd_split((uint64_t)first, columns, &column);
    uint64_t here = ~(uint64_t)0; /* the row that `place` is the begin of */
    fd_place place = {};
#pragma unroll 1
    for (int at = lane; at < FD_WARP_ELEMENTS; at += FD_WARP * FD_AT_ONCE) {
        T a[FD_AT_ONCE], b[FD_AT_ONCE], *y[FD_AT_ONCE];
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            int64_t own;
            const uint64_t row = begin + fd_split((uint64_t)(column + at + k * FD_WARP), columns, &own);
            y[k] = 0;
            if (row >= rows) continue;
            if (row != here) place = fd_locate(walk, row, -1);
            here = row;
            y[k] = (T *)(place.data[0] + own * walk.stride[0][last]);
            a[k] = *(const T *)(place.data[1] + own * walk.stride[1][last]);
            b[k] = Op::inputs < 2 ? a[k] : *(const T *)(place.data[2] + own * walk.stride[2][last]);
        }
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++)
            if (y[k]) *y[k] = fd_compute<Op, T>(words[warp][at / 32 + k] >> lane & 1, a[k], b[k], by);
    }
}

/* A thread has one place along the axis `along` and 32 along the last one, whose keep bits are one word. */
template <typename T, typename Op>
FD_KERNEL fd_transposed_kernel(const fd_walk walk) {
    typedef typename fd_compute_type<T>::type real;
    const int64_t number = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= walk.threads) return;
    const int64_t last = walk.ndim - 1, columns = walk.shape[last];
    const affine<real> by = fd_affine_of<real>(walk.draws);
    int64_t position, piece;
    const uint64_t rest = fd_split((uint64_t)number, walk.shape[walk.along], &position);
    fd_place place = fd_locate(walk, fd_split(rest, (columns + 31) / 32, &piece), walk.along);
    fd_move(walk, walk.along, position, &place);
    fd_move(walk, last, 32 * piece, &place);
    const int count = columns - 32 * piece < 32 ? (int)(columns - 32 * piece) : 32;
    const uint32_t bits = fd_keep_from(fd_masks_of(walk.draws), place.bit, ~0u >> (32 - count));
    const int64_t y_step = walk.stride[0][last], x_step = walk.stride[1][last], second_step = walk.stride[2][last];
#pragma unroll 1
    for (int at = 0; at < count; at += FD_AT_ONCE) {
        T a[FD_AT_ONCE], b[FD_AT_ONCE];
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            if (at + k >= count) continue;
            a[k] = *(const T *)(place.data[1] + (at + k) * x_step);
            b[k] = Op::inputs < 2 ? a[k] : *(const T *)(place.data[2] + (at + k) * second_step);
        }
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++)
            if (at + k < count)
                *(T *)(place.data[0] + (at + k) * y_step) = fd_compute<Op, T>(bits >> (at + k) & 1, a[k], b[k], by);
    }
}

/* The keep bits of `count` elements along the last axis, whose bits are `step` apart. */
__device__ __forceinline__ uint32_t fd_keep_stepped(const fd_masks &masks, uint64_t bit, int64_t step, int count) {
    if (step == 1) return fd_keep_from(masks, bit, ~0u >> (32 - count));
    uint32_t keep = 0;
#pragma unroll 1
    for (int at = 0; at < count; at++, bit += FD_FAULT(cuda_slice_step, (uint64_t)step, 1))
        if (fd_keep_word(masks, bit / 32, 1u << (bit % 32))) keep |= 1u << at;
    return keep;
}

/* Where piece `number` begins, 32 elements of a row or its rest, and how many elements it has; none beyond the last
 * one. */
__device__ __forceinline__ int fd_locate_piece(const fd_walk &walk, uint64_t number, fd_place *place) {
    const int64_t last = walk.ndim - 1, columns = walk.shape[last];
    if ((int64_t)number >= walk.pieces) return 0;
    int64_t piece;
    *place = fd_locate(walk, fd_split(number, (columns + 31) / 32, &piece), -1);
    fd_move(walk, last, 32 * piece, place);
    return columns - 32 * piece < 32 ? (int)(columns - 32 * piece) : 32;
}

/* A lane draws the bits of one piece; then the warp goes through its 32 pieces, a lane to an element. For dropout
 * alone. */
template <typename T, typename Op>
FD_KERNEL fd_stepped_kernel(const fd_walk walk) {
    typedef typename fd_compute_type<T>::type real;
    __shared__ uint32_t words[FD_MOST_WARPS][FD_WARP];
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const uint64_t first = ((uint64_t)blockIdx.x * (blockDim.x / FD_WARP) + warp) * FD_WARP;
    if ((int64_t)first >= walk.pieces) return;
    const int64_t last = walk.ndim - 1;
    const affine<real> by = fd_affine_of<real>(walk.draws);
    fd_place place = {};
    const int own = fd_locate_piece(walk, first + lane, &place);
    words[warp][lane] = own ? fd_keep_stepped(fd_masks_of(walk.draws), place.bit, walk.bit_stride[last], own) : 0;
    __syncwarp();
#pragma unroll 1
    for (int piece = 0; piece < FD_WARP; piece += FD_AT_ONCE) {
        T a[FD_AT_ONCE], *y[FD_AT_ONCE];
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            y[k] = 0;
            if (lane >= fd_locate_piece(walk, first + piece + k, &place)) continue;
            y[k] = (T *)(place.data[0] + lane * walk.stride[0][last]);
            a[k] = *(const T *)(place.data[1] + lane * walk.stride[1][last]);
        }
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++)
            if (y[k]) *y[k] = fd_compute<Op, T>(words[warp][piece + k] >> lane & 1, a[k], a[k], by);
    }
}

/* WIDTH > 1 where the last axis' elements are neighbours and every row begins at a multiple of 16 bytes. */
template <typename T, typename Op, int WIDTH>
FD_KERNEL fd_rows_kernel(const fd_walk walk) {
    typedef typename fd_compute_type<T>::type real;
    const int64_t number = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= walk.threads) return;
    const int64_t last = walk.ndim - 1, columns = walk.shape[last], step = walk.lanes * WIDTH;
    const affine<real> by = fd_affine_of<real>(walk.draws);
    int64_t lane, piece;
    const uint64_t rest = fd_split((uint64_t)number, walk.lanes, &lane);
    fd_place place = fd_locate(walk, fd_split(rest, walk.pieces, &piece), -1);
    const uint32_t bit = 1u << (place.bit % 32);
    const bool kept = fd_keep_word(fd_masks_of(walk.draws), place.bit / 32, bit) != 0;
    const int64_t begin = FD_FAULT(cuda_row_pieces, piece, 0) * walk.steps * step;
    const int64_t end = begin + walk.steps * step < columns ? begin + walk.steps * step : columns;
    fd_pack<T, WIDTH> a[FD_AT_ONCE] = {}, b[FD_AT_ONCE] = {};
#pragma unroll 1
    for (int64_t at = begin + lane * WIDTH; at < end; at += FD_AT_ONCE * step) {
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            const int64_t own = at + k * step, left = end - own;
            if (left <= 0) continue;
            if (kept) /* a dropped row is not read */
                a[k] = fd_load_some<T, WIDTH>((const T *)(place.data[1] + own * walk.stride[1][last]), left);
            if (Op::inputs > 1)
                b[k] = fd_load_some<T, WIDTH>((const T *)(place.data[2] + own * walk.stride[2][last]), left);
        }
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            const int64_t own = at + k * step, left = end - own;
            fd_pack<T, WIDTH> result;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) result.at[i] = fd_compute<Op, T>(kept, a[k].at[i], b[k].at[i], by);
            if (left > 0) fd_store_some<T, WIDTH>((T *)(place.data[0] + own * walk.stride[0][last]), result, left);
        }
    }
}

/* WIDTH as above; then the columns are a multiple of it. */
template <typename T, typename Op, int WIDTH>
FD_KERNEL fd_columns_kernel(const fd_walk walk) {
    typedef typename fd_compute_type<T>::type real;
    const int64_t number = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= walk.threads) return;
    const int64_t last = walk.ndim - 1, length = walk.shape[walk.along];
    const affine<real> by = fd_affine_of<real>(walk.draws);
    int64_t column, lane, piece;
    uint64_t rest = fd_split((uint64_t)number, walk.shape[last] / WIDTH, &column);
    rest = fd_split(rest, walk.lanes, &lane);
    fd_place place = fd_locate(walk, fd_split(rest, walk.pieces, &piece), walk.along);
    fd_move(walk, last, column * WIDTH, &place);
    const uint32_t bits =
        fd_keep_from(fd_masks_of(walk.draws), place.bit, FD_FAULT(cuda_columns_bits, (1u << WIDTH) - 1, 1u));
    const int64_t begin = piece * walk.steps * walk.lanes;
    const int64_t end = begin + walk.steps * walk.lanes < length ? begin + walk.steps * walk.lanes : length;
    const int64_t y_step = walk.stride[0][walk.along], x_step = walk.stride[1][walk.along];
    const int64_t second_step = walk.stride[2][walk.along];
#pragma unroll 1
    for (int64_t at = begin + lane; at < end; at += FD_AT_ONCE * walk.lanes) {
        fd_pack<T, WIDTH> a[FD_AT_ONCE] = {}, b[FD_AT_ONCE] = {};
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            const int64_t own = at + k * walk.lanes;
            if (own >= end) continue;
            if (bits) a[k] = fd_load<T, WIDTH>((const T *)(place.data[1] + own * x_step));
            if (Op::inputs > 1) b[k] = fd_load<T, WIDTH>((const T *)(place.data[2] + own * second_step));
        }
#pragma unroll
        for (int k = 0; k < FD_AT_ONCE; k++) {
            const int64_t own = at + k * walk.lanes;
            fd_pack<T, WIDTH> result;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) result.at[i] = fd_compute<Op, T>(bits >> i & 1, a[k].at[i], b[k].at[i], by);
            if (own < end) fd_store<T, WIDTH>((T *)(place.data[0] + own * y_step), result);
        }
    }
}
