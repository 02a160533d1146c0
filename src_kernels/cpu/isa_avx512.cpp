/* AVX-512 F, BW, DQ, VL, CD and POPCNT; setup.py gives the flags. */
#define FD_ISA avx512
#define FD_AVX512
#include "cpu/isa.h"
