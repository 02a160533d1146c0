/* exp and the normal distribution on vectors, for one arithmetic type: included once for float, once for double.
 *
 * The C library's functions differ between machines in their last bits. Here every step is an IEEE operation in a
 * fixed order, so that every instruction set, CUDA, and fastdrop/reference.py in NumPy, give the same bits.
 */

/* exp(x) for x <= 0: 2^n times a Taylor series on [-ln 2 / 2, ln 2 / 2]. */
FD_INLINE V MATH(exp)(V x) {
    x = VEC(choose)(FD_TRUE_MASK(x < EXP_LOWEST), VEC(set)(EXP_LOWEST), x); /* from there on 0; a NaN stays one */
    const V shifted = x * (S)1.4426950408889634 + EXP_ROUND;                 /* a whole number, in the lowest bits */
    const V n = shifted - EXP_ROUND;
    const V r = (x - n * EXP_LN2_HIGH) - n * EXP_LN2_LOW;
    V series = VEC(set)(inverse_factorial[EXP_DEGREE]);
    FD_UNROLL_MATH
    for (int k = EXP_DEGREE - 1; k >= 0; k--) series = series * r + inverse_factorial[k];
    /* 2^n as two factors: a subnormal result is rounded once, at the end */
    const I whole = (I)(VEC(bits)(shifted) - EXP_ROUND_BITS);
    const I half = whole >> 1;
    series = series * VEC(from_bits)((half + EXP_BIAS) << EXP_FRACTION);
    return series * VEC(from_bits)((whole - half + EXP_BIAS) << EXP_FRACTION);
}

/* Phi(z), the normal distribution function, and exp(-z^2 / 2). With a = |z| and t = 1 / (1 + c a),
 * Phi(-a) = exp(-a^2 / 2) t P(t); P is a least-error fit (relative error 4e-9 for float, 4e-17 for double). */
FD_INLINE V MATH(normal_cdf)(V z, V *bell) {
    const I sign = FD_TRUE_MASK(z < 0);
    const V a = VEC(choose)(sign, -z, z);
    *bell = MATH(exp)(a * a * (S)-0.5);
    const V t = (S)1 / (a * NORMAL_C + (S)1);
    V fit = VEC(set)(normal_fit[NORMAL_DEGREE]);
    FD_UNROLL_MATH
    for (int k = NORMAL_DEGREE - 1; k >= 0; k--) fit = fit * t + normal_fit[k];
    const V tail = *bell * (t * fit);
    return VEC(choose)(sign, tail, (S)1 - tail);
}

/* Hendrycks and Gimpel, "Gaussian error linear units", 2016: z Phi(z), not its approximation by tanh. */
FD_INLINE V MATH(gelu)(V z) {
    V bell;
    const V cdf = MATH(normal_cdf)(z, &bell);
    return z * cdf;
}

FD_INLINE V MATH(gelu_slope)(V z) {
    V bell;
    const V cdf = MATH(normal_cdf)(z, &bell);
    return cdf + z * (bell * (S)0.3989422804014327); /* 1 / sqrt(2 pi) */
}

/* the includer's constants */
#undef EXP_DEGREE
#undef EXP_LOWEST
#undef EXP_ROUND
#undef EXP_ROUND_BITS
#undef EXP_LN2_HIGH
#undef EXP_LN2_LOW
#undef EXP_BIAS
#undef EXP_FRACTION
#undef NORMAL_C
#undef NORMAL_DEGREE
#undef normal_fit
#undef inverse_factorial
