/* Multiplication by normally distributed noise, for one dtype, on contiguous arrays.
 *
 * FD_NORMALS elements at once: their normal numbers, as floats, are the same for every dtype.
 */

static void NAME(gaussian)(const fd_gaussian *g, int64_t begin, int64_t end) {
    const T *x = (const T *)(const void *)g->x;
    T *y = (T *)(void *)g->y;
    const S sigma = (S)g->sigma;
    float normals[FD_NORMALS];
    S noise[FD_NORMALS];
    for (int64_t i = begin; i < end; i += FD_NORMALS) {
        draw_normals(g->recipe, FD_FAULT(noise_first_group, g->first_group, 0) + (uint64_t)(i / FD_NORMALS), normals);
        for (int k = 0; k < FD_NORMALS; k++) noise[k] = (S)1 + sigma * (S)FD_FAULT(noise_pairs, normals[k], normals[k ^ 16]);
        if (end - i >= FD_NORMALS) {
            for (int k = 0; k < FD_NORMALS; k += LANES) STORE(y + i + k, LOAD(x + i + k) * VEC(load)(noise + k));
        } else { /* by way of a buffer, so that nothing beside the arrays is touched */
            T some[FD_NORMALS] = {0};
            const size_t size = (size_t)(end - i) * sizeof(T);
            memcpy(some, x + i, size);
            for (int k = 0; k < FD_NORMALS; k += LANES) STORE(some + k, LOAD(some + k) * VEC(load)(noise + k));
            memcpy(y + i, some, size);
        }
    }
}
