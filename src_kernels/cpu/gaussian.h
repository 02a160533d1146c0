/* Multiplication by normally distributed noise, on contiguous arrays.
 *
 * FD_NORMAL_GROUP elements at once: their normal numbers, as floats, are the same for every dtype.
 */

namespace {

/* The normal numbers of one group. */
static void draw_normals(fd_draw draw, uint64_t group, float normals[FD_NORMAL_GROUP]) {
    int32_t words[FD_TILE_WORDS];
    draw_words(draw, FD_DOMAIN_NORMAL, group, (uint32_t *)words);
    for (int pair = 0; pair < FD_NORMAL_GROUP; pair += 2 * FD_TILE_COUNTERS)
        for (int k = pair; k < pair + FD_TILE_COUNTERS; k += LANES<float>) {
            simd<float> one, other;
            box_muller(load(words + k), load(words + k + FD_TILE_COUNTERS), &one, &other);
            store(normals + k, one);
            store(normals + k + FD_TILE_COUNTERS, other);
        }
}

template <typename D>
static void gaussian(const fd_gaussian *g, int64_t begin, int64_t end) {
    typedef typename D::stored T;
    typedef typename D::real real;
    constexpr int N = LANES<real>;
    const T *x = (const T *)(const void *)g->x;
    T *y = (T *)(void *)g->y;
    const real sigma = (real)g->sigma;
    float normals[FD_NORMAL_GROUP];
    real noise[FD_NORMAL_GROUP];
    for (int64_t i = begin; i < end; i += FD_NORMAL_GROUP) {
        const uint64_t first_group = FD_FAULT(noise_first_group, g->first_group, 0);
        draw_normals(g->draw, first_group + (uint64_t)(i / FD_NORMAL_GROUP), normals);
        for (int k = 0; k < FD_NORMAL_GROUP; k++)
            noise[k] = (real)1 + sigma * (real)FD_FAULT(noise_pairs, normals[k], normals[k ^ 16]);
        if (end - i >= FD_NORMAL_GROUP) {
            for (int k = 0; k < FD_NORMAL_GROUP; k += N) D::store(y + i + k, D::load(x + i + k) * load(noise + k));
        } else { /* by way of a buffer, so that nothing beside the arrays is touched */
            T some[FD_NORMAL_GROUP] = {};
            const size_t size = (size_t)(end - i) * sizeof(T);
            memcpy(some, x + i, size);
            for (int k = 0; k < FD_NORMAL_GROUP; k += N) D::store(some + k, D::load(some + k) * load(noise + k));
            memcpy(y + i, some, size);
        }
    }
}

} // namespace
