/* AVX2, F16C, BMI2; setup.py gives the flags. */
#define FD_ISA avx2
#define FD_AVX2
#include "cpu/isa.h"
