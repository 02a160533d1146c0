/* math_functions.h for float: its constants, and the functions made with them. Shared by C and CUDA; the includer defines
 * S, V, I, VEC, MATH, FD_TABLE and FD_UNROLL_MATH. */
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
FD_TABLE float normal_fit[] = {0.11968775f,   0.119550118f, 0.110423197f,  0.0774857706f, 0.0988308413f,
                                   -0.0844812825f, 0.197921644f, -0.232835483f, 0.114402112f,  -0.0209846694f};
#define inverse_factorial inverse_factorial_single
FD_TABLE float inverse_factorial[] = {(float)1.0,         (float)1.0,         (float)(1.0 / 2),    (float)(1.0 / 6),
                                      (float)(1.0 / 24),  (float)(1.0 / 120), (float)(1.0 / 720), (float)(1.0 / 5040)};
#include "math_functions.h"
