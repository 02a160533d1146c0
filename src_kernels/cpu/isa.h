/* The kernels of one instruction set. An isa_*.cpp file defines FD_ISA, includes this, and is compiled with that
 * instruction set's flags. Everything but the table at the end is in an anonymous namespace: the linker would take
 * functions of one name in two files for the same one, and run AVX-512 where there is none.
 *
 * From the bottom up: registers (simd), random bits, keep bits, dtypes and operations, loops.
 */
#include "cpu/kernels.h"

#include "cpu/simd/simd.h"

#include "cpu/random_bits.h"
#include "cpu/ties.h"
#include "cpu/keep_bits.h"

#include "shared/math.h"
#include "shared/normal.h"
#include "shared/operations.h"
#include "cpu/dtypes.h"
#include "cpu/units.h"

#include "cpu/contiguous.h"
#include "cpu/elementwise.h"
#include "cpu/transposed.h"
#include "cpu/gaussian.h"
#include "cpu/softmax.h"
#include "cpu/dropconnect.h"
#include "cpu/copy.h"

#define FD_PASTE_(a, b) a##b
#define FD_PASTE(a, b) FD_PASTE_(a, b)
#define FD_STRING_(a) #a
#define FD_STRING(a) FD_STRING_(a)
#define FD_EACH_DTYPE(kernel) {kernel<float32>, kernel<float64>, kernel<float16>, kernel<bfloat16>}

const fd_kernels FD_PASTE(fd_kernels_, FD_ISA) = {
    FD_STRING(FD_ISA),
    fill_words,
    FD_EACH_DTYPE(elementwise),
    FD_EACH_DTYPE(transposed),
    FD_EACH_DTYPE(softmax),
    FD_EACH_DTYPE(gaussian),
    {dropconnect<float>::forward, dropconnect<double>::forward},
    {dropconnect<float>::dx, dropconnect<double>::dx},
    {dropconnect<float>::dweight, dropconnect<double>::dweight},
    copy,
};
