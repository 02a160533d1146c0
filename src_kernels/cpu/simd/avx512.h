/* AVX-512 F, BW, DQ, VL, CD. A 512-bit register's mask is 8 or 16 bits of the keep words, unchanged. */
#include "cpu/simd/x86.h"

namespace {

/* Sixteen counters: each word widened to 64 bits, which is how vpmuludq takes its factors and leaves its products.
 * The upper halves may hold anything: the next multiplication ignores them. So a round is two multiplications, two
 * shifts and two three-way xors for eight counters, and no shuffle at all (twice the speed of keeping words packed). */
#define FD_COUNTERS 16
#define FD_DRAW_BETWEEN FD_INLINE
constexpr bool interleaves(bool) { return true; }
constexpr bool aligns(bool) { return true; }
struct counter_words {
    __m512i a, b; /* counters 0 to 7, 8 to 15 */
};

FD_INLINE counter_words consecutive(uint32_t first) {
    const __m512i x = _mm512_set1_epi64(first);
    return {_mm512_add_epi64(x, _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)),
            _mm512_add_epi64(x, _mm512_setr_epi64(8, 9, 10, 11, 12, 13, 14, 15))};
}
FD_INLINE counter_words load_words(const uint32_t *words) {
    return {_mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)words)),
            _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(words + 8)))};
}
FD_INLINE counter_words multiply(counter_words x, uint32_t factor) {
    const __m512i m = _mm512_set1_epi64(factor);
    return {_mm512_mul_epu32(x.a, m), _mm512_mul_epu32(x.b, m)};
}
FD_INLINE counter_words high_halves(counter_words x) {
    return {_mm512_srli_epi64(x.a, 32), _mm512_srli_epi64(x.b, 32)};
}
FD_INLINE counter_words operator^(counter_words x, counter_words y) {
    return {_mm512_xor_si512(x.a, y.a), _mm512_xor_si512(x.b, y.b)};
}
FD_INLINE counter_words operator^(counter_words x, uint32_t word) {
    const __m512i z = _mm512_set1_epi64(word);
    return {_mm512_xor_si512(x.a, z), _mm512_xor_si512(x.b, z)};
}
FD_INLINE counter_words xor3(counter_words x, counter_words y, uint32_t word) {
    const __m512i z = _mm512_set1_epi64(word);
    return {_mm512_ternarylogic_epi64(x.a, y.a, z, 0x96), _mm512_ternarylogic_epi64(x.b, y.b, z, 0x96)};
}
FD_INLINE void store_words(uint32_t *words, counter_words x) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    _mm512_storeu_si512(words, _mm512_permutex2var_epi32(x.a, even, x.b));
}

#define FD_HAS_SHIFT
FD_INLINE void shift_tile(uint32_t before, const uint32_t *tile, int shift, uint32_t *shifted) {
    const __m128i right = _mm_cvtsi32_si128(shift), left = _mm_cvtsi32_si128(32 - shift);
    __m512i last = _mm512_set1_epi32((int)before);
    for (int k = 0; k < 64; k += 16) {
        const __m512i words = _mm512_loadu_si512(tile + k);
        const __m512i behind = _mm512_alignr_epi32(words, last, 15);
        _mm512_storeu_si512(shifted + k,
                            _mm512_or_si512(_mm512_srl_epi32(behind, right), _mm512_sll_epi32(words, left)));
        last = words;
    }
}

/* Keep bits go from memory to a mask register, and are shifted there: by way of an integer register a tile of 2048
 * floats took 58 ns where this takes 37, and no masks at all 35 (Zen 5, first-level cache; one 16-bit load for each
 * register 44, one 64-bit load for four 53). The asm keeps compilers from the detour. */
#define FD_HAS_KEEP_BITS
typedef __mmask32 keep_bits;
FD_INLINE keep_bits keep_bits_of(uint32_t bits) { return _cvtu32_mask32(bits); }
FD_INLINE keep_bits load_keep_bits(const void *from) {
    keep_bits bits;
    __asm__("kmovd %1, %0" : "=k"(bits) : "m"(*(const char (*)[4])from));
    return bits;
}

/* `first` belongs to a register's first element: a constant where this is used, and a multiple of 8. */
struct kept_lanes {
    keep_bits bits;
    int first;
};
FD_INLINE keep_bits mask_of(kept_lanes kept) { /* a shift takes a constant */
    return kept.first == 0    ? kept.bits
           : kept.first == 8  ? _kshiftri_mask32(kept.bits, 8)
           : kept.first == 16 ? _kshiftri_mask32(kept.bits, 16)
                              : _kshiftri_mask32(kept.bits, 24);
}
FD_INLINE simd<float> zero_unless(kept_lanes kept, simd<float> x) {
    return _mm512_maskz_mov_ps((__mmask16)mask_of(kept), x);
}
FD_INLINE simd<double> zero_unless(kept_lanes kept, simd<double> x) {
    return _mm512_maskz_mov_pd((__mmask8)mask_of(kept), x);
}
FD_INLINE simd<float> kept_or(kept_lanes kept, simd<float> x, simd<float> otherwise) {
    return _mm512_mask_mov_ps(otherwise, (__mmask16)mask_of(kept), x);
}
FD_INLINE simd<double> kept_or(kept_lanes kept, simd<double> x, simd<double> otherwise) {
    return _mm512_mask_mov_pd(otherwise, (__mmask8)mask_of(kept), x);
}
FD_INLINE simd<float> zero_unless_positive(simd<float> z, simd<float> x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_NLE_UQ), x);
}
FD_INLINE simd<double> zero_unless_positive(simd<double> z, simd<double> x) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(z, _mm512_setzero_pd(), _CMP_NLE_UQ), x);
}

#define FD_HAS_KEEP_PAIRS
FD_INLINE simd<int32_t> zero_pairs_unless(kept_lanes kept, simd<int32_t> pairs) { /* 32 of them fill a register */
    return (simd<int32_t>)_mm512_maskz_mov_epi16(kept.bits, (__m512i)pairs);
}

#define FD_HAS_NONTEMPORAL
template <typename V>
FD_INLINE void store_nontemporal_register(void *to, V x) {
    _mm512_stream_si512((__m512i *)to, _mm512_loadu_si512(&x));
}
FD_INLINE void store_nontemporal_half(void *to, const void *from) {
    _mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)from));
}
FD_INLINE void end_nontemporal_stores() { _mm_sfence(); }

#define FD_HAS_FLOAT16
FD_INLINE simd<float> from_float16(simd<uint16_t> x) { return _mm512_cvtph_ps((__m256i)x); }
FD_INLINE simd<uint16_t> to_float16(simd<float> x) {
    return (simd<uint16_t>)_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#define FD_HAS_BFLOAT16
FD_INLINE simd<float> from_bfloat16(simd<uint16_t> x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16));
}
FD_INLINE simd<uint16_t> to_bfloat16(simd<float> x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), last);
    rounded = _mm512_mask_or_epi32(rounded, FD_FAULT(bfloat16_nan, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), 0), bits,
                                   _mm512_set1_epi32(0x400000));
    return (simd<uint16_t>)_mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

/* x86's maximum gives its second operand where one is NaN or both are 0. */
#define FD_HAS_RELU
FD_INLINE simd<float> relu(simd<float> z) { return _mm512_max_ps(_mm512_setzero_ps(), z); }
FD_INLINE simd<double> relu(simd<double> z) { return _mm512_max_pd(_mm512_setzero_pd(), z); }

#define FD_HAS_SQRT
FD_INLINE simd<float> square_root(simd<float> x) { return _mm512_sqrt_ps(x); }

FD_INLINE float reduce_add(simd<float> x) {
    return reduce_add_half(_mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)));
}
FD_INLINE double reduce_add(simd<double> x) {
    return reduce_add_half(_mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1)));
}

} // namespace
