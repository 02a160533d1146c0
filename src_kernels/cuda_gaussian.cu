/* Multiplication by normally distributed noise on arrays whose elements lie side by side.
 *
 * A lane draws one Philox block: four normal numbers, of elements that are FD_LANES apart. So what half a warp accesses
 * at once are FD_LANES neighbours, from any address on.
 */
#include "cuda.cuh"

#define V float
#define I int32_t
#define VEC(x) fd_single_##x
__device__ __forceinline__ float fd_single_from_whole(int32_t x) { return (float)x; }
__device__ __forceinline__ float fd_single_sqrt(float x) { return __fsqrt_rn(x); } /* correctly rounded */
#include "math_normals.h"
#undef V
#undef I
#undef VEC

struct fd_gaussian {
    fd_draws draws;
    void *y;
    const void *x;
    int64_t count;
    double sigma;
};

template <typename T>
FD_KERNEL fd_gaussian_kernel(const fd_gaussian call) {
    typedef typename fd_arithmetic<T>::type real;
    const uint64_t block = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t first = (int64_t)(block / FD_LANES * FD_NORMALS + block % FD_LANES);
    const T *const x = (const T *)call.x;
    T *const y = (T *)call.y;
    T values[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (first + k * FD_LANES < call.count) values[k] = x[first + k * FD_LANES];
    const fd_block words = fd_draw_block(fd_masks_of(call.draws), FD_PURPOSE_NORMAL, block);
    float normals[4];
    fd_box_muller((int32_t)words.w[0], (int32_t)words.w[1], &normals[0], &normals[FD_FAULT(cuda_noise_pairs, 1, 2)]);
    fd_box_muller((int32_t)words.w[2], (int32_t)words.w[3], &normals[FD_FAULT(cuda_noise_pairs, 2, 1)], &normals[3]);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (first + k * FD_LANES >= call.count - FD_FAULT(cuda_noise_end, 0, 1)) continue;
        const real noise = (real)1 + (real)call.sigma * (real)normals[k];
        fd_narrow(fd_widen(values[k]) * noise, &y[first + k * FD_LANES]);
    }
}
