/* Standard normal numbers from random words, in float. Shared by C and CUDA; the includer defines V, I, VEC and
 * FD_TRUE_MASK. docs/mask-rule.md says which words, fastdrop/reference.py repeats the steps in NumPy.
 *
 * Every step is an IEEE operation in a fixed order, as in math_functions.h: the square root, too, is rounded correctly by
 * every processor.
 */

/* Box and Muller, "A note on the generation of random normal deviates", 1958: one word gives the radius, the other the
 * angle. */
FD_INLINE void fd_box_muller(I first, I second, V *one, V *other) {
    /* u in (0, 1], an odd number of 2^-31 rounded; u = 2^n (1 + f), 2/3 <= 1 + f < 4/3 */
    const V u = VEC(from_whole)(((first >> 1) & 0x7FFFFFFF) | 1) * 0x1p-31f;
    const I above = VEC(bits)(u) - FD_FAULT(noise_range, 0x3F2AAAAB, 0x3F2AAAAA);
    const V n = VEC(from_whole)(above >> 23);
    const V f = VEC(from_bits)((above & 0x7FFFFF) + 0x3F2AAAAB) - 1.0f;
    /* log(1 + f) = f + f^2 L(f), a least-error fit */
    V log = f * 0.149878263f - 0.153394088f;
    log = log * f + 0.137631685f;
    log = log * f - 0.164303362f;
    log = log * f + 0.200290054f;
    log = log * f - 0.250064999f;
    log = log * f + FD_FAULT(noise_logarithm, 0.33332774f, 0.33333f);
    log = log * f - 0.499999732f;
    log = f * f * log + n * -2.12194440e-4f;
    log = (log + f) + n * 0.693359375f; /* few bits: n times it is exact */
    const V radius = VEC(sqrt)(log * -2.0f);
    /* an angle of an eighth of a turn or less either way, from the lower 30 bits */
    const I angle = second & FD_FAULT(noise_angle, 0x3FFFFFFF, 0x3FFFFFBF);
    const V a = VEC(from_whole)(angle - 0x20000000) * 1.46291812e-9f; /* pi / 2^31 */
    const V square = a * a;
    V sine = square * -0.000195172979f + 0.008332178f;
    sine = sine * square - 0.166666552f;
    sine = a + a * square * sine;
    V cosine = square * 2.44384501e-05f - 0.00138873677f;
    cosine = cosine * square + 0.0416666456f;
    cosine = cosine * square - 0.5f;
    cosine = cosine * square + 1.0f;
    /* the four quarters of the circle: the uppermost bit mirrors, the next one exchanges */
    cosine = VEC(from_bits)(VEC(bits)(cosine) ^ (second & FD_FAULT(noise_half_circle, ~0x7FFFFFFF, 0)));
    const V x = radius * cosine, y = radius * sine;
    *one = VEC(choose)(FD_TRUE_MASK((second & 0x40000000) != 0), y, x);
    *other = VEC(choose)(FD_TRUE_MASK((second & 0x40000000) != 0), x, y);
}
