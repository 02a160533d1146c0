/* math_functions.h for double: its constants, and the functions made with them. Shared by C and CUDA; the includer defines
 * S, V, I, VEC, MATH, FD_TABLE and FD_UNROLL_MATH. */
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
FD_TABLE double normal_fit[] = {
    0.079788456088730408,  0.079788455516500656, 0.076596935253694844,  0.070213510123244184, 0.061026564396091614,
    0.049745922772327746,  0.03789424401895721,  0.023836921315718473,  0.023399091460422909, -0.023898104524441895,
    0.094434350615586919,  -0.22986461348171344, 0.4558711767344286,    -0.74549820593908109, 0.97336232545337241,
    -1.0108231405346119,   0.81648477698855542,  -0.49459972671408955,  0.21521162963821573,  -0.063349634075586849,
    0.011304406406117366,  -0.00092534151243971999};
#define inverse_factorial inverse_factorial_double
FD_TABLE double inverse_factorial[] = {1.0,          1.0,           1.0 / 2,        1.0 / 6,         1.0 / 24,
                                       1.0 / 120,    1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                                       1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
#include "math_functions.h"
