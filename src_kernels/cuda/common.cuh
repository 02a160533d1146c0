/* What all CUDA kernels share: dtypes, accesses of 16 bytes, and keep bits by the mask rule.
 *
 * The kernels are templates; fastdrop/backends/cuda/source.py hands them to CuPy's run-time compiler, which has no
 * system headers, so no others are included. tests/emulation compiles the same text as C++.
 *
 * Thread blocks are rows of whole warps. Nothing is compiled with fused multiply-adds: products are rounded before they
 * are added, as on the CPU, so that values are the same, too.
 */
#ifndef FASTDROP_CUDA_CUH
#define FASTDROP_CUDA_CUH

#include "shared/mask_rule.h"

#define FD_WARP 32
#define FD_ALL_LANES 0xFFFFFFFFu
#define FD_MOST_THREADS 128 /* of a thread block; fastdrop/backends/cuda/geometry.py launches no more */
#define FD_MOST_WARPS (FD_MOST_THREADS / FD_WARP)

/* Five thread blocks fit on a multiprocessor: 96 registers for a thread, 640 threads that hide memory's latency. */
#define FD_KERNEL __global__ void __launch_bounds__(FD_MOST_THREADS, 5)

/* ---- dtypes ---- */

struct fd_float16 {
    uint16_t bits;
};
struct fd_bfloat16 {
    uint16_t bits;
};

/* The type that a dtype is computed in. */
template <typename T>
struct fd_compute_type {
    typedef float type;
};
template <>
struct fd_compute_type<double> {
    typedef double type;
};

__device__ __forceinline__ float fd_widen(float x) { return x; }
__device__ __forceinline__ double fd_widen(double x) { return x; }
__device__ __forceinline__ void fd_narrow(float x, float *to) { *to = x; }
__device__ __forceinline__ void fd_narrow(double x, double *to) { *to = x; }
#if defined(__CUDACC__)
__device__ __forceinline__ float fd_widen(fd_float16 x) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
}
__device__ __forceinline__ float fd_widen(fd_bfloat16 x) { return __uint_as_float((uint32_t)x.bits << 16); }
__device__ __forceinline__ void fd_narrow(float x, fd_float16 *to) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to->bits) : "f"(x));
}
__device__ __forceinline__ void fd_narrow(float x, fd_bfloat16 *to) {
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to->bits) : "f"(x));
#else
    const uint32_t bits = __float_as_uint(x);
    to->bits = x != x ? 0x7FFF : (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
#endif
}
#endif

/* WIDTH elements as they are loaded and stored, in one instruction; taken apart only where they are used: until then
 * they take the fewest registers. */
template <int BYTES>
struct fd_bytes {
    typedef uint4 type;
};
template <>
struct fd_bytes<8> {
    typedef uint2 type;
};
template <>
struct fd_bytes<4> {
    typedef uint32_t type;
};
template <>
struct fd_bytes<2> {
    typedef uint16_t type;
};

template <typename T, int WIDTH>
union fd_pack {
    typename fd_bytes<sizeof(T) * WIDTH>::type bytes;
    T at[WIDTH];
};

template <typename T, int WIDTH>
__device__ __forceinline__ fd_pack<T, WIDTH> fd_load(const T *from) {
    fd_pack<T, WIDTH> pack;
    pack.bytes = *(const decltype(pack.bytes) *)from;
    return pack;
}

template <typename T, int WIDTH>
__device__ __forceinline__ void fd_store(T *to, const fd_pack<T, WIDTH> &pack) {
    *(decltype(fd_pack<T, WIDTH>::bytes) *)to = pack.bytes;
}

/* The first `count` elements of a pack at an array's end. */
template <typename T, int WIDTH>
__device__ __forceinline__ fd_pack<T, WIDTH> fd_load_some(const T *from, int64_t count) {
    fd_pack<T, WIDTH> pack = {};
    if (count >= WIDTH) return fd_load<T, WIDTH>(from);
#pragma unroll
    for (int k = 0; k < WIDTH; k++)
        if (k < count) pack.at[k] = from[k];
    return pack;
}

template <typename T, int WIDTH>
__device__ __forceinline__ void fd_store_some(T *to, const fd_pack<T, WIDTH> &pack, int64_t count) {
    if (count >= WIDTH) {
        fd_store<T, WIDTH>(to, pack);
        return;
    }
#pragma unroll
    for (int k = 0; k < WIDTH; k++)
        if (k < count) to[k] = pack.at[k];
}

/* ---- keep bits ---- */

/* What a launch's keep bits depend on; fastdrop/backends/cuda/structs.py has the same layout. The keys of Philox's
 * rounds are computed by the host: each is an operand in constant memory, and costs no addition. */
struct fd_draws {
    uint32_t keys[2 * FD_PHILOX_ROUNDS];
    uint64_t call, threshold;
    const uint64_t *replayed; /* where a captured graph counts the calls of earlier replays; or null */
    double scale, shift;      /* shift: alpha dropout's */
};

/* The same with the call number complete. */
struct fd_masks {
    const fd_draws &draws;
    uint64_t call;
};

__device__ __forceinline__ fd_masks fd_masks_of(const fd_draws &draws) {
    const fd_masks masks = {draws, draws.call + FD_FAULT(cuda_replays, draws.replayed ? *draws.replayed : 0, 0)};
    return masks;
}

/* The words of the counter with this index in a domain. */
__device__ __forceinline__ fd_words fd_draw_words(const fd_masks &masks, uint32_t domain, uint64_t index) {
    return fd_philox4x32_10_scheduled(fd_counter(masks.call, domain, index), masks.draws.keys);
}

/* Keep bits of the elements that `tied` marks, in WORDS words from word `first` on of one counter. A plane is drawn
 * only while a lane of the warp has an element that is neither kept nor dropped yet, and only down to the threshold's
 * lowest set bit; a tie that outlasts the planes draws its tail word. */
template <int WORDS>
__device__ __forceinline__ void fd_keep_words(const fd_masks &masks, uint64_t counter, int first, uint32_t *tied,
                                              uint32_t *keep) {
    const uint64_t threshold = masks.draws.threshold;
    const uint32_t low = (uint32_t)threshold;
    uint32_t rest = (uint32_t)(threshold >> FD_TAIL_BITS) << (32 - FD_PLANES); /* the next plane's bit on top */
    if (threshold >= FD_KEEP_ALL) {
#pragma unroll
        for (int j = 0; j < WORDS; j++) keep[j] = tied[j];
        return;
    }
    uint32_t open = 0;
#pragma unroll
    for (int j = 0; j < WORDS; j++) {
        keep[j] = 0;
        open |= tied[j];
    }
#pragma unroll 1
    for (uint32_t plane = 0; plane < FD_FAULT(cuda_last_plane, FD_PLANES, FD_PLANES - 1) && open && (rest || low);
         plane++, rest <<= 1) {
        const fd_words random = fd_draw_words(masks, FD_FAULT(cuda_planes_exchanged, plane, plane ^ 1), counter);
        const bool one = rest >> 31;
        open = 0;
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            const uint32_t word = WORDS == 4   ? random.w[j]
                                  : first == 0 ? random.w[0]
                                  : first == 1 ? random.w[1]
                                  : first == 2 ? random.w[2]
                                               : random.w[3];
            if (one) {
                keep[j] |= tied[j] & ~word;
                tied[j] &= word;
            } else {
                tied[j] &= ~word;
            }
            open |= tied[j];
        }
    }
    if (!low) return; /* what is tied now is not below the threshold */
    const uint64_t element = counter / FD_TILE_COUNTERS * FD_TILE + counter % FD_TILE_COUNTERS * 32;
#pragma unroll 1
    while (open) {
        int number = 0;
        uint32_t word = tied[0];
#pragma unroll
        for (int j = 1; j < WORDS; j++)
            if (!word) {
                number = j;
                word = tied[j];
            }
        const uint32_t bit = word & (0 - word);
        const uint64_t place = (uint64_t)(first + number) * (32 * FD_TILE_COUNTERS) + (uint32_t)(__ffs((int)word) - 1);
        const uint64_t own = element + FD_FAULT(cuda_tail_of_neighbour, place, place ^ 1);
        const uint32_t tail = fd_draw_words(masks, FD_DOMAIN_TAIL, own).w[0];
        const uint32_t kept = FD_FAULT(cuda_tie_at_threshold, tail < low, tail <= low) ? bit : 0;
        open = 0;
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            if (j == number) {
                keep[j] |= kept;
                tied[j] &= ~bit;
            }
            open |= tied[j];
        }
    }
}

/* All 128 keep bits of a counter. */
__device__ __forceinline__ void fd_keep_counter(const fd_masks &masks, uint64_t counter, uint32_t keep[4]) {
    uint32_t tied[4] = {~0u, ~0u, ~0u, ~0u};
    fd_keep_words<4>(masks, counter, 0, tied, keep);
}

/* What a warp takes where keep bits follow each other: two tiles, a counter for each lane. */
#define FD_WARP_ELEMENTS (2 * FD_TILE)
#define FD_WARP_WORDS (FD_WARP_ELEMENTS / 32)

/* The first element of this thread's warp. */
__device__ __forceinline__ int64_t fd_warp_first() {
    return ((int64_t)blockIdx.x * (blockDim.x / FD_WARP) + threadIdx.x / FD_WARP) * FD_WARP_ELEMENTS;
}

/* The keep bits of a warp's elements, from `first` on, into its part of the shared memory. */
__device__ __forceinline__ void fd_draw_warp(const fd_masks &masks, int64_t first, uint32_t *words) {
    const int lane = threadIdx.x % FD_WARP;
    uint32_t keep[4];
    fd_keep_counter(masks, (uint64_t)first / 128 + FD_FAULT(cuda_counter_of_neighbour, lane, lane == 7 ? 8 : lane),
                    keep);
#pragma unroll
    for (int j = 0; j < FD_FAULT(cuda_lane_without_words, 4, lane == 5 ? 0 : 4); j++)
        words[FD_FAULT(cuda_words_of_tile, lane / FD_TILE_COUNTERS, 0) * FD_TILE_WORDS + j * FD_TILE_COUNTERS +
              lane % FD_TILE_COUNTERS] = keep[j];
    __syncwarp();
}

/* The keep bits that `wanted` marks among bits 32 * word .. + 31. */
__device__ __forceinline__ uint32_t fd_keep_word(const fd_masks &masks, uint64_t word, uint32_t wanted) {
    uint32_t keep;
    fd_keep_words<1>(masks, word / FD_TILE_WORDS * FD_TILE_COUNTERS + word % FD_TILE_COUNTERS,
                     (int)(word / FD_TILE_COUNTERS % 4), &wanted, &keep);
    return keep;
}

/* The keep bits that `wanted` marks among 32 bits from any one on. */
__device__ __forceinline__ uint32_t fd_keep_from(const fd_masks &masks, uint64_t first_bit, uint32_t wanted) {
    const uint64_t word = first_bit / 32;
    const uint32_t shift = (uint32_t)(first_bit % 32);
    uint32_t keep = fd_keep_word(masks, word, wanted << shift) >> shift;
    if (FD_FAULT(cuda_next_word, shift && wanted >> (32 - shift), 0)) /* they go on in the next word */
        keep |= fd_keep_word(masks, word + 1, wanted >> (32 - shift)) << (32 - shift);
    return keep;
}

/* ---- what becomes of an element ---- */

/* For the shared headers: V is one element here. */
template <typename V>
struct element_of {
    typedef V type;
};
__device__ __forceinline__ int32_t bits_of(float x) { return __float_as_int(x); }
__device__ __forceinline__ int64_t bits_of(double x) { return __double_as_longlong(x); }
__device__ __forceinline__ float from_bits(int32_t x) { return __int_as_float(x); }
__device__ __forceinline__ double from_bits(int64_t x) { return __longlong_as_double(x); }
__device__ __forceinline__ float to_float(int32_t x) { return (float)x; }
__device__ __forceinline__ float square_root(float x) { return __fsqrt_rn(x); } /* correctly rounded */

/* Everything is computed before the selection, so that a warp whose lanes differ does not branch. */
template <typename V>
__device__ __forceinline__ V zero_unless(bool kept, V x) {
    return FD_FAULT(cuda_dropped_nan, kept, kept || x != x) ? x : (V)0;
}
template <typename V>
__device__ __forceinline__ V kept_or(bool kept, V x, V otherwise) {
    return kept ? x : otherwise;
}
template <typename V>
__device__ __forceinline__ V relu(V z) {
    return z < 0 ? (V)0 : z;
}
template <typename V>
__device__ __forceinline__ V zero_unless_positive(V z, V x) {
    return FD_FAULT(cuda_relu_derivative_at_zero, z <= 0, z < 0) ? (V)0 : x;
}

#include "shared/math.h"
#include "shared/normal.h"
#include "shared/operations.h"

namespace op {
/* Dropout with a scale of 1: elements are copied bit for bit, since a multiplication would change a NaN's. */
struct select : elementwise {};
} // namespace op

template <typename real>
__device__ __forceinline__ affine<real> fd_affine_of(const fd_draws &draws) {
    return {(real)draws.scale, (real)draws.shift};
}

/* An operation on one element, in the type that it is computed in. */
template <typename Op, typename T>
struct fd_operation {
    typedef affine<typename fd_compute_type<T>::type> numbers;
    static __device__ __forceinline__ T apply(bool kept, T x, T second, numbers by) {
        T y;
        if constexpr (Op::inputs == 1)
            fd_narrow(Op::apply(kept, by, fd_widen(x)), &y);
        else
            fd_narrow(Op::apply(kept, by, fd_widen(x), fd_widen(second)), &y);
        return y;
    }
};
template <typename T>
struct fd_operation<op::select, T> {
    template <typename Numbers>
    static __device__ __forceinline__ T apply(bool kept, T x, T, Numbers) {
        T y = {};
        return kept ? x : y;
    }
};
template <typename Op, typename T>
__device__ __forceinline__ T fd_compute(bool kept, T x, T second, affine<typename fd_compute_type<T>::type> by) {
    return fd_operation<Op, T>::apply(kept, x, second, by);
}

#endif
