/* AVX2, F16C, BMI2. */
#include "simd_x86.h"

/* Eight blocks, each word widened to 64 bits as in simd_avx512.h; even and odd blocks apart, so that two registers of
 * results become one by a shift and a blend. */
#define FD_BLOCKS 8
#define FD_INTERLEAVES(stream) (stream)
#define FD_ALIGNS(stream) (stream)
typedef struct {
    __m256i a, b; /* blocks 0, 2, 4, 6 and 1, 3, 5, 7 */
} lanes;

FD_INLINE lanes lanes_from(uint32_t first) {
    const __m256i x = _mm256_set1_epi64x(first);
    return (lanes){_mm256_add_epi64(x, _mm256_setr_epi64x(0, 2, 4, 6)),
                   _mm256_add_epi64(x, _mm256_setr_epi64x(1, 3, 5, 7))};
}
FD_INLINE lanes lanes_load(const uint32_t *words) {
    const __m256i x = _mm256_loadu_si256((const __m256i *)words);
    return (lanes){x, _mm256_srli_epi64(x, 32)};
}
FD_INLINE lanes lanes_mul(lanes x, uint32_t factor) {
    const __m256i m = _mm256_set1_epi64x(factor);
    return (lanes){_mm256_mul_epu32(x.a, m), _mm256_mul_epu32(x.b, m)};
}
FD_INLINE lanes lanes_high(lanes x) { return (lanes){_mm256_srli_epi64(x.a, 32), _mm256_srli_epi64(x.b, 32)}; }
FD_INLINE lanes lanes_xor(lanes x, lanes y) {
    return (lanes){_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
FD_INLINE lanes lanes_xor_all(lanes x, uint32_t word) {
    const __m256i z = _mm256_set1_epi64x(word);
    return (lanes){_mm256_xor_si256(x.a, z), _mm256_xor_si256(x.b, z)};
}
/* x comes last, it is what a round waits for; the empty asm keeps compilers from another order. */
FD_INLINE lanes lanes_xor3(lanes x, lanes y, uint32_t word) {
    lanes early = lanes_xor_all(y, word);
    __asm__("" : "+x"(early.a), "+x"(early.b));
    return lanes_xor(early, x);
}
FD_INLINE void lanes_store(uint32_t *words, lanes x) {
    _mm256_storeu_si256((__m256i *)words, _mm256_blend_epi32(x.a, _mm256_slli_epi64(x.b, 32), 0xAA));
}

#define FD_OWN_OCCUPIED
FD_INLINE uint64_t occupied_words(const uint32_t *words) {
    const __m256i zero = _mm256_setzero_si256();
    uint64_t empty = 0;
    for (int k = 0; k < 8; k++) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(words + 8 * k));
        empty |= (uint64_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, zero))) << 8 * k;
    }
    return ~empty;
}

#define FD_OWN_STREAM
FD_INLINE void fd_stream(void *to, const void *register_) {
    _mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)register_));
}
FD_INLINE void fd_stream_half(void *to, const void *register_) {
    _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)register_));
}
FD_INLINE void fd_stream_end(void) { _mm_sfence(); }

#define FD_OWN_FLOAT16
FD_INLINE f32v f32v_from_float16(u16v x) { return _mm256_cvtph_ps((__m128i)x); }
FD_INLINE u16v f32v_to_float16(f32v x) { return (u16v)_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }

/* x86's maximum gives its second operand where one is NaN or both are 0. */
#define FD_OWN_RELU
FD_INLINE f32v f32v_relu(f32v z) { return _mm256_max_ps(_mm256_setzero_ps(), z); }
FD_INLINE f64v f64v_relu(f64v z) { return _mm256_max_pd(_mm256_setzero_pd(), z); }

#define FD_OWN_SQRT
FD_INLINE f32v f32v_sqrt(f32v x) { return _mm256_sqrt_ps(x); }

FD_INLINE float f32v_fold(f32v x) { return fold_half(x); }
FD_INLINE double f64v_fold(f64v x) { return fold_half_double(x); }
