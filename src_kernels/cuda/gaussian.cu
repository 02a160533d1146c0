/* Multiplication by normally distributed noise on arrays whose elements lie side by side.
 *
 * A lane draws one Philox counter: four normal numbers, of elements that are FD_TILE_COUNTERS apart. So what half a
 * warp accesses at once are FD_TILE_COUNTERS neighbours, from any address on.
 */
#include "cuda/common.cuh"

struct fd_gaussian {
    fd_draws draws;
    void *y;
    const void *x;
    int64_t count;
    double sigma;
};

template <typename T>
FD_KERNEL fd_gaussian_kernel(const fd_gaussian call) {
    typedef typename fd_compute_type<T>::type real;
    const uint64_t counter = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t first = (int64_t)(counter / FD_TILE_COUNTERS * FD_NORMAL_GROUP + counter % FD_TILE_COUNTERS);
    const T *const x = (const T *)call.x;
    T *const y = (T *)call.y;
    T values[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (first + k * FD_TILE_COUNTERS < call.count) values[k] = x[first + k * FD_TILE_COUNTERS];
    const fd_words words = fd_draw_words(fd_masks_of(call.draws), FD_DOMAIN_NORMAL, counter);
    float normals[4];
    box_muller((int32_t)words.w[0], (int32_t)words.w[1], &normals[0], &normals[FD_FAULT(cuda_noise_pairs, 1, 2)]);
    box_muller((int32_t)words.w[2], (int32_t)words.w[3], &normals[FD_FAULT(cuda_noise_pairs, 2, 1)], &normals[3]);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (first + k * FD_TILE_COUNTERS >= call.count - FD_FAULT(cuda_noise_end, 0, 1)) continue;
        const real noise = (real)1 + (real)call.sigma * (real)normals[k];
        fd_narrow(fd_widen(values[k]) * noise, &y[first + k * FD_TILE_COUNTERS]);
    }
}
