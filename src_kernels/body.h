/* The one C body of the CPU kernels. An isa_*.c file defines FD_ISA, includes this, and is compiled with that
 * instruction set's flags; everything here is static but the table at the end.
 *
 * Per arithmetic type (float, double):  S the type, V a register of it, I integers of its size, LANES elements in V,
 *                                       VEC(x) the operations of simd.h, MATH(x) those of body_math.h
 * Per dtype, beside these:              T the stored type, W an unsigned integer of its size, NAME(x) its kernels,
 *                                       LOAD and STORE between T and V; NEAR loads what is in the caches (a bias)
 */
#include <math.h>

#include "kernels.h"
#include "simd.h"

#include "body_philox.h"
#include "body_ties.h"
#include "body_bits.h"

static const double inverse_factorial[] = {
    1.0,       1.0,        1.0 / 2,     1.0 / 6,      1.0 / 24,      1.0 / 120,      1.0 / 720,
    1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
};

#define S float
#define V f32v
#define I i32v
#define LANES F32_LANES
#define VEC(x) f32v_##x
#define MATH(x) x##_single
#define EXP_DEGREE 7
#define EXP_LOWEST -105.0f /* exp of it is less than half the smallest subnormal */
#define EXP_ROUND 12582912.0f /* 1.5 * 2^23 */
#define EXP_ROUND_BITS 0x4B400000
#define EXP_LN2_HIGH 0.693359375f /* few bits, so that n times it is exact */
#define EXP_LN2_LOW -2.12194440e-4f
#define EXP_BIAS 127
#define EXP_FRACTION 23
#define NORMAL_C 0.3f
#define NORMAL_DEGREE 9
#define normal_fit normal_fit_single
static const float normal_fit[] = {0.11968775f,   0.119550118f, 0.110423197f,  0.0774857706f, 0.0988308413f,
                                   -0.0844812825f, 0.197921644f, -0.232835483f, 0.114402112f,  -0.0209846694f};
#include "body_math.h"

#include "body_connect.h"

#define T float
#define W uint32_t
#define NAME(x) x##_float32
#define LOAD(from) f32v_load(from)
#define NEAR(from) f32v_near(from)
#define STORE(to, x) f32v_store(to, x)
#define STREAM(to, x) f32v_stream(to, x)
#include "body_dtype.h"

#define T uint16_t
#define W uint16_t
#define NAME(x) x##_float16
#define LOAD(from) f32v_from_float16(u16v_load(from))
#define NEAR(from) LOAD(from)
#define STORE(to, x) u16v_store(to, f32v_to_float16(x))
#define STREAM(to, x) u16v_stream(to, f32v_to_float16(x))
#include "body_dtype.h"

#define T uint16_t
#define W uint16_t
#define NAME(x) x##_bfloat16
#define LOAD(from) f32v_from_bfloat16(u16v_load(from))
#define NEAR(from) LOAD(from)
#define STORE(to, x) u16v_store(to, f32v_to_bfloat16(x))
#define STREAM(to, x) u16v_stream(to, f32v_to_bfloat16(x))
#include "body_dtype.h"

#undef S
#undef V
#undef I
#undef LANES
#undef VEC
#undef MATH
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

#define S double
#define V f64v
#define I i64v
#define LANES F64_LANES
#define VEC(x) f64v_##x
#define MATH(x) x##_double
#define EXP_DEGREE 13
#define EXP_LOWEST -746.0
#define EXP_ROUND 6755399441055744.0 /* 1.5 * 2^52 */
#define EXP_ROUND_BITS 0x4338000000000000
#define EXP_LN2_HIGH 0x1.62e42fee00000p-1
#define EXP_LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_BIAS 1023
#define EXP_FRACTION 52
#define NORMAL_C 0.2
#define NORMAL_DEGREE 21
#define normal_fit normal_fit_double
static const double normal_fit[] = {
    0.079788456088730408,  0.079788455516500656, 0.076596935253694844,  0.070213510123244184, 0.061026564396091614,
    0.049745922772327746,  0.03789424401895721,  0.023836921315718473,  0.023399091460422909, -0.023898104524441895,
    0.094434350615586919,  -0.22986461348171344, 0.4558711767344286,    -0.74549820593908109, 0.97336232545337241,
    -1.0108231405346119,   0.81648477698855542,  -0.49459972671408955,  0.21521162963821573,  -0.063349634075586849,
    0.011304406406117366,  -0.00092534151243971999};
#include "body_math.h"
#include "body_connect.h"

#define T double
#define W uint64_t
#define NAME(x) x##_float64
#define LOAD(from) f64v_load(from)
#define NEAR(from) f64v_near(from)
#define STORE(to, x) f64v_store(to, x)
#define STREAM(to, x) f64v_stream(to, x)
#include "body_dtype.h"

static void copy(const char *from, char *to, int stream, int64_t begin, int64_t end) {
    int64_t i = begin;
    if (stream) {
        const int64_t head = (int64_t)(-(uintptr_t)(to + i) % sizeof(f32v));
        const int64_t some = head < end - i ? head : end - i;
        memcpy(to + i, from + i, (size_t)some);
        for (i += some; i + (int64_t)sizeof(f32v) <= end; i += sizeof(f32v)) fd_stream(to + i, from + i);
        fd_stream_end();
    } else {
        f32v x;
        for (; i + (int64_t)sizeof x <= end; i += sizeof x) {
            memcpy(&x, from + i, sizeof x);
            memcpy(to + i, &x, sizeof x);
        }
    }
    memcpy(to + i, from + i, (size_t)(end - i));
}

#define FD_PASTE_(a, b) a##b
#define FD_PASTE(a, b) FD_PASTE_(a, b)
#define FD_STRING_(a) #a
#define FD_STRING(a) FD_STRING_(a)
#define FD_EACH_DTYPE(x) {x##_float32, x##_float64, x##_float16, x##_bfloat16}

const fd_kernels FD_PASTE(fd_kernels_, FD_ISA) = {
    FD_STRING(FD_ISA),
    bits,
    FD_EACH_DTYPE(elementwise),
    FD_EACH_DTYPE(transposed),
    FD_EACH_DTYPE(softmax),
    {connect_forward_single, connect_forward_double},
    {connect_dx_single, connect_dx_double},
    {connect_dweight_single, connect_dweight_double},
    copy,
};
