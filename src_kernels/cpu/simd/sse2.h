/* SSE2, which every x86-64 processor has: the portable kernels there. */
#include <emmintrin.h>

namespace {

/* Four counters, as in avx2.h. */
#define FD_COUNTERS 4
#define FD_DRAW_BETWEEN FD_INLINE
constexpr bool interleaves(bool) { return false; }
constexpr bool aligns(bool nontemporal) { return nontemporal; }
struct counter_words {
    __m128i a, b; /* counters 0, 2 and 1, 3 */
};

FD_INLINE counter_words consecutive(uint32_t first) {
    const __m128i x = _mm_set1_epi64x(first);
    return {_mm_add_epi64(x, _mm_set_epi64x(2, 0)), _mm_add_epi64(x, _mm_set_epi64x(3, 1))};
}
FD_INLINE counter_words load_words(const uint32_t *words) {
    const __m128i x = _mm_loadu_si128((const __m128i *)words);
    return {x, _mm_srli_epi64(x, 32)};
}
FD_INLINE counter_words multiply(counter_words x, uint32_t factor) {
    const __m128i m = _mm_set1_epi64x(factor);
    return {_mm_mul_epu32(x.a, m), _mm_mul_epu32(x.b, m)};
}
FD_INLINE counter_words high_halves(counter_words x) { return {_mm_srli_epi64(x.a, 32), _mm_srli_epi64(x.b, 32)}; }
FD_INLINE counter_words operator^(counter_words x, counter_words y) {
    return {_mm_xor_si128(x.a, y.a), _mm_xor_si128(x.b, y.b)};
}
FD_INLINE counter_words operator^(counter_words x, uint32_t word) {
    const __m128i z = _mm_set1_epi64x(word);
    return {_mm_xor_si128(x.a, z), _mm_xor_si128(x.b, z)};
}
FD_INLINE counter_words xor3(counter_words x, counter_words y, uint32_t word) { return (y ^ word) ^ x; }
FD_INLINE void store_words(uint32_t *words, counter_words x) {
    const __m128i low = _mm_set1_epi64x(0xFFFFFFFF);
    _mm_storeu_si128((__m128i *)words, _mm_or_si128(_mm_and_si128(x.a, low), _mm_slli_epi64(x.b, 32)));
}

#define FD_HAS_OCCUPIED_WORDS
FD_INLINE uint64_t occupied_words(const uint32_t *words) {
    const __m128i zero = _mm_setzero_si128();
    uint64_t empty = 0;
    for (int k = 0; k < 16; k++) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(words + 4 * k));
        empty |= (uint64_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(x, zero))) << 4 * k;
    }
    return ~empty;
}

#define FD_HAS_NONTEMPORAL
template <typename V>
FD_INLINE void store_nontemporal_register(void *to, V x) {
    _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)&x));
}
FD_INLINE void store_nontemporal_half(void *to, const void *from) { memcpy(to, from, sizeof(simd<uint16_t>)); }
FD_INLINE void end_nontemporal_stores() { _mm_sfence(); }

#define FD_HAS_SQRT
FD_INLINE simd<float> square_root(simd<float> x) { return _mm_sqrt_ps(x); }

} // namespace
