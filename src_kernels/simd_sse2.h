/* SSE2, which every x86-64 processor has: the portable kernels there. */
#include <emmintrin.h>

/* Four blocks, as in simd_avx2.h. */
#define FD_BLOCKS 4
#define FD_INTERLEAVES(stream) (0)
#define FD_ALIGNS(stream) (stream)
typedef struct {
    __m128i a, b; /* blocks 0, 2 and 1, 3 */
} lanes;

FD_INLINE lanes lanes_from(uint32_t first) {
    const __m128i x = _mm_set1_epi64x(first);
    return (lanes){_mm_add_epi64(x, _mm_set_epi64x(2, 0)), _mm_add_epi64(x, _mm_set_epi64x(3, 1))};
}
FD_INLINE lanes lanes_load(const uint32_t *words) {
    const __m128i x = _mm_loadu_si128((const __m128i *)words);
    return (lanes){x, _mm_srli_epi64(x, 32)};
}
FD_INLINE lanes lanes_mul(lanes x, uint32_t factor) {
    const __m128i m = _mm_set1_epi64x(factor);
    return (lanes){_mm_mul_epu32(x.a, m), _mm_mul_epu32(x.b, m)};
}
FD_INLINE lanes lanes_high(lanes x) { return (lanes){_mm_srli_epi64(x.a, 32), _mm_srli_epi64(x.b, 32)}; }
FD_INLINE lanes lanes_xor(lanes x, lanes y) { return (lanes){_mm_xor_si128(x.a, y.a), _mm_xor_si128(x.b, y.b)}; }
FD_INLINE lanes lanes_xor_all(lanes x, uint32_t word) {
    const __m128i z = _mm_set1_epi64x(word);
    return (lanes){_mm_xor_si128(x.a, z), _mm_xor_si128(x.b, z)};
}
FD_INLINE lanes lanes_xor3(lanes x, lanes y, uint32_t word) { return lanes_xor(lanes_xor_all(y, word), x); }
FD_INLINE void lanes_store(uint32_t *words, lanes x) {
    const __m128i low = _mm_set1_epi64x(0xFFFFFFFF);
    _mm_storeu_si128((__m128i *)words, _mm_or_si128(_mm_and_si128(x.a, low), _mm_slli_epi64(x.b, 32)));
}

#define FD_OWN_OCCUPIED
FD_INLINE uint64_t occupied_words(const uint32_t *words) {
    const __m128i zero = _mm_setzero_si128();
    uint64_t empty = 0;
    for (int k = 0; k < 16; k++) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(words + 4 * k));
        empty |= (uint64_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(x, zero))) << 4 * k;
    }
    return ~empty;
}

#define FD_OWN_STREAM
FD_INLINE void fd_stream(void *to, const void *register_) {
    _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)register_));
}
FD_INLINE void fd_stream_half(void *to, const void *register_) { memcpy(to, register_, sizeof(u16v)); }
FD_INLINE void fd_stream_end(void) { _mm_sfence(); }

#define FD_OWN_SQRT
FD_INLINE f32v f32v_sqrt(f32v x) { return _mm_sqrt_ps(x); }
