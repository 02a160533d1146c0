/* No intrinsics: the compiler's own vectors where it has them (SSE2 on x86-64, NEON on 64-bit Arm), else scalars. */
#define FD_ISA portable
#include "cpu/isa.h"
