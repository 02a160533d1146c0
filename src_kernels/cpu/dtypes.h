/* The dtypes: what is stored, what it is computed in, and how registers of it are loaded and stored. */

namespace {

template <typename A, typename B>
constexpr bool is_same = false;
template <typename A>
constexpr bool is_same<A, A> = true;

/* A dtype that is computed in itself. */
template <typename Real>
struct plain_dtype {
    typedef Real stored, real;
    static constexpr bool has_pairs = false;
    FD_INLINE simd<Real> load(const Real *from) { return ::load(from); }
    FD_INLINE simd<Real> load_cached(const Real *from) { return ::load_cached(from); }
    FD_INLINE void store(Real *to, simd<Real> x) { ::store(to, x); }
    FD_INLINE void store_nontemporal(Real *to, simd<Real> x) { ::store_nontemporal(to, x); }
};
struct float32 : plain_dtype<float> {
    typedef uint32_t bits;
};
struct float64 : plain_dtype<double> {
    typedef uint64_t bits;
};

/* A dtype of 16 bits, computed in float and rounded once. */
template <simd<float> (*WIDEN)(simd<uint16_t>), simd<uint16_t> (*ROUND)(simd<float>)>
struct half_dtype {
    typedef uint16_t stored, bits;
    typedef float real;
    FD_INLINE simd<float> load(const uint16_t *from) { return WIDEN(::load(from)); }
    FD_INLINE simd<float> load_cached(const uint16_t *from) { return load(from); }
    FD_INLINE void store(uint16_t *to, simd<float> x) { ::store(to, ROUND(x)); }
    FD_INLINE void store_nontemporal(uint16_t *to, simd<float> x) { ::store_nontemporal(to, ROUND(x)); }
};
struct float16 : half_dtype<from_float16, to_float16> {
    static constexpr bool has_pairs = false;
};
struct bfloat16 : half_dtype<from_bfloat16, to_bfloat16> {
#if defined(FD_HAS_PAIRS)
    static constexpr bool has_pairs = true;
#else
    static constexpr bool has_pairs = false;
#endif
};

} // namespace
