/* Units of 32 elements in registers, and sums of them in one order. */

namespace {

constexpr int UNIT = 32;

/* 32 elements, or 32 partial sums. */
template <typename real>
struct unit_of {
    static constexpr int N = LANES<real>, PARTS = UNIT / N;
    simd<real> part[PARTS];

    FD_INLINE void clear(unit_of &u) { /* gcc makes `rep stos` of an assignment, which is slow */
        FD_UNROLL
        for (int k = 0; k < PARTS; k++) u.part[k] = simd<real>{};
    }
};

/* The sum of 32 partial sums, in halves; they are changed on the way. */
template <typename real>
FD_INLINE real reduce_add(unit_of<real> &sum) {
    FD_UNROLL
    for (int half = unit_of<real>::PARTS / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) sum.part[k] += sum.part[k + half];
    return reduce_add(sum.part[0]);
}

} // namespace
