/* exp, the normal distribution and GELU: for one element (CUDA) or a register of them (CPU), in float and double.
 *
 * The C library's functions differ between machines in their last bits. Here every step is an IEEE operation in a fixed
 * order, so that every instruction set, CUDA, and fastdrop/reference.py in NumPy, give the same bits.
 *
 * The includer defines element_of<V>::type (float or double), and bits_of and from_bits between V and integers of its
 * size.
 */
#ifndef FASTDROP_MATH_H
#define FASTDROP_MATH_H

#include "shared/portable.h"

/* c0 + c1 x + c2 x^2 + ..., by Horner's rule from the highest power down. */
template <typename V, typename real>
FD_INLINE V polynomial(V, real last) {
    return V{} + last;
}
template <typename V, typename real, typename... Reals>
FD_INLINE V polynomial(V x, real first, Reals... others) {
    return polynomial(x, others...) * x + first;
}

/* The constants of one type: exp(x) = 2^n * series(r), and the fit of the normal distribution function. */
template <typename real>
struct math_constants;

template <>
struct math_constants<float> {
    static constexpr float lowest = -105.0f;       /* exp of it is less than half the smallest subnormal */
    static constexpr float to_whole = 12582912.0f; /* 1.5 * 2^23: adding it leaves a whole number in the lowest bits */
    static constexpr int32_t to_whole_bits = 0x4B400000;
    static constexpr float ln2_high = 0.693359375f; /* few bits, so that n times it is exact */
    static constexpr float ln2_low = -2.12194440e-4f;
    static constexpr int exponent_bias = 127, fraction_bits = 23;
    static constexpr float normal_c = 0.3f;

    template <typename V>
    FD_INLINE V exp_series(V r) {
        return polynomial(r, 1.0f, 1.0f, (float)(1.0 / 2), (float)(1.0 / 6), (float)(1.0 / 24), (float)(1.0 / 120),
                          (float)(1.0 / 720), (float)(1.0 / 5040));
    }
    template <typename V>
    FD_INLINE V normal_fit(V t) {
        return polynomial(t, 0.11968775f, 0.119550118f, 0.110423197f, 0.0774857706f, 0.0988308413f, -0.0844812825f,
                          0.197921644f, -0.232835483f, 0.114402112f, -0.0209846694f);
    }
};

template <>
struct math_constants<double> {
    static constexpr double lowest = -746.0;
    static constexpr double to_whole = 6755399441055744.0; /* 1.5 * 2^52 */
    static constexpr int64_t to_whole_bits = 0x4338000000000000;
    static constexpr double ln2_high = 0x1.62e42fee00000p-1;
    static constexpr double ln2_low = 0x1.a39ef35793c76p-33;
    static constexpr int exponent_bias = 1023, fraction_bits = 52;
    static constexpr double normal_c = 0.2;

    template <typename V>
    FD_INLINE V exp_series(V r) {
        return polynomial(r, 1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                          1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800);
    }
    template <typename V>
    FD_INLINE V normal_fit(V t) {
        return polynomial(t, 0.079788456088730408, 0.079788455516500656, 0.076596935253694844, 0.070213510123244184,
                          0.061026564396091614, 0.049745922772327746, 0.03789424401895721, 0.023836921315718473,
                          0.023399091460422909, -0.023898104524441895, 0.094434350615586919, -0.22986461348171344,
                          0.4558711767344286, -0.74549820593908109, 0.97336232545337241, -1.0108231405346119,
                          0.81648477698855542, -0.49459972671408955, 0.21521162963821573, -0.063349634075586849,
                          0.011304406406117366, -0.00092534151243971999);
    }
};

/* exp(x) for x <= 0: 2^n times a Taylor series on [-ln 2 / 2, ln 2 / 2]. */
template <typename V>
FD_INLINE V exp_of_negative(V x) {
    typedef typename element_of<V>::type real;
    typedef math_constants<real> c;
    x = x < c::lowest ? V{} + c::lowest : x; /* from there on the result is 0; a NaN stays one */
    const V shifted = x * (real)1.4426950408889634 + c::to_whole;
    const V n = shifted - c::to_whole;
    const V r = (x - n * c::ln2_high) - n * c::ln2_low;
    V series = c::exp_series(r);
    /* 2^n as two factors: a subnormal result is rounded once, at the end */
    const auto whole = bits_of(shifted) - c::to_whole_bits;
    const auto half = whole >> 1;
    series = series * from_bits((half + c::exponent_bias) << c::fraction_bits);
    return series * from_bits((whole - half + c::exponent_bias) << c::fraction_bits);
}

/* Phi(z), the normal distribution function, and exp(-z^2 / 2). With a = |z| and t = 1 / (1 + c a),
 * Phi(-a) = exp(-a^2 / 2) t P(t); P is a least-error fit (relative error 4e-9 for float, 4e-17 for double). */
template <typename V>
FD_INLINE V normal_cdf(V z, V *exp_half_square) {
    typedef typename element_of<V>::type real;
    typedef math_constants<real> c;
    const auto is_negative = z < 0;
    const V a = is_negative ? -z : z;
    *exp_half_square = exp_of_negative(a * a * (real)-0.5);
    const V t = (real)1 / (a * c::normal_c + (real)1);
    const V tail = *exp_half_square * (t * c::normal_fit(t));
    return is_negative ? tail : (real)1 - tail;
}

/* Hendrycks and Gimpel, "Gaussian error linear units", 2016: z Phi(z), not its approximation by tanh. */
template <typename V>
FD_INLINE V gelu(V z) {
    V exp_half_square;
    const V cdf = normal_cdf(z, &exp_half_square);
    return z * cdf;
}

template <typename V>
FD_INLINE V gelu_derivative(V z) {
    typedef typename element_of<V>::type real;
    V exp_half_square;
    const V cdf = normal_cdf(z, &exp_half_square);
    return cdf + z * (exp_half_square * (real)0.3989422804014327); /* 1 / sqrt(2 pi): the density */
}

#endif
