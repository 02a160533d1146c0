/* The benchmark's baselines: a copy by vectors, by non-temporal stores, and by the C library. */

namespace {

/* Vectors are stored where they are aligned, as the other kernels do it. */
static void copy(const char *from, char *to, fd_copy_kind kind, int64_t begin, int64_t end) {
    constexpr int64_t BYTES = sizeof(simd<float>);
    int64_t i = begin;
    if (kind != FD_COPY_MEMCPY) {
        const int64_t some = smaller((int64_t)(-(uintptr_t)(to + i) % BYTES), end - i);
        memcpy(to + i, from + i, (size_t)some);
        i += some;
    }
    simd<float> x;
    if (kind == FD_COPY_NONTEMPORAL) {
        for (; i + BYTES <= end; i += BYTES) {
            memcpy(&x, from + i, BYTES);
            store_nontemporal_register(to + i, x);
        }
        end_nontemporal_stores();
    } else if (kind == FD_COPY_VECTORS) {
        for (; i + BYTES <= end; i += BYTES) {
            memcpy(&x, from + i, BYTES);
            memcpy(to + i, &x, BYTES);
        }
    }
    memcpy(to + i, from + i, (size_t)(end - i));
}

} // namespace
