/* What AVX-512 and AVX2 share. */
#include <immintrin.h>

#define FD_OWN_FOLD
FD_INLINE float fold_quarter(__m128 x) {
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
FD_INLINE float fold_half(__m256 x) {
    return fold_quarter(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}
FD_INLINE double fold_half_double(__m256d x) {
    const __m128d quarter = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(quarter, _mm_unpackhi_pd(quarter, quarter)));
}
