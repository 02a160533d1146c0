/* Vectors: the few operations that the kernels are written in, on registers as wide as the instruction set's.
 *
 * simd<float>, simd<double> and the integers of their sizes are gcc's and clang's vector types, with the usual
 * operators, comparisons and ?: among them. A compiler without them gets "vectors" of one element, on which the same
 * operators work. What an instruction set does better is in its own header, which says so by a macro FD_HAS_...; here
 * are the forms that every target can take.
 */
#include <math.h>
#include <string.h>

#if defined(FD_AVX512)
#define FD_VECTOR_BYTES 64
#elif defined(FD_AVX2)
#define FD_VECTOR_BYTES 32
#elif defined(__GNUC__) && !defined(FD_SCALAR)
#define FD_VECTOR_BYTES 16
#endif

#if defined(_MSC_VER)
#define FD_NOINLINE __declspec(noinline)
#else
#define FD_NOINLINE __attribute__((noinline))
#endif

#if defined(__clang__)
#define FD_NO_UNROLL _Pragma("clang loop unroll(disable)")
#define FD_UNROLL _Pragma("clang loop unroll(full)")
#define FD_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#elif defined(__GNUC__)
#define FD_NO_UNROLL _Pragma("GCC unroll 1")
#define FD_UNROLL _Pragma("GCC unroll 16")
#define FD_UNROLL_4 _Pragma("GCC unroll 4")
#else
#define FD_NO_UNROLL
#define FD_UNROLL
#define FD_UNROLL_4
#endif

/* Mask registers are shifted by constants; elsewhere unrolling by force only takes a minute of the compiler's time. */
#if defined(FD_AVX512)
#define FD_UNROLL_KEEP FD_UNROLL
#else
#define FD_UNROLL_KEEP
#endif

namespace {

/* ---- types ---- */

template <typename Element>
struct simd_of;
#if defined(FD_VECTOR_BYTES)
#define FD_SIMD(element, bytes)                                                                                        \
    template <>                                                                                                        \
    struct simd_of<element> {                                                                                          \
        typedef element type __attribute__((vector_size(bytes)));                                                      \
    };
FD_SIMD(float, FD_VECTOR_BYTES)
FD_SIMD(int32_t, FD_VECTOR_BYTES)
FD_SIMD(double, FD_VECTOR_BYTES)
FD_SIMD(int64_t, FD_VECTOR_BYTES)
FD_SIMD(int16_t, FD_VECTOR_BYTES)
FD_SIMD(uint16_t, FD_VECTOR_BYTES / 2) /* as many as a register has floats */
#undef FD_SIMD
#else
template <typename Element>
struct simd_of {
    typedef Element type;
};
#endif
template <typename Element>
using simd = typename simd_of<Element>::type;

/* The elements of a register. */
template <typename Element>
constexpr int LANES = sizeof(simd<Element>) / sizeof(Element);

/* For math.h. */
template <typename V>
struct element_of;
template <>
struct element_of<simd<float>> {
    typedef float type;
};
template <>
struct element_of<simd<double>> {
    typedef double type;
};

/* ---- to and from memory of any alignment ---- */

#if defined(FD_AVX512)
/* What is loaded and then masked must not become one instruction: masked loads do not train the prefetcher (seen on
 * Zen 5: 16 GB/s from memory instead of 45). The empty asm keeps the load apart; the mask joins the arithmetic. */
#define FD_KEEP_LOAD_APART(x) __asm__("" : "+v"(x))
#else
#define FD_KEEP_LOAD_APART(x)
#endif

template <typename Element>
FD_INLINE simd<Element> load(const Element *from) {
    simd<Element> x;
    memcpy(&x, from, sizeof x);
    FD_KEEP_LOAD_APART(x);
    return x;
}

/* Of what is in the caches anyway, such as a bias: may become an operand of the arithmetic. */
template <typename Element>
FD_INLINE simd<Element> load_cached(const Element *from) {
    simd<Element> x;
    memcpy(&x, from, sizeof x);
    return x;
}

template <typename Element>
FD_INLINE void store(Element *to, simd<Element> x) {
    memcpy(to, &x, sizeof x);
}

/* ---- the bits of floating-point numbers ---- */

template <typename To, typename From>
FD_INLINE To same_bits(From from) {
    To to;
    static_assert(sizeof to == sizeof from, "of one size");
    memcpy(&to, &from, sizeof to);
    return to;
}
FD_INLINE simd<int32_t> bits_of(simd<float> x) { return same_bits<simd<int32_t>>(x); }
FD_INLINE simd<int64_t> bits_of(simd<double> x) { return same_bits<simd<int64_t>>(x); }
FD_INLINE simd<float> from_bits(simd<int32_t> x) { return same_bits<simd<float>>(x); }
FD_INLINE simd<double> from_bits(simd<int64_t> x) { return same_bits<simd<double>>(x); }

/* The integer in all elements. */
FD_INLINE simd<int32_t> all_lanes(int32_t x) { return simd<int32_t>{} + x; }

#if defined(FD_VECTOR_BYTES)
FD_INLINE simd<float> to_float(simd<int32_t> x) { return __builtin_convertvector(x, simd<float>); }
FD_INLINE simd<int32_t> widen(simd<uint16_t> x) { return __builtin_convertvector(x, simd<int32_t>); }
FD_INLINE simd<uint16_t> narrow(simd<int32_t> x) { return __builtin_convertvector(x, simd<uint16_t>); }
#else
FD_INLINE float to_float(int32_t x) { return (float)x; }
FD_INLINE int32_t widen(uint16_t x) { return x; }
FD_INLINE uint16_t narrow(int32_t x) { return (uint16_t)x; }
#endif

} // namespace

#if defined(FD_AVX512)
#include "cpu/simd/avx512.h"
#elif defined(FD_AVX2)
#include "cpu/simd/avx2.h"
#elif defined(FD_NEON)
#include "cpu/simd/neon.h"
#elif defined(__SSE2__) && defined(FD_VECTOR_BYTES)
#include "cpu/simd/sse2.h"
#endif

#include "cpu/simd/generic.h"
