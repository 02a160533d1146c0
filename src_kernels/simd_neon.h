/* NEON of 64-bit Arm, which always has it. */
#include <arm_neon.h>

/* Eight blocks in two registers, words packed: umull takes packed words and uzp sorts the halves of its products. */
#define FD_BLOCKS 8
#define FD_INTERLEAVES(stream) (stream)
#define FD_ALIGNS(stream) (stream)
typedef struct {
    uint32x4_t low_a, low_b, high_a, high_b; /* `high` is set by lanes_mul only */
} lanes;

FD_INLINE lanes lanes_of(uint32x4_t a, uint32x4_t b) { return (lanes){a, b, a, b}; }
FD_INLINE lanes lanes_from(uint32_t first) {
    static const uint32_t step[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint32x4_t x = vdupq_n_u32(first);
    return lanes_of(vaddq_u32(x, vld1q_u32(step)), vaddq_u32(x, vld1q_u32(step + 4)));
}
FD_INLINE lanes lanes_load(const uint32_t *words) { return lanes_of(vld1q_u32(words), vld1q_u32(words + 4)); }
FD_INLINE lanes lanes_mul(lanes x, uint32_t factor) {
    const uint32x4_t m = vdupq_n_u32(factor);
    const uint32x4_t a0 = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x.low_a), vget_low_u32(m)));
    const uint32x4_t a1 = vreinterpretq_u32_u64(vmull_high_u32(x.low_a, m));
    const uint32x4_t b0 = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x.low_b), vget_low_u32(m)));
    const uint32x4_t b1 = vreinterpretq_u32_u64(vmull_high_u32(x.low_b, m));
    return (lanes){vuzp1q_u32(a0, a1), vuzp1q_u32(b0, b1), vuzp2q_u32(a0, a1), vuzp2q_u32(b0, b1)};
}
FD_INLINE lanes lanes_high(lanes x) { return lanes_of(x.high_a, x.high_b); }
FD_INLINE lanes lanes_xor(lanes x, lanes y) {
    return lanes_of(veorq_u32(x.low_a, y.low_a), veorq_u32(x.low_b, y.low_b));
}
FD_INLINE lanes lanes_xor_all(lanes x, uint32_t word) {
    const uint32x4_t z = vdupq_n_u32(word);
    return lanes_of(veorq_u32(x.low_a, z), veorq_u32(x.low_b, z));
}
FD_INLINE lanes lanes_xor3(lanes x, lanes y, uint32_t word) { return lanes_xor(lanes_xor_all(y, word), x); }
FD_INLINE void lanes_store(uint32_t *words, lanes x) {
    vst1q_u32(words, x.low_a);
    vst1q_u32(words + 4, x.low_b);
}

#define FD_OWN_FLOAT16
FD_INLINE f32v f32v_from_float16(u16v x) { return vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)x)); }
FD_INLINE u16v f32v_to_float16(f32v x) { return (u16v)vreinterpret_u16_f16(vcvt_f16_f32(x)); }

#define FD_OWN_SQRT
FD_INLINE f32v f32v_sqrt(f32v x) { return vsqrtq_f32(x); }
