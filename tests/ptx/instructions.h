/* The instructions of PTX that kernels may consist of: OP(name, what it does), by the PTX ISA's definitions.
 *
 * Included twice: for the names, and as the cases of a switch. A name that is missing here is refused when a kernel is
 * decoded. What is left out on purpose, since results would differ from the CPU's or between runs: fma and mad on floats
 * (a product that is not rounded), .approx and .ftz, conversions and operations without a rounding mode of IEEE 754's
 * nearest-even, atomics, local memory, and generic addresses, whose bounds cannot be checked.
 *
 * IN(T, n) is operand n as a T, OUT(T) writes the first one. Registers are 64-bit words, whose upper bits are 0 for
 * narrower values; half types and predicates are integers.
 */
#define UNARY(name, T, value) OP(name, { const T a = IN(T, 1); OUT(T) = (T)(value); })
#define BINARY(name, T, value) OP(name, { const T a = IN(T, 1), b = IN(T, 2); OUT(T) = (T)(value); })
#define CONVERT(to_name, To, from_name, From) OP("cvt." to_name "." from_name, OUT(To) = (To)IN(From, 1);)
#define COMPARE(name, T, value) OP(name, { const T a = IN(T, 1), b = IN(T, 2); OUT(uint8_t) = (value); })

#define COMPARISONS(type, T)                        \
    COMPARE("setp.eq." type, T, a == b)             \
    COMPARE("setp.ne." type, T, a != b)             \
    COMPARE("setp.lt." type, T, a < b)              \
    COMPARE("setp.le." type, T, a <= b)             \
    COMPARE("setp.gt." type, T, a > b)              \
    COMPARE("setp.ge." type, T, a >= b)
#define UNORDERED(type, T)                          \
    COMPARE("setp.equ." type, T, !(a < b || a > b)) \
    COMPARE("setp.neu." type, T, !(a == b))         \
    COMPARE("setp.ltu." type, T, !(a >= b))         \
    COMPARE("setp.leu." type, T, !(a > b))          \
    COMPARE("setp.gtu." type, T, !(a <= b))         \
    COMPARE("setp.geu." type, T, !(a < b))          \
    COMPARE("setp.nan." type, T, a != a || b != b)  \
    COMPARE("setp.num." type, T, a == a && b == b)

#define INTEGERS(type, T, Wide, unsigned_T)                                       \
    BINARY("add." type, T, (unsigned_T)a + (unsigned_T)b)                         \
    BINARY("sub." type, T, (unsigned_T)a - (unsigned_T)b)                         \
    BINARY("mul.lo." type, T, (Wide)a * (Wide)b)                                  \
    BINARY("mul.hi." type, T, ((Wide)a * (Wide)b) >> (8 * sizeof(T)))             \
    BINARY("min." type, T, a < b ? a : b)                                         \
    BINARY("max." type, T, a > b ? a : b)                                         \
    OP("mad.lo." type, OUT(T) = (T)((Wide)IN(T, 1) * (Wide)IN(T, 2) + (Wide)IN(T, 3));) \
    COMPARISONS(type, T)
#define SIGNED(type, T, unsigned_T) UNARY("neg." type, T, (unsigned_T)0 - (unsigned_T)a)
#define DIVISIONS(type, T)                                                        \
    BINARY("div." type, T, b == 0 ? (fail_at("a division by zero"), 0) : b == (T)-1 ? divided_by_minus_one(a) : a / b) \
    BINARY("rem." type, T, b == 0 ? (fail_at("a division by zero"), 0) : b == (T)-1 ? rest_by_minus_one(a) : a % b)

INTEGERS("u16", uint16_t, uint32_t, uint32_t)
INTEGERS("s16", int16_t, int32_t, uint32_t)
INTEGERS("u32", uint32_t, uint64_t, uint32_t)
INTEGERS("s32", int32_t, int64_t, uint32_t)
INTEGERS("u64", uint64_t, unsigned __int128, uint64_t)
INTEGERS("s64", int64_t, __int128, uint64_t)
SIGNED("s16", int16_t, uint32_t)
SIGNED("s32", int32_t, uint32_t)
SIGNED("s64", int64_t, uint64_t)
DIVISIONS("u32", uint32_t)
DIVISIONS("s32", int32_t)
DIVISIONS("u64", uint64_t)
DIVISIONS("s64", int64_t)
OP("mul.wide.u16", OUT(uint32_t) = (uint32_t)IN(uint16_t, 1) * IN(uint16_t, 2);)
OP("mul.wide.s16", OUT(int32_t) = (int32_t)IN(int16_t, 1) * IN(int16_t, 2);)
OP("mul.wide.u32", OUT(uint64_t) = (uint64_t)IN(uint32_t, 1) * IN(uint32_t, 2);)
OP("mul.wide.s32", OUT(int64_t) = (int64_t)IN(int32_t, 1) * IN(int32_t, 2);)
OP("mad.wide.u32", OUT(uint64_t) = (uint64_t)IN(uint32_t, 1) * IN(uint32_t, 2) + IN(uint64_t, 3);)

/* ---- bits ---- */

#define BITS(type, T)                                                              \
    BINARY("and." type, T, a & b)                                                  \
    BINARY("or." type, T, a | b)                                                   \
    BINARY("xor." type, T, a ^ b)                                                  \
    UNARY("not." type, T, ~a)                                                      \
    UNARY("mov." type, T, a)                                                       \
    OP("shl." type, OUT(T) = (T)(IN(uint32_t, 2) >= 8 * sizeof(T) ? 0 : IN(T, 1) << IN(uint32_t, 2));) \
    COMPARE("setp.eq." type, T, a == b)                                            \
    COMPARE("setp.ne." type, T, a != b)
#define SHIFT_RIGHT(type, T) \
    OP("shr." type, OUT(T) = (T)(IN(T, 1) >> (IN(uint32_t, 2) < 8 * sizeof(T) ? IN(uint32_t, 2) : 8 * sizeof(T) - 1) \
                                 >> (IN(uint32_t, 2) < 8 * sizeof(T) ? 0 : 1));)
#define SELECT(type, T) OP("selp." type, OUT(T) = IN(uint8_t, 3) ? IN(T, 1) : IN(T, 2);)
#define INSERT(type, T)                                                            \
    OP("bfi." type, {                                                              \
        const uint32_t low = IN(uint32_t, 3) & 0xFF, length = IN(uint32_t, 4) & 0xFF; \
        const T ones = length >= 8 * sizeof(T) ? ~(T)0 : ((T)1 << length) - 1;     \
        const T mask = low >= 8 * sizeof(T) ? 0 : ones << low;                       \
        OUT(T) = mask ? (IN(T, 2) & ~mask) | ((IN(T, 1) << low) & mask) : IN(T, 2); \
    })

BITS("b16", uint16_t)
BITS("b32", uint32_t)
BITS("b64", uint64_t)
SHIFT_RIGHT("b16", uint16_t)
SHIFT_RIGHT("u16", uint16_t)
SHIFT_RIGHT("s16", int16_t)
SHIFT_RIGHT("b32", uint32_t)
SHIFT_RIGHT("u32", uint32_t)
SHIFT_RIGHT("s32", int32_t)
SHIFT_RIGHT("b64", uint64_t)
SHIFT_RIGHT("u64", uint64_t)
SHIFT_RIGHT("s64", int64_t)
SELECT("b16", uint16_t) SELECT("u16", uint16_t) SELECT("s16", uint16_t)
SELECT("b32", uint32_t) SELECT("u32", uint32_t) SELECT("s32", uint32_t) SELECT("f32", uint32_t)
SELECT("b64", uint64_t) SELECT("u64", uint64_t) SELECT("s64", uint64_t) SELECT("f64", uint64_t)
INSERT("b32", uint32_t)
INSERT("b64", uint64_t)
UNARY("mov.u16", uint16_t, a)
UNARY("mov.u32", uint32_t, a)
UNARY("mov.u64", uint64_t, a)
UNARY("mov.f32", uint32_t, a)
UNARY("mov.f64", uint64_t, a)
UNARY("mov.pred", uint8_t, a & 1)
BINARY("and.pred", uint8_t, a & b & 1)
BINARY("or.pred", uint8_t, (a | b) & 1)
BINARY("xor.pred", uint8_t, (a ^ b) & 1)
UNARY("not.pred", uint8_t, ~a & 1)
OP("mov.b32.pack", OUT(uint32_t) = (uint32_t)IN(uint16_t, 2) << 16 | IN(uint16_t, 1);)
OP("mov.b64.pack", OUT(uint64_t) = IN(uint64_t, 2) << 32 | IN(uint32_t, 1);)
OP("mov.b32.unpack", { const uint32_t a = IN(uint32_t, 2); OUT(uint16_t) = (uint16_t)a; OUT_OF(1, uint16_t) = (uint16_t)(a >> 16); })
OP("mov.b64.unpack", { const uint64_t a = IN(uint64_t, 2); OUT(uint32_t) = (uint32_t)a; OUT_OF(1, uint32_t) = (uint32_t)(a >> 32); })
UNARY("popc.b32", uint32_t, __builtin_popcount(a))
UNARY("clz.b32", uint32_t, a ? __builtin_clz(a) : 32)
UNARY("brev.b32", uint32_t, reversed(a))
UNARY("bfind.shiftamt.u32", uint32_t, a ? __builtin_clz(a) : 0xFFFFFFFF)
OP("shf.r.wrap.b32", OUT(uint32_t) = (uint32_t)((IN(uint64_t, 2) << 32 | IN(uint32_t, 1)) >> (IN(uint32_t, 3) & 31));)
OP("shf.l.wrap.b32", OUT(uint32_t) = (uint32_t)((IN(uint64_t, 2) << 32 | IN(uint32_t, 1)) << (IN(uint32_t, 3) & 31) >> 32);)

/* ---- floats, each operation rounded to nearest ---- */

#define FLOATS(type, T, bits_T, sign)                          \
    BINARY("add.rn." type, T, a + b)                           \
    BINARY("sub.rn." type, T, a - b)                           \
    BINARY("mul.rn." type, T, a * b)                           \
    BINARY("div.rn." type, T, a / b)                           \
    UNARY("rcp.rn." type, T, (T)1 / a)                         \
    UNARY("neg." type, bits_T, a ^ sign)                       \
    UNARY("abs." type, bits_T, a & ~sign)                      \
    COMPARISONS(type, T)                                       \
    UNORDERED(type, T)

FLOATS("f32", float, uint32_t, 0x80000000u)
FLOATS("f64", double, uint64_t, 0x8000000000000000u)
UNARY("sqrt.rn.f32", float, __builtin_sqrtf(a))
UNARY("sqrt.rn.f64", double, __builtin_sqrt(a))

/* ---- conversions ---- */

CONVERT("u32", uint32_t, "u64", uint64_t)
CONVERT("u64", uint64_t, "u32", uint32_t)
CONVERT("s32", int32_t, "s64", int64_t)
CONVERT("s64", int64_t, "s32", int32_t)
CONVERT("u16", uint16_t, "u64", uint64_t)
CONVERT("u64", uint64_t, "u16", uint16_t)
CONVERT("u16", uint16_t, "u32", uint32_t)
CONVERT("u32", uint32_t, "u16", uint16_t)
CONVERT("s32", int32_t, "s16", int16_t)
CONVERT("rn.f32", float, "s32", int32_t)
CONVERT("rn.f32", float, "f64", double)
CONVERT("f64", double, "f32", float)
OP("cvt.f32.f16", OUT(float) = (float)IN(_Float16, 1);)
OP("cvt.rn.f16.f32", OUT(uint16_t) = to_float16(IN(float, 1));)
OP("cvt.rn.bf16.f32", OUT(uint16_t) = to_bfloat16(IN(float, 1));)
UNARY("cvta.to.global.u64", uint64_t, a)

/* ---- memory; the decoder leaves type and vector out of the name, and gives their size and number ---- */

OP("ld.global", load(at, registers, accessed(ADDRESS, at.size * at.count, false, false));)
OP("st.global", store(at, registers, accessed(ADDRESS, at.size * at.count, true, false));)
OP("ld.shared", load(at, registers, accessed((uint32_t)ADDRESS, at.size * at.count, false, true));)
OP("st.shared", store(at, registers, accessed((uint32_t)ADDRESS, at.size * at.count, true, true));)
OP("ld.param", load(at, registers, parameter(ADDRESS, at.size * at.count));)

/* ---- the order of instructions ---- */

OP("bra", next = at.target;)
OP("bra.uni", next = at.target;)
OP("ret", { threads[current].done = true; return; })
OP("exit", { threads[current].done = true; return; })
OP("bar.sync", {
    if (IN(uint32_t, 0) != 0) fail_at("a barrier other than __syncthreads()");
    if (arrive(block_barrier, blockDim.x, at.line)) { places[current] = next; return; }
})
OP("bar.warp.sync", {
    if (IN(uint32_t, 0) != 0xFFFFFFFFu) fail_at("a barrier of a part of the warp");
    if (arrive(warp_barriers[current / LANES], LANES, at.line)) { places[current] = next; return; }
    warp_epochs[current / LANES]++; /* the last lane: later accesses are ordered after it */
})
OP("shfl.sync.bfly.b32", SHUFFLE((lane ^ by), from <= limit))
OP("shfl.sync.idx.b32", SHUFFLE(((lane & segments) | (by & ~segments)), from <= limit))

#undef UNARY
#undef BINARY
#undef CONVERT
#undef COMPARE
#undef COMPARISONS
#undef UNORDERED
#undef INTEGERS
#undef SIGNED
#undef DIVISIONS
#undef BITS
#undef SHIFT_RIGHT
#undef SELECT
#undef INSERT
#undef FLOATS
