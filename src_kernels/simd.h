/* Vectors: the few operations that the body is written in, on registers as wide as the instruction set's.
 *
 * gcc and clang have vector types with the usual operators; a compiler without them gets "vectors" of one element, on
 * which the same operators work. What an instruction set does better, its own header defines, and says so by a macro
 * FD_OWN_...; here stand the forms that every target can take.
 *
 * Philox works on `lanes`, FD_BLOCKS neighbouring blocks' worth of one counter word; a target that does not define it
 * draws with the scalar function in a loop, which compilers vectorise. A target with lanes also says when a long run
 * draws and applies in turns (FD_INTERLEAVES; without, one tile after the other), and when its registers of y are aligned
 * (FD_ALIGNS; in streaming loops they have to be).
 */
#include <stdint.h>
#include <string.h>

#if defined(FD_AVX512)
#define FD_VECTOR_BYTES 64
#elif defined(FD_AVX2)
#define FD_VECTOR_BYTES 32
#elif defined(__GNUC__) && !defined(FD_SCALAR)
#define FD_VECTOR_BYTES 16
#endif

#if defined(_MSC_VER)
#define FD_NOINLINE __declspec(noinline)
#else
#define FD_NOINLINE __attribute__((noinline))
#endif

/* Ask early for what comes after these bytes, since drawing fills the processor's view ahead. The hint is part of the
 * instruction, so it takes a branch, which is always predicted: a loop for each hint would triple the code. */
#if defined(__GNUC__)
#define FD_PREFETCH(locality) \
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(at + line, 0, locality)
FD_INLINE void fd_prefetch_from(fd_prefetch how, const void *from, size_t bytes) {
    const char *at = (const char *)((uintptr_t)from + (uintptr_t)how.ahead);
    if (how.hint == FD_NON_TEMPORAL)
        FD_PREFETCH(0);
    else if (how.hint == FD_SECOND_LEVEL)
        FD_PREFETCH(2);
    else if (how.hint == FD_FIRST_LEVEL)
        FD_PREFETCH(3);
}
#undef FD_PREFETCH
#else
FD_INLINE void fd_prefetch_from(fd_prefetch how, const void *from, size_t bytes) { (void)how, (void)from, (void)bytes; }
#endif

#if defined(__clang__)
#define FD_NO_UNROLL _Pragma("clang loop unroll(disable)")
#define FD_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define FD_NO_UNROLL _Pragma("GCC unroll 1")
#define FD_UNROLL _Pragma("GCC unroll 16")
#else
#define FD_NO_UNROLL
#define FD_UNROLL
#endif

/* What math_*.h asks of its includer: where tables lie, and whether their loops must be unrolled by force. */
#define FD_TABLE static const
#define FD_UNROLL_MATH

/* Mask registers are shifted by constants; elsewhere unrolling by force only takes a minute of the compiler's time. */
#if defined(FD_AVX512)
#define FD_UNROLL_KEEP FD_UNROLL
#else
#define FD_UNROLL_KEEP
#endif

#if defined(FD_VECTOR_BYTES)
#define F32_LANES (FD_VECTOR_BYTES / 4)
#define F64_LANES (FD_VECTOR_BYTES / 8)
typedef float f32v __attribute__((vector_size(FD_VECTOR_BYTES)));
typedef int32_t i32v __attribute__((vector_size(FD_VECTOR_BYTES)));
typedef double f64v __attribute__((vector_size(FD_VECTOR_BYTES)));
typedef int64_t i64v __attribute__((vector_size(FD_VECTOR_BYTES)));
typedef uint16_t u16v __attribute__((vector_size(FD_VECTOR_BYTES / 2)));
#define FD_TRUE_MASK(comparison) (comparison)
FD_INLINE i32v i32v_from_u16(u16v x) { return __builtin_convertvector(x, i32v); }
FD_INLINE u16v i32v_to_u16(i32v x) { return __builtin_convertvector(x, u16v); }
FD_INLINE f32v f32v_from_whole(i32v x) { return __builtin_convertvector(x, f32v); }
#else
#define F32_LANES 1
#define F64_LANES 1
typedef float f32v;
typedef int32_t i32v;
typedef double f64v;
typedef int64_t i64v;
typedef uint16_t u16v;
#define FD_TRUE_MASK(comparison) (-(comparison))
FD_INLINE i32v i32v_from_u16(u16v x) { return (i32v)x; }
FD_INLINE u16v i32v_to_u16(i32v x) { return (u16v)x; }
FD_INLINE f32v f32v_from_whole(i32v x) { return (f32v)x; }
#endif

#if defined(FD_AVX512)
/* What is loaded and then masked must not become one instruction: masked loads do not train the prefetcher (seen on
 * Zen 5: 16 GB/s from memory instead of 45). The empty asm keeps the load apart; the mask joins the arithmetic. */
#define FD_LOADED(x) __asm__("" : "+v"(x))
#else
#define FD_LOADED(x)
#endif

/* A register to and from memory of any alignment, and as the bits of another type. `near` is for what is in the caches
 * anyway, and may become a part of the arithmetic. */
#define FD_MEMORY(vector, element)                                                       \
    FD_INLINE vector vector##_load(const element *from) {                                \
        vector x;                                                                        \
        memcpy(&x, from, sizeof x);                                                      \
        FD_LOADED(x);                                                                    \
        return x;                                                                        \
    }                                                                                    \
    FD_INLINE vector vector##_near(const element *from) {                                \
        vector x;                                                                        \
        memcpy(&x, from, sizeof x);                                                      \
        return x;                                                                        \
    }                                                                                    \
    FD_INLINE void vector##_store(element *to, vector x) { memcpy(to, &x, sizeof x); }
FD_MEMORY(f32v, float)
FD_MEMORY(i32v, int32_t)
FD_MEMORY(f64v, double)
FD_MEMORY(i64v, int64_t)
FD_MEMORY(u16v, uint16_t)
#undef FD_MEMORY

#define FD_BITS(vector, integers, element)                                                     \
    FD_INLINE integers vector##_bits(vector x) {                                               \
        integers y;                                                                            \
        memcpy(&y, &x, sizeof y);                                                              \
        return y;                                                                              \
    }                                                                                          \
    FD_INLINE vector vector##_from_bits(integers x) {                                          \
        vector y;                                                                              \
        memcpy(&y, &x, sizeof y);                                                              \
        return y;                                                                              \
    }                                                                                          \
    FD_INLINE vector vector##_set(element x) { /* in all elements; not for -0.0 */             \
        const vector zero = {0};                                                               \
        return zero + x;                                                                       \
    }
FD_INLINE i32v i32v_set(int32_t x) {
    const i32v zero = {0};
    return zero + x;
}
FD_BITS(f32v, i32v, float)
FD_BITS(f64v, i64v, double)
#undef FD_BITS

#if defined(FD_AVX512)
#include "simd_avx512.h"
#elif defined(FD_AVX2)
#include "simd_avx2.h"
#elif defined(FD_NEON)
#include "simd_neon.h"
#elif defined(__SSE2__) && defined(FD_VECTOR_BYTES)
#include "simd_sse2.h"
#endif

/* keep: x where its bit is 1, else +0; either: else the other. Of the 32 bits at hand, `first` belongs to x's first element. The
 * bits stand in all elements of a register; each picks its own by a constant, as there are shifts that differ from lane to
 * lane only from AVX2 on. */
#if !defined(FD_OWN_KEEP)
typedef i32v keep_bits;
FD_INLINE keep_bits keep_bits_of(uint32_t bits) { return i32v_set((int32_t)bits); }
FD_INLINE keep_bits keep_bits_load(const void *from) {
    uint32_t bits;
    memcpy(&bits, from, sizeof bits);
    return keep_bits_of(bits);
}
#if defined(FD_VECTOR_BYTES)
#define FD_BITS_4(bit) (int32_t)(1u << (bit)), (int32_t)(2u << (bit)), (int32_t)(4u << (bit)), (int32_t)(8u << (bit))
#define FD_BITS_2_TWICE(bit) \
    (int32_t)(1u << (bit)), (int32_t)(1u << (bit)), (int32_t)(2u << (bit)), (int32_t)(2u << (bit))
static const int32_t fd_bit[32] = {FD_BITS_4(0),  FD_BITS_4(4),  FD_BITS_4(8),  FD_BITS_4(12),
                                   FD_BITS_4(16), FD_BITS_4(20), FD_BITS_4(24), FD_BITS_4(28)};
static const int32_t fd_bit_twice[64] = {
    FD_BITS_2_TWICE(0),  FD_BITS_2_TWICE(2),  FD_BITS_2_TWICE(4),  FD_BITS_2_TWICE(6),
    FD_BITS_2_TWICE(8),  FD_BITS_2_TWICE(10), FD_BITS_2_TWICE(12), FD_BITS_2_TWICE(14),
    FD_BITS_2_TWICE(16), FD_BITS_2_TWICE(18), FD_BITS_2_TWICE(20), FD_BITS_2_TWICE(22),
    FD_BITS_2_TWICE(24), FD_BITS_2_TWICE(26), FD_BITS_2_TWICE(28), FD_BITS_2_TWICE(30)};
#undef FD_BITS_4
#undef FD_BITS_2_TWICE
FD_INLINE f32v f32v_keep(keep_bits bits, int first, f32v x) {
    const i32v bit = i32v_load(fd_bit + first);
    return f32v_from_bits(f32v_bits(x) & ((bits & bit) == bit));
}
FD_INLINE f64v f64v_keep(keep_bits bits, int first, f64v x) {
    const i32v bit = i32v_load(fd_bit_twice + 2 * first); /* SSE2 does not compare 64 bits */
    i32v y;
    memcpy(&y, &x, sizeof y);
    y &= (bits & bit) == bit;
    memcpy(&x, &y, sizeof y);
    return x;
}
FD_INLINE f32v f32v_either(keep_bits bits, int first, f32v x, f32v other) {
    const i32v bit = i32v_load(fd_bit + first), kept = (bits & bit) == bit;
    return f32v_from_bits((f32v_bits(x) & kept) | (f32v_bits(other) & ~kept));
}
FD_INLINE f64v f64v_either(keep_bits bits, int first, f64v x, f64v other) {
    const i32v bit = i32v_load(fd_bit_twice + 2 * first), kept = (bits & bit) == bit;
    i32v y, z;
    memcpy(&y, &x, sizeof y);
    memcpy(&z, &other, sizeof z);
    y = (y & kept) | (z & ~kept);
    memcpy(&x, &y, sizeof y);
    return x;
}
#else
FD_INLINE f32v f32v_keep(keep_bits bits, int first, f32v x) {
    return f32v_from_bits(f32v_bits(x) & -((bits >> first) & 1));
}
FD_INLINE f64v f64v_keep(keep_bits bits, int first, f64v x) {
    return f64v_from_bits(f64v_bits(x) & -(int64_t)((bits >> first) & 1));
}
FD_INLINE f32v f32v_either(keep_bits bits, int first, f32v x, f32v other) { return (bits >> first) & 1 ? x : other; }
FD_INLINE f64v f64v_either(keep_bits bits, int first, f64v x, f64v other) { return (bits >> first) & 1 ? x : other; }
#endif
/* x, but +0 where z <= 0; a NaN in z lets x pass, as in np.maximum(z, 0). */
FD_INLINE f32v f32v_zero_unless_positive(f32v z, f32v x) {
    return f32v_from_bits(f32v_bits(x) & ~FD_TRUE_MASK(z <= 0.0f));
}
FD_INLINE f64v f64v_zero_unless_positive(f64v z, f64v x) {
    return f64v_from_bits(f64v_bits(x) & ~FD_TRUE_MASK(z <= 0.0));
}
#endif

/* z, but +0 where z < 0; a NaN stays one. */
#if !defined(FD_OWN_RELU)
FD_INLINE f32v f32v_relu(f32v z) { return f32v_from_bits(f32v_bits(z) & ~FD_TRUE_MASK(z < 0.0f)); }
FD_INLINE f64v f64v_relu(f64v z) { return f64v_from_bits(f64v_bits(z) & ~FD_TRUE_MASK(z < 0.0)); }
#endif

/* a where the mask is all ones, b where it is all zeros */
FD_INLINE f32v f32v_choose(i32v mask, f32v a, f32v b) {
    return f32v_from_bits((f32v_bits(a) & mask) | (f32v_bits(b) & ~mask));
}
FD_INLINE f64v f64v_choose(i64v mask, f64v a, f64v b) {
    return f64v_from_bits((f64v_bits(a) & mask) | (f64v_bits(b) & ~mask));
}

/* Rounded correctly, as IEEE asks of it. */
#if !defined(FD_OWN_SQRT)
FD_INLINE f32v f32v_sqrt(f32v x) {
    float root[F32_LANES];
    f32v_store(root, x);
    for (int k = 0; k < F32_LANES; k++) root[k] = sqrtf(root[k]);
    return f32v_near(root);
}
#endif

/* The sum of a register's elements, in halves. */
#if !defined(FD_OWN_FOLD)
#define FD_FOLD(vector, element, lanes)                            \
    FD_INLINE element vector##_fold(vector x) {                    \
        element sum[lanes];                                        \
        vector##_store(sum, x);                                    \
        for (int half = (lanes) / 2; half > 0; half /= 2)          \
            for (int k = 0; k < half; k++) sum[k] += sum[k + half]; \
        return sum[0];                                             \
    }
FD_FOLD(f32v, float, F32_LANES)
FD_FOLD(f64v, double, F64_LANES)
#undef FD_FOLD
#endif

/* Stores past the caches, to addresses that are multiples of the register's size. */
#if !defined(FD_OWN_STREAM)
FD_INLINE void fd_stream(void *to, const void *register_) { memcpy(to, register_, sizeof(f32v)); }
FD_INLINE void fd_stream_half(void *to, const void *register_) { memcpy(to, register_, sizeof(u16v)); }
FD_INLINE void fd_stream_end(void) {}
FD_INLINE void f64v_stream(double *to, f64v x) { memcpy(to, &x, sizeof x); } /* as scalars, twice a float's size */
#else
FD_INLINE void f64v_stream(double *to, f64v x) { fd_stream(to, &x); }
#endif

FD_INLINE void f32v_stream(float *to, f32v x) { fd_stream(to, &x); }
FD_INLINE void u16v_stream(uint16_t *to, u16v x) { fd_stream_half(to, &x); }

/* bfloat16 is the upper half of a float32; rounded to nearest, halves to even, NaNs made quiet. */
#if !defined(FD_OWN_BFLOAT16)
FD_INLINE f32v f32v_from_bfloat16(u16v x) { return f32v_from_bits(i32v_from_u16(x) << 16); }
FD_INLINE u16v f32v_to_bfloat16(f32v x) {
    const i32v bits = f32v_bits(x);
    const i32v rounded = bits + 0x7FFF + FD_FAULT(bfloat16_halves, (bits >> 16) & 1, i32v_set(1));
    const i32v nan = FD_TRUE_MASK((bits & 0x7FFFFFFF) > 0x7F800000);
    const i32v result = (nan & (bits | 0x400000)) | (~nan & rounded);
    return i32v_to_u16((result >> 16) & 0xFFFF);
}
#endif

/* bfloat16 two at a time, as they lie in 32 bits: the upper one is a float32 but for its lower bits, the lower one needs a
 * shift. Of a product with one finite number only: a NaN that it gives has no lower bits, so that rounding, half to even,
 * cannot turn it into something else. */
#if defined(FD_VECTOR_BYTES) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FD_PAIRS
FD_INLINE i32v pair_rounded(f32v x) {
    const i32v bits = f32v_bits(x);
    return bits + 0x7FFF + FD_FAULT(bfloat16_pair_halves, (bits >> 16) & 1, i32v_set(1));
}
FD_INLINE i32v pairs_times(i32v pairs, float scale) {
    const i32v upper = i32v_set((int32_t)0xFFFF0000u);
    const i32v even = pair_rounded(f32v_from_bits(pairs << 16) * scale);
    const i32v odd = pair_rounded(f32v_from_bits(pairs & upper) * scale);
    return (odd & upper) | (((even >> 16) & ~upper));
}
#if !defined(FD_OWN_KEEP_PAIRS)
typedef int16_t i16v __attribute__((vector_size(FD_VECTOR_BYTES)));
#define FD_BITS_4(bit) (int16_t)(1u << (bit)), (int16_t)(2u << (bit)), (int16_t)(4u << (bit)), (int16_t)(8u << (bit))
static const int16_t fd_bit_16[16] = {FD_BITS_4(0), FD_BITS_4(4), FD_BITS_4(8), FD_BITS_4(12)};
#undef FD_BITS_4
FD_INLINE i32v pairs_keep(keep_bits bits, int first, i32v pairs) {
    const i32v upper = i32v_set((int32_t)0xFFFF0000u);
    const i32v half = first < 16 ? (bits & ~upper) | (bits << 16) : (bits & upper) | ((bits >> 16) & ~upper);
    i16v own, bit;
    memcpy(&own, &half, sizeof own);
    memcpy(&bit, fd_bit_16 + first % 16, sizeof bit);
    const i16v kept = (own & bit) == bit;
    i32v mask;
    memcpy(&mask, &kept, sizeof mask);
    return pairs & mask;
}
#endif
#endif

/* float16 by integers: the exponent is moved by a multiplication with 2^112, which makes subnormals right too. */
#if !defined(FD_OWN_FLOAT16)
FD_INLINE f32v f32v_from_float16(u16v x) {
    const i32v half = i32v_from_u16(x);
    const i32v magnitude = (half & 0x7FFF) << 13;
    const i32v special = FD_TRUE_MASK(magnitude >= 0x0F800000); /* infinity and NaN */
    const i32v moved = f32v_bits(f32v_from_bits(magnitude) * 0x1p112f);
    return f32v_from_bits(moved | (special & 0x7F800000) | ((half & 0x8000) << 16));
}
FD_INLINE u16v f32v_to_float16(f32v x) {
    const i32v bits = f32v_bits(x);
    const i32v magnitude = bits & 0x7FFFFFFF;
    const i32v small = FD_TRUE_MASK(magnitude < 0x38800000); /* below 2^-14: adding 0.5 rounds at a subnormal's end */
    const i32v large = FD_TRUE_MASK(magnitude >= 0x47800000);
    const i32v nan = FD_TRUE_MASK(magnitude > 0x7F800000);
    const i32v subnormal = f32v_bits(f32v_from_bits(magnitude & small) + 0.5f) - 0x3F000000;
    const i32v normal = (magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
    const i32v special = 0x7C00 | (nan & (0x200 | ((magnitude >> 13) & 0x3FF)));
    const i32v result = (small & subnormal) | (large & special) | (~(small | large) & normal);
    return i32v_to_u16((result | ((bits >> 16) & 0x8000)) & 0xFFFF);
}
#endif
