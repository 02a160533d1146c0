/* The one C body of the CPU kernels. An isa_*.c file defines FD_ISA, includes this, and is compiled with that
 * instruction set's flags; everything here is static but the table at the end. */
#include "kernels.h"

#include "body_bits.h"

#define REAL float
#define WORD uint32_t
#define NAME(x) x##_f32
#include "body_apply.h"
#include "body_connect.h"
#undef REAL
#undef WORD
#undef NAME

#define REAL double
#define WORD uint64_t
#define NAME(x) x##_f64
#include "body_apply.h"
#include "body_connect.h"
#undef REAL
#undef WORD
#undef NAME

#define FD_PASTE_(a, b) a##b
#define FD_PASTE(a, b) FD_PASTE_(a, b)
#define FD_STRING_(a) #a
#define FD_STRING(a) FD_STRING_(a)

const fd_kernels FD_PASTE(fd_kernels_, FD_ISA) = {
    FD_STRING(FD_ISA),
    bits,
    {apply_f32, apply_f64},
    {connect_forward_f32, connect_forward_f64},
    {connect_dx_f32, connect_dx_f64},
    {connect_dweight_f32, connect_dweight_f64},
};
