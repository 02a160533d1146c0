/* AVX-512 F, BW, DQ, VL, CD; setup.py gives the flags. */
#define FD_ISA avx512
#include "body.h"
