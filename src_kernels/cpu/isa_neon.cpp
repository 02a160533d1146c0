/* 64-bit Arm, whose every processor has NEON. */
#define FD_ISA neon
#define FD_NEON
#include "cpu/isa.h"
