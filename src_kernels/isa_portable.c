/* Whatever the compiler targets by default: SSE2 on x86-64, NEON on 64-bit Arm. */
#define FD_ISA portable
#include "body.h"
