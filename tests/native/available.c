/* Prints the instruction sets that processor.cpp finds in this processor; the kernels themselves are left out. */
#include <stdio.h>

#include "cpu/kernels.h"

const fd_kernels fd_kernels_avx512 = {.name = "avx512"}, fd_kernels_avx2 = {.name = "avx2"};
const fd_kernels fd_kernels_portable = {.name = "portable"};

int main(void) {
    for (const fd_kernels *const *kernels = fd_available(); *kernels; kernels++) puts((*kernels)->name);
    return 0;
}
