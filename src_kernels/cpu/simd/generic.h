/* What an instruction set's own header does not define, in forms that every target can take. */

namespace {

/* ---- keep bits: 32 of them at hand, and those of one register's elements ----
 *
 * The bits are in all elements of a register; each picks its own by a constant, as shifts that differ from lane to lane
 * exist only from AVX2 on. */
#if !defined(FD_HAS_KEEP_BITS)
typedef simd<int32_t> keep_bits;
FD_INLINE keep_bits keep_bits_of(uint32_t bits) { return all_lanes((int32_t)bits); }
FD_INLINE keep_bits load_keep_bits(const void *from) {
    uint32_t bits;
    memcpy(&bits, from, sizeof bits);
    return keep_bits_of(bits);
}

/* `first` belongs to a register's first element: a constant where this is used. */
struct kept_lanes {
    keep_bits bits;
    int first;
};

#if defined(FD_VECTOR_BYTES)
#define FD_BITS_4(bit) (int32_t)(1u << (bit)), (int32_t)(2u << (bit)), (int32_t)(4u << (bit)), (int32_t)(8u << (bit))
#define FD_BITS_2_TWICE(bit)                                                                                           \
    (int32_t)(1u << (bit)), (int32_t)(1u << (bit)), (int32_t)(2u << (bit)), (int32_t)(2u << (bit))
const int32_t OWN_BIT[32] = {FD_BITS_4(0),  FD_BITS_4(4),  FD_BITS_4(8),  FD_BITS_4(12),
                             FD_BITS_4(16), FD_BITS_4(20), FD_BITS_4(24), FD_BITS_4(28)};
const int32_t OWN_BIT_TWICE[64] = {FD_BITS_2_TWICE(0),  FD_BITS_2_TWICE(2),  FD_BITS_2_TWICE(4),  FD_BITS_2_TWICE(6),
                                   FD_BITS_2_TWICE(8),  FD_BITS_2_TWICE(10), FD_BITS_2_TWICE(12), FD_BITS_2_TWICE(14),
                                   FD_BITS_2_TWICE(16), FD_BITS_2_TWICE(18), FD_BITS_2_TWICE(20), FD_BITS_2_TWICE(22),
                                   FD_BITS_2_TWICE(24), FD_BITS_2_TWICE(26), FD_BITS_2_TWICE(28), FD_BITS_2_TWICE(30)};
#undef FD_BITS_4
#undef FD_BITS_2_TWICE

/* All ones where an element is kept; double's in pairs, since SSE2 does not compare 64 bits. */
FD_INLINE simd<int32_t> ones_where(kept_lanes kept, simd<float>) {
    const simd<int32_t> bit = load(OWN_BIT + kept.first);
    return (simd<int32_t>)((kept.bits & bit) == bit);
}
FD_INLINE simd<int32_t> ones_where(kept_lanes kept, simd<double>) {
    const simd<int32_t> bit = load(OWN_BIT_TWICE + 2 * kept.first);
    return (simd<int32_t>)((kept.bits & bit) == bit);
}
#else
FD_INLINE int32_t ones_where(kept_lanes kept, float) { return -((kept.bits >> kept.first) & 1); }
FD_INLINE int64_t ones_where(kept_lanes kept, double) { return -(int64_t)((kept.bits >> kept.first) & 1); }
#endif

/* x, but +0 where it is not kept. */
template <typename V>
FD_INLINE V zero_unless(kept_lanes kept, V x) {
    auto ones = ones_where(kept, x);
    return same_bits<V>(same_bits<decltype(ones)>(x) & ones);
}

/* x where it is kept, elsewhere the other. */
template <typename V>
FD_INLINE V kept_or(kept_lanes kept, V x, V otherwise) {
    auto ones = ones_where(kept, x);
    typedef decltype(ones) integers;
    return same_bits<V>((same_bits<integers>(x) & ones) | (same_bits<integers>(otherwise) & ~ones));
}

/* x, but +0 where z <= 0; a NaN in z lets x pass, as in np.maximum(z, 0). */
template <typename V>
FD_INLINE V zero_unless_positive(V z, V x) {
    return z <= 0 ? V{} : x;
}
#endif

/* z, but +0 where z < 0; a NaN stays one. */
#if !defined(FD_HAS_RELU)
template <typename V>
FD_INLINE V relu(V z) {
    return z < 0 ? V{} : z;
}
#endif

/* Rounded correctly, as IEEE asks of it. */
#if !defined(FD_HAS_SQRT)
FD_INLINE simd<float> square_root(simd<float> x) {
    float root[LANES<float>];
    store(root, x);
    for (int k = 0; k < LANES<float>; k++) root[k] = sqrtf(root[k]);
    return load_cached(root);
}
#endif

/* The sum of a register's elements, in halves. */
#if !defined(FD_HAS_REDUCE_ADD)
template <typename real, typename V>
FD_INLINE real reduce_add_as(V x) {
    real sum[LANES<real>];
    store(sum, x);
    for (int half = LANES<real> / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) sum[k] += sum[k + half];
    return sum[0];
}
FD_INLINE float reduce_add(simd<float> x) { return reduce_add_as<float>(x); }
FD_INLINE double reduce_add(simd<double> x) { return reduce_add_as<double>(x); }
#endif

/* ---- stores past the caches, to addresses that are multiples of what is stored ---- */

#if !defined(FD_HAS_NONTEMPORAL)
template <typename V>
FD_INLINE void store_nontemporal_register(void *to, V x) {
    memcpy(to, &x, sizeof x);
}
FD_INLINE void store_nontemporal_half(void *to, const void *from) { memcpy(to, from, sizeof(simd<uint16_t>)); }
FD_INLINE void end_nontemporal_stores() {}
#endif
FD_INLINE void store_nontemporal(float *to, simd<float> x) { store_nontemporal_register(to, x); }
FD_INLINE void store_nontemporal(double *to, simd<double> x) { store_nontemporal_register(to, x); }
FD_INLINE void store_nontemporal(uint16_t *to, simd<uint16_t> x) { store_nontemporal_half(to, &x); }

/* Ask early for what comes after these bytes: drawing fills the window of out-of-order execution, which would otherwise
 * look ahead. The cache level is part of the instruction, so it takes a branch, which is always predicted: a loop for
 * each level would triple the code. */
#if defined(__GNUC__)
template <int LOCALITY>
FD_INLINE void prefetch_lines(const char *at, size_t bytes) {
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(at + line, 0, LOCALITY);
}
FD_INLINE void prefetch_after(fd_prefetch how, const void *from, size_t bytes) {
    const char *at = (const char *)((uintptr_t)from + (uintptr_t)how.ahead);
    if (how.hint == FD_NON_TEMPORAL)
        prefetch_lines<0>(at, bytes);
    else if (how.hint == FD_SECOND_LEVEL)
        prefetch_lines<2>(at, bytes);
    else if (how.hint == FD_FIRST_LEVEL)
        prefetch_lines<3>(at, bytes);
}
#else
FD_INLINE void prefetch_after(fd_prefetch, const void *, size_t) {}
#endif

/* ---- half dtypes ---- */

/* bfloat16 is the upper half of a float32; rounded to nearest, halves to even, NaNs made quiet. */
#if !defined(FD_HAS_BFLOAT16)
FD_INLINE simd<float> from_bfloat16(simd<uint16_t> x) { return from_bits(widen(x) << 16); }
FD_INLINE simd<uint16_t> to_bfloat16(simd<float> x) {
    const simd<int32_t> bits = bits_of(x);
    const simd<int32_t> rounded = bits + 0x7FFF + FD_FAULT(bfloat16_halves, (bits >> 16) & 1, all_lanes(1));
    const simd<int32_t> result = (bits & 0x7FFFFFFF) > 0x7F800000 ? bits | 0x400000 : rounded;
    return narrow((result >> 16) & 0xFFFF);
}
#endif

/* float16 by integers: the exponent is moved by a multiplication with 2^112, which makes subnormals right too. */
#if !defined(FD_HAS_FLOAT16)
FD_INLINE simd<float> from_float16(simd<uint16_t> x) {
    const simd<int32_t> half = widen(x);
    const simd<int32_t> magnitude = (half & 0x7FFF) << 13;
    const simd<int32_t> special = magnitude >= 0x0F800000 ? all_lanes(0x7F800000) : all_lanes(0); /* infinity and NaN */
    const simd<int32_t> exponent_moved = bits_of(from_bits(magnitude) * 0x1p112f);
    return from_bits(exponent_moved | special | ((half & 0x8000) << 16));
}
FD_INLINE simd<uint16_t> to_float16(simd<float> x) {
    const simd<int32_t> bits = bits_of(x);
    const simd<int32_t> magnitude = bits & 0x7FFFFFFF;
    const auto is_small = magnitude < 0x38800000; /* below 2^-14: adding 0.5 rounds at a subnormal's end */
    const simd<int32_t> subnormal = bits_of(from_bits(is_small ? magnitude : all_lanes(0)) + 0.5f) - 0x3F000000;
    const simd<int32_t> normal = (magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
    const simd<int32_t> nan = 0x7E00 | ((magnitude >> 13) & 0x3FF);
    const simd<int32_t> special = magnitude > 0x7F800000 ? nan : all_lanes(0x7C00);
    const simd<int32_t> result = is_small ? subnormal : magnitude >= 0x47800000 ? special : normal;
    return narrow((result | ((bits >> 16) & 0x8000)) & 0xFFFF);
}
#endif

/* bfloat16 two at a time, as they lie in 32 bits: the upper one is a float32 but for its lower bits, the lower one
 * needs a shift. Only for a product with a finite number: a NaN that it gives has no lower bits, so that rounding
 * cannot turn it into something else. */
#if defined(FD_VECTOR_BYTES) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FD_HAS_PAIRS
FD_INLINE simd<int32_t> round_pair(simd<float> x) {
    const simd<int32_t> bits = bits_of(x);
    return bits + 0x7FFF + FD_FAULT(bfloat16_pair_halves, (bits >> 16) & 1, all_lanes(1));
}
FD_INLINE simd<int32_t> scale_pairs(simd<int32_t> pairs, float scale) {
    const simd<int32_t> upper = all_lanes((int32_t)0xFFFF0000u);
    const simd<int32_t> even = round_pair(from_bits(pairs << 16) * scale) >> 16;
    const simd<int32_t> odd = round_pair(from_bits(pairs & upper) * scale);
    return even ^ ((even ^ odd) & upper); /* a blend by one instruction on AVX-512 */
}
#if !defined(FD_HAS_KEEP_PAIRS)
#define FD_BITS_4(bit) (int16_t)(1u << (bit)), (int16_t)(2u << (bit)), (int16_t)(4u << (bit)), (int16_t)(8u << (bit))
const int16_t OWN_BIT_16[16] = {FD_BITS_4(0), FD_BITS_4(4), FD_BITS_4(8), FD_BITS_4(12)};
#undef FD_BITS_4
FD_INLINE simd<int32_t> zero_pairs_unless(kept_lanes kept, simd<int32_t> pairs) {
    const simd<int32_t> bits = kept.bits, upper = all_lanes((int32_t)0xFFFF0000u);
    const simd<int32_t> half =
        kept.first < 16 ? (bits & ~upper) | (bits << 16) : (bits & upper) | ((bits >> 16) & ~upper);
    const simd<int16_t> bit = load_cached(OWN_BIT_16 + kept.first % 16);
    return pairs & same_bits<simd<int32_t>>((same_bits<simd<int16_t>>(half) & bit) == bit);
}
#endif
#endif

} // namespace
