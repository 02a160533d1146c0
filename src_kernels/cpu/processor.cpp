/* Which instruction sets this processor has, and which processor it is. */
#include "cpu/kernels.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define FD_CPUID(leaf, r) __cpuid(leaf, r[0], r[1], r[2], r[3])
#elif defined(_M_X64) || defined(_M_IX86)
#include <intrin.h>
#define FD_CPUID(leaf, r) __cpuid((int *)r, leaf)
#endif

#if defined(FASTDROP_HAVE_AVX512) || defined(FASTDROP_HAVE_AVX2)
/* Bit `bit` of a register that CPUID fills in. */
static int has(unsigned bits, int bit) { return bits >> bit & 1; }

/* What the processor has and the system saves the registers of. Not by __builtin_cpu_supports: it asks the compiler's
 * run-time library, which clang-cl does not link and Zig has as a stub that knows no instruction set. */
static void find_isas(int *avx2, int *avx512) {
    unsigned basic[4], extended[4] = {0}, saved, high;
    *avx2 = *avx512 = 0;
    FD_CPUID(0, basic);
    if (basic[0] < 7) return;
    FD_CPUID(1, basic);
    const int osxsave = 27, avx = 28, f16c = 29, popcnt = 23; /* of basic's ECX */
    if (!has(basic[2], osxsave) || !has(basic[2], avx)) return;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    __cpuid_count(7, 0, extended[0], extended[1], extended[2], extended[3]);
    const unsigned ebx = extended[1];
    const int avx2_bit = 5, bmi2 = 8, avx512f = 16, dq = 17, cd = 28, bw = 30, vl = 31;
    if ((saved & 0x06) != 0x06 || !has(ebx, bmi2)) return; /* SSE's and AVX's registers */
    *avx2 = has(ebx, avx2_bit) && has(basic[2], f16c);
    *avx512 =
        has(ebx, avx512f) && has(ebx, dq) && has(ebx, cd) && has(ebx, bw) && has(ebx, vl) && has(basic[2], popcnt);
#if !defined(__APPLE__) /* macOS begins to save AVX-512's when a thread first uses them */
    *avx512 &= (saved & 0xE0) == 0xE0;
#endif
}
#endif

const fd_kernels *const *fd_available(void) {
    static const fd_kernels *list[4];
    int count = 0;
#if defined(FASTDROP_HAVE_AVX512) || defined(FASTDROP_HAVE_AVX2)
    int avx2, avx512;
    find_isas(&avx2, &avx512);
#endif
#if defined(FASTDROP_HAVE_AVX512)
    if (avx512) list[count++] = &fd_kernels_avx512;
#endif
#if defined(FASTDROP_HAVE_AVX2)
    if (avx2) list[count++] = &fd_kernels_avx2;
#endif
#if defined(FASTDROP_HAVE_NEON)
    list[count++] = &fd_kernels_neon;
#endif
    list[count++] = &fd_kernels_portable;
    list[count] = NULL;
    return list;
}

fd_processor fd_processor_here(void) {
    fd_processor found = {"", 0, 0};
#if defined(FD_CPUID)
    unsigned r[4];
    FD_CPUID(0, r);
    memcpy(found.vendor, r + 1, 4);
    memcpy(found.vendor + 4, r + 3, 4);
    memcpy(found.vendor + 8, r + 2, 4);
    FD_CPUID(1, r); /* the numbers are continued in extended fields */
    const unsigned family = r[0] >> 8 & 15, model = r[0] >> 4 & 15;
    found.family = (int)(family == 15 ? family + (r[0] >> 20 & 255) : family);
    found.model = (int)(family == 15 || family == 6 ? model | (r[0] >> 16 & 15) << 4 : model);
#endif
    return found;
}
