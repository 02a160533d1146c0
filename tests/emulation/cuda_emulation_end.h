/* Included after the kernels' source: the parts that need its types. */
#if defined(FASTDROP_CUDA_CUH)
static inline float fd_widen(fd_float16 x) { return (float)reinterpreted<_Float16>(x.bits); }
static inline float fd_widen(fd_bfloat16 x) { return __int_as_float((int32_t)((uint32_t)x.bits << 16)); }
static inline void fd_narrow(float x, fd_float16 *to) { to->bits = reinterpreted<uint16_t>((_Float16)x); }
static inline void fd_narrow(float x, fd_bfloat16 *to) {
    const uint32_t bits = (uint32_t)__float_as_int(x);
    to->bits = x != x ? 0x7FFF : (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
#endif
