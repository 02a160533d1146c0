/* AVX-512 F, BW, DQ, VL (x86-64-v4); setup.py gives the flags. */
#define FD_ISA avx512
#include "body.h"
