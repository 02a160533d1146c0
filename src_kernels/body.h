/* The one C body of the CPU kernels. An isa_*.c file defines FD_ISA, includes this, and is compiled with that
 * instruction set's flags; everything here is static but the table at the end.
 *
 * Per arithmetic type (float, double):  S the type, V a register of it, I integers of its size, LANES elements in V,
 *                                       VEC(x) the operations of simd.h, MATH(x) those of math_functions.h
 * Per dtype, beside these:              T the stored type, W an unsigned integer of its size, NAME(x) its kernels,
 *                                       LOAD and STORE between T and V; NEAR loads what is in the caches (a bias);
 *                                       PAIRS where dropout takes two elements from 32 bits
 */
#include <math.h>

#include "kernels.h"
#include "simd.h"

#include "body_philox.h"
#include "body_ties.h"
#include "body_bits.h"

#define S float
#define V f32v
#define I i32v
#define LANES F32_LANES
#define VEC(x) f32v_##x
#define MATH(x) x##_single
typedef struct {
    S scale, shift;
    fd_prefetch prefetch;
} MATH(constants);
#include "math_single.h"
#include "math_normals.h"

/* The normal numbers of one group of FD_NORMALS elements. */
static void draw_normals(fd_recipe recipe, uint64_t group, float normals[FD_NORMALS]) {
    int32_t words[FD_TILE_WORDS];
    draw_words(recipe, FD_PURPOSE_NORMAL, group, (uint32_t *)words);
    for (int pair = 0; pair < FD_NORMALS; pair += 2 * FD_LANES)
        for (int k = pair; k < pair + FD_LANES; k += LANES) {
            V one, other;
            fd_box_muller(i32v_load(words + k), i32v_load(words + k + FD_LANES), &one, &other);
            f32v_store(normals + k, one);
            f32v_store(normals + k + FD_LANES, other);
        }
}

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
#if defined(FD_PAIRS)
#define PAIRS
#endif
#include "body_dtype.h"
#undef PAIRS

#undef S
#undef V
#undef I
#undef LANES
#undef VEC
#undef MATH

#define S double
#define V f64v
#define I i64v
#define LANES F64_LANES
#define VEC(x) f64v_##x
#define MATH(x) x##_double
typedef struct {
    S scale, shift;
    fd_prefetch prefetch;
} MATH(constants);
#include "math_double.h"
#include "body_connect.h"

#define T double
#define W uint64_t
#define NAME(x) x##_float64
#define LOAD(from) f64v_load(from)
#define NEAR(from) f64v_near(from)
#define STORE(to, x) f64v_store(to, x)
#define STREAM(to, x) f64v_stream(to, x)
#include "body_dtype.h"

/* Vectors are stored where they are aligned, as the other kernels do it. */
static void copy(const char *from, char *to, fd_copy_kind kind, int64_t begin, int64_t end) {
    int64_t i = begin;
    if (kind != FD_MEMCPY) {
        const int64_t head = (int64_t)(-(uintptr_t)(to + i) % sizeof(f32v));
        const int64_t some = head < end - i ? head : end - i;
        memcpy(to + i, from + i, (size_t)some);
        i += some;
    }
    if (kind == FD_STREAM) {
        for (; i + (int64_t)sizeof(f32v) <= end; i += sizeof(f32v)) fd_stream(to + i, from + i);
        fd_stream_end();
    } else if (kind == FD_PLAIN) {
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
    FD_EACH_DTYPE(gaussian),
    {connect_forward_single, connect_forward_double},
    {connect_dx_single, connect_dx_double},
    {connect_dweight_single, connect_dweight_double},
    copy,
};
