/* NEON of 64-bit Arm, which always has it. */
#include <arm_neon.h>

namespace {

/* Eight counters in two registers, words packed: umull takes packed words and uzp sorts the halves of its products. */
#define FD_COUNTERS 8
#define FD_DRAW_BETWEEN FD_INLINE
constexpr bool interleaves(bool nontemporal) { return nontemporal; }
constexpr bool aligns(bool nontemporal) { return nontemporal; }
struct counter_words {
    uint32x4_t low_a, low_b, high_a, high_b; /* `high` is set by multiply only */
};

FD_INLINE counter_words both(uint32x4_t a, uint32x4_t b) { return {a, b, a, b}; }
FD_INLINE counter_words consecutive(uint32_t first) {
    static const uint32_t step[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint32x4_t x = vdupq_n_u32(first);
    return both(vaddq_u32(x, vld1q_u32(step)), vaddq_u32(x, vld1q_u32(step + 4)));
}
FD_INLINE counter_words load_words(const uint32_t *words) { return both(vld1q_u32(words), vld1q_u32(words + 4)); }
FD_INLINE counter_words multiply(counter_words x, uint32_t factor) {
    const uint32x4_t m = vdupq_n_u32(factor);
    const uint32x4_t a0 = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x.low_a), vget_low_u32(m)));
    const uint32x4_t a1 = vreinterpretq_u32_u64(vmull_high_u32(x.low_a, m));
    const uint32x4_t b0 = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x.low_b), vget_low_u32(m)));
    const uint32x4_t b1 = vreinterpretq_u32_u64(vmull_high_u32(x.low_b, m));
    return {vuzp1q_u32(a0, a1), vuzp1q_u32(b0, b1), vuzp2q_u32(a0, a1), vuzp2q_u32(b0, b1)};
}
FD_INLINE counter_words high_halves(counter_words x) { return both(x.high_a, x.high_b); }
FD_INLINE counter_words operator^(counter_words x, counter_words y) {
    return both(veorq_u32(x.low_a, y.low_a), veorq_u32(x.low_b, y.low_b));
}
FD_INLINE counter_words operator^(counter_words x, uint32_t word) {
    const uint32x4_t z = vdupq_n_u32(word);
    return both(veorq_u32(x.low_a, z), veorq_u32(x.low_b, z));
}
FD_INLINE counter_words xor3(counter_words x, counter_words y, uint32_t word) { return (y ^ word) ^ x; }
FD_INLINE void store_words(uint32_t *words, counter_words x) {
    vst1q_u32(words, x.low_a);
    vst1q_u32(words + 4, x.low_b);
}

#define FD_HAS_FLOAT16
FD_INLINE simd<float> from_float16(simd<uint16_t> x) { return vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)x)); }
FD_INLINE simd<uint16_t> to_float16(simd<float> x) { return (simd<uint16_t>)vreinterpret_u16_f16(vcvt_f16_f32(x)); }

#define FD_HAS_SQRT
FD_INLINE simd<float> square_root(simd<float> x) { return vsqrtq_f32(x); }

} // namespace
