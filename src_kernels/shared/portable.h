/* Integer types and inlining, for C, C++ and CUDA. */
#ifndef FASTDROP_PORTABLE_H
#define FASTDROP_PORTABLE_H

#include "shared/faults.h"

#if defined(__CUDACC_RTC__) /* compiled at run time, without the system's headers */
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
#else
#include <stdint.h>
#endif

/* A function, or a static member of a struct, that is always inlined. Never an external symbol: the same code is
 * compiled for several instruction sets, and the linker would keep one of them for all. */
#if defined(__CUDACC__)
#define FD_INLINE static __device__ __forceinline__
#elif defined(_MSC_VER)
#define FD_INLINE static __forceinline
#else
#define FD_INLINE static inline __attribute__((always_inline, unused))
#endif

#endif
