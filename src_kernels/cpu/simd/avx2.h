/* AVX2, F16C, BMI2. */
#include "cpu/simd/x86.h"

namespace {

/* Eight counters, each word widened to 64 bits as in avx512.h; even and odd counters apart, so that two registers of
 * results become one by a shift and a blend. */
#define FD_COUNTERS 8
#define FD_DRAW_BETWEEN static __attribute__((noinline))
constexpr bool interleaves(bool nontemporal) { return nontemporal; }
constexpr bool aligns(bool nontemporal) { return nontemporal; }
struct counter_words {
    __m256i a, b; /* counters 0, 2, 4, 6 and 1, 3, 5, 7 */
};

FD_INLINE counter_words consecutive(uint32_t first) {
    const __m256i x = _mm256_set1_epi64x(first);
    return {_mm256_add_epi64(x, _mm256_setr_epi64x(0, 2, 4, 6)), _mm256_add_epi64(x, _mm256_setr_epi64x(1, 3, 5, 7))};
}
FD_INLINE counter_words load_words(const uint32_t *words) {
    const __m256i x = _mm256_loadu_si256((const __m256i *)words);
    return {x, _mm256_srli_epi64(x, 32)};
}
FD_INLINE counter_words multiply(counter_words x, uint32_t factor) {
    const __m256i m = _mm256_set1_epi64x(factor);
    return {_mm256_mul_epu32(x.a, m), _mm256_mul_epu32(x.b, m)};
}
FD_INLINE counter_words high_halves(counter_words x) {
    return {_mm256_srli_epi64(x.a, 32), _mm256_srli_epi64(x.b, 32)};
}
FD_INLINE counter_words operator^(counter_words x, counter_words y) {
    return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
FD_INLINE counter_words operator^(counter_words x, uint32_t word) {
    const __m256i z = _mm256_set1_epi64x(word);
    return {_mm256_xor_si256(x.a, z), _mm256_xor_si256(x.b, z)};
}
/* x comes last, it is what a round waits for; the empty asm keeps compilers from another order. */
FD_INLINE counter_words xor3(counter_words x, counter_words y, uint32_t word) {
    counter_words early = y ^ word;
    __asm__("" : "+x"(early.a), "+x"(early.b));
    return early ^ x;
}
FD_INLINE void store_words(uint32_t *words, counter_words x) {
    _mm256_storeu_si256((__m256i *)words, _mm256_blend_epi32(x.a, _mm256_slli_epi64(x.b, 32), 0xAA));
}

#define FD_HAS_OCCUPIED_WORDS
FD_INLINE uint64_t occupied_words(const uint32_t *words) {
    const __m256i zero = _mm256_setzero_si256();
    uint64_t empty = 0;
    for (int k = 0; k < 8; k++) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(words + 8 * k));
        empty |= (uint64_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, zero))) << 8 * k;
    }
    return ~empty;
}

#define FD_HAS_NONTEMPORAL
template <typename V>
FD_INLINE void store_nontemporal_register(void *to, V x) {
    _mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)&x));
}
FD_INLINE void store_nontemporal_half(void *to, const void *from) {
    _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)from));
}
FD_INLINE void end_nontemporal_stores() { _mm_sfence(); }

#define FD_HAS_FLOAT16
FD_INLINE simd<float> from_float16(simd<uint16_t> x) { return _mm256_cvtph_ps((__m128i)x); }
FD_INLINE simd<uint16_t> to_float16(simd<float> x) {
    return (simd<uint16_t>)_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
}

/* x86's maximum gives its second operand where one is NaN or both are 0. */
#define FD_HAS_RELU
FD_INLINE simd<float> relu(simd<float> z) { return _mm256_max_ps(_mm256_setzero_ps(), z); }
FD_INLINE simd<double> relu(simd<double> z) { return _mm256_max_pd(_mm256_setzero_pd(), z); }

#define FD_HAS_SQRT
FD_INLINE simd<float> square_root(simd<float> x) { return _mm256_sqrt_ps(x); }

FD_INLINE float reduce_add(simd<float> x) { return reduce_add_half(x); }
FD_INLINE double reduce_add(simd<double> x) { return reduce_add_half(x); }

} // namespace
