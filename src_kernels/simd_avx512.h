/* AVX-512 F, BW, DQ, VL, CD. A 512-bit register's mask is 8 or 16 bits of the keep words, as they stand. */
#include "simd_x86.h"

/* Sixteen blocks: each word widened to 64 bits, which is how vpmuludq takes its factors and leaves its products.
 * The upper halves may hold anything: the next multiplication ignores them. So a round is two multiplications, two
 * shifts and two three-way xors for eight blocks, and no shuffle at all (twice the speed of keeping words packed). */
#define FD_BLOCKS 16
#define FD_INTERLEAVES(stream) (1)
#define FD_ALIGNS(stream) (1)
typedef struct {
    __m512i a, b; /* blocks 0 to 7, 8 to 15 */
} lanes;

FD_INLINE lanes lanes_from(uint32_t first) {
    const __m512i x = _mm512_set1_epi64(first);
    return (lanes){_mm512_add_epi64(x, _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)),
                   _mm512_add_epi64(x, _mm512_setr_epi64(8, 9, 10, 11, 12, 13, 14, 15))};
}
FD_INLINE lanes lanes_load(const uint32_t *words) {
    return (lanes){_mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)words)),
                   _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(words + 8)))};
}
FD_INLINE lanes lanes_mul(lanes x, uint32_t factor) {
    const __m512i m = _mm512_set1_epi64(factor);
    return (lanes){_mm512_mul_epu32(x.a, m), _mm512_mul_epu32(x.b, m)};
}
FD_INLINE lanes lanes_high(lanes x) { return (lanes){_mm512_srli_epi64(x.a, 32), _mm512_srli_epi64(x.b, 32)}; }
FD_INLINE lanes lanes_xor(lanes x, lanes y) {
    return (lanes){_mm512_xor_si512(x.a, y.a), _mm512_xor_si512(x.b, y.b)};
}
FD_INLINE lanes lanes_xor_all(lanes x, uint32_t word) {
    const __m512i z = _mm512_set1_epi64(word);
    return (lanes){_mm512_xor_si512(x.a, z), _mm512_xor_si512(x.b, z)};
}
FD_INLINE lanes lanes_xor3(lanes x, lanes y, uint32_t word) {
    const __m512i z = _mm512_set1_epi64(word);
    return (lanes){_mm512_ternarylogic_epi64(x.a, y.a, z, 0x96), _mm512_ternarylogic_epi64(x.b, y.b, z, 0x96)};
}
FD_INLINE void lanes_store(uint32_t *words, lanes x) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    _mm512_storeu_si512(words, _mm512_permutex2var_epi32(x.a, even, x.b));
}

#define FD_OWN_SHIFT
FD_INLINE void shift_tile(uint32_t before, const uint32_t *tile, int shift, uint32_t *shifted) {
    const __m128i right = _mm_cvtsi32_si128(shift), left = _mm_cvtsi32_si128(32 - shift);
    __m512i last = _mm512_set1_epi32((int)before);
    for (int k = 0; k < 64; k += 16) {
        const __m512i words = _mm512_loadu_si512(tile + k);
        const __m512i behind = _mm512_alignr_epi32(words, last, 15);
        _mm512_storeu_si512(shifted + k, _mm512_or_si512(_mm512_srl_epi32(behind, right), _mm512_sll_epi32(words, left)));
        last = words;
    }
}

/* Keep bits go from memory to a mask register, and are shifted there: by way of an integer register a tile of 2048
 * floats took 58 ns where this takes 37, and no masks at all 35 (Zen 5, first-level cache; one 16-bit load for each
 * register 44, one 64-bit load for four 53). The asm keeps compilers from the detour. */
#define FD_OWN_KEEP
typedef __mmask32 keep_bits;
FD_INLINE keep_bits keep_bits_of(uint32_t bits) { return _cvtu32_mask32(bits); }
FD_INLINE keep_bits keep_bits_load(const void *from) {
    keep_bits bits;
    __asm__("kmovd %1, %0" : "=k"(bits) : "m"(*(const char(*)[4])from));
    return bits;
}
/* `first` is a multiple of 8; a shift takes a constant */
FD_INLINE keep_bits keep_bits_from(keep_bits bits, int first) {
    return first == 0    ? bits
           : first == 8  ? _kshiftri_mask32(bits, 8)
           : first == 16 ? _kshiftri_mask32(bits, 16)
                         : _kshiftri_mask32(bits, 24);
}
FD_INLINE f32v f32v_keep(keep_bits bits, int first, f32v x) {
    return _mm512_maskz_mov_ps((__mmask16)keep_bits_from(bits, first), x);
}
FD_INLINE f64v f64v_keep(keep_bits bits, int first, f64v x) {
    return _mm512_maskz_mov_pd((__mmask8)keep_bits_from(bits, first), x);
}
FD_INLINE f32v f32v_either(keep_bits bits, int first, f32v x, f32v other) {
    return _mm512_mask_mov_ps(other, (__mmask16)keep_bits_from(bits, first), x);
}
FD_INLINE f64v f64v_either(keep_bits bits, int first, f64v x, f64v other) {
    return _mm512_mask_mov_pd(other, (__mmask8)keep_bits_from(bits, first), x);
}
FD_INLINE f32v f32v_zero_unless_positive(f32v z, f32v x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_NLE_UQ), x);
}
FD_INLINE f64v f64v_zero_unless_positive(f64v z, f64v x) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(z, _mm512_setzero_pd(), _CMP_NLE_UQ), x);
}

#define FD_OWN_KEEP_PAIRS
FD_INLINE i32v pairs_keep(keep_bits bits, int first, i32v pairs) {
    (void)first; /* 32 of them fill a register */
    return (i32v)_mm512_maskz_mov_epi16(bits, (__m512i)pairs);
}

#define FD_OWN_STREAM
FD_INLINE void fd_stream(void *to, const void *register_) {
    _mm512_stream_si512((__m512i *)to, _mm512_loadu_si512(register_));
}
FD_INLINE void fd_stream_half(void *to, const void *register_) {
    _mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)register_));
}
FD_INLINE void fd_stream_end(void) { _mm_sfence(); }

#define FD_OWN_FLOAT16
FD_INLINE f32v f32v_from_float16(u16v x) { return _mm512_cvtph_ps((__m256i)x); }
FD_INLINE u16v f32v_to_float16(f32v x) {
    return (u16v)_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#define FD_OWN_BFLOAT16
FD_INLINE f32v f32v_from_bfloat16(u16v x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16));
}
FD_INLINE u16v f32v_to_bfloat16(f32v x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), last);
    rounded = _mm512_mask_or_epi32(rounded, FD_FAULT(bfloat16_nan, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), 0), bits,
                                       _mm512_set1_epi32(0x400000));
    return (u16v)_mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

/* x86's maximum gives its second operand where one is NaN or both are 0. */
#define FD_OWN_RELU
FD_INLINE f32v f32v_relu(f32v z) { return _mm512_max_ps(_mm512_setzero_ps(), z); }
FD_INLINE f64v f64v_relu(f64v z) { return _mm512_max_pd(_mm512_setzero_pd(), z); }

#define FD_OWN_SQRT
FD_INLINE f32v f32v_sqrt(f32v x) { return _mm512_sqrt_ps(x); }

FD_INLINE float f32v_fold(f32v x) {
    return fold_half(_mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)));
}
FD_INLINE double f64v_fold(f64v x) {
    return fold_half_double(_mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1)));
}
