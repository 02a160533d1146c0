/* Standard normal numbers from random words, in float: for one pair of words (CUDA) or registers of them (CPU).
 * docs/mask-rule.md says which words, fastdrop/reference.py repeats the steps in NumPy.
 *
 * Every step is an IEEE operation in a fixed order, as in math.h: the square root, too, is rounded correctly by every
 * processor. The includer defines to_float (of integers) and square_root beside what math.h needs.
 */
#ifndef FASTDROP_NORMAL_H
#define FASTDROP_NORMAL_H

#include "shared/math.h"

/* Box and Muller, "A note on the generation of random normal deviates", 1958: one word gives the radius, the other the
 * angle. I: int32_t or a register of them, V: float or a register of it. */
template <typename I, typename V>
FD_INLINE void box_muller(I first, I second, V *one, V *other) {
    /* u in (0, 1], an odd number of 2^-31 rounded; u = 2^n (1 + f), 2/3 <= 1 + f < 4/3 */
    const V u = to_float(((first >> 1) & 0x7FFFFFFF) | 1) * 0x1p-31f;
    const I above = bits_of(u) - FD_FAULT(noise_range, 0x3F2AAAAB, 0x3F2AAAAA);
    const V n = to_float(above >> 23);
    const V f = from_bits((above & 0x7FFFFF) + 0x3F2AAAAB) - 1.0f;
    /* log(1 + f) = f + f^2 L(f), a least-error fit */
    V log = polynomial(f, -0.499999732f, FD_FAULT(noise_logarithm, 0.33332774f, 0.33333f), -0.250064999f, 0.200290054f,
                       -0.164303362f, 0.137631685f, -0.153394088f, 0.149878263f);
    log = f * f * log + n * -2.12194440e-4f;
    log = (log + f) + n * 0.693359375f; /* few bits: n times it is exact */
    const V radius = square_root(log * -2.0f);
    /* an angle of an eighth of a turn or less either way, from the lower 30 bits */
    const I angle = second & FD_FAULT(noise_angle, 0x3FFFFFFF, 0x3FFFFFBF);
    const V a = to_float(angle - 0x20000000) * 1.46291812e-9f; /* pi / 2^31 */
    const V square = a * a;
    const V sine = a + a * square * polynomial(square, -0.166666552f, 0.008332178f, -0.000195172979f);
    V cosine = polynomial(square, 1.0f, -0.5f, 0.0416666456f, -0.00138873677f, 2.44384501e-05f);
    /* the four quarters of the circle: the uppermost bit mirrors, the next one exchanges */
    cosine = from_bits(bits_of(cosine) ^ (second & FD_FAULT(noise_half_circle, ~0x7FFFFFFF, 0)));
    const V x = radius * cosine, y = radius * sine;
    const auto exchanged = (second & 0x40000000) != 0;
    *one = exchanged ? y : x;
    *other = exchanged ? x : y;
}

#endif
