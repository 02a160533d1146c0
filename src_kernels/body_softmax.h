/* Softmax of rows and dropout of its probabilities, and their backward pass, for one dtype.
 *
 * A row is read three times, from the first-level cache but for rows longer than that: for the largest value, for the
 * sums, for the result. exp is computed twice, so that a row needs no other memory. Sums are taken in one order, 32 partial
 * sums folded in halves, whatever the register's width.
 */

/* Up to 32 elements in registers; what is missing at a row's end is filled with -inf (x) or 0 (dy). */
FD_INLINE void NAME(load_block)(V block[32 / LANES], const T *from, int64_t count, S fill) {
    if (count >= 32) {
        for (int k = 0; k < 32 / LANES; k++) block[k] = LOAD(from + k * LANES);
        return;
    }
    T padded[32];
    S values[32];
    memset(padded, 0, sizeof padded);
    memcpy(padded, from, (size_t)count * sizeof(T));
    for (int k = 0; k < 32 / LANES; k++) VEC(store)(values + k * LANES, LOAD(padded + k * LANES));
    for (int64_t i = count; i < 32; i++) values[i] = fill;
    for (int k = 0; k < 32 / LANES; k++) block[k] = VEC(load)(values + k * LANES);
}

static S NAME(largest)(const T *x, int64_t columns) {
    V block[32 / LANES], most[32 / LANES];
    S values[32], result = -(S)INFINITY;
    for (int k = 0; k < 32 / LANES; k++) most[k] = VEC(set)(result);
    for (int64_t i = 0; i < columns; i += 32) {
        NAME(load_block)(block, x + i, columns - i, -(S)INFINITY);
        for (int k = 0; k < 32 / LANES; k++)
            most[k] = VEC(choose)(FD_TRUE_MASK(block[k] > most[k]), block[k], most[k]);
    }
    for (int k = 0; k < 32 / LANES; k++) VEC(store)(values + k * LANES, most[k]);
    for (int i = 0; i < 32; i++) result = values[i] > result ? values[i] : result;
    return result;
}

/* words == NULL: they are drawn, a window at a time. */
static void NAME(softmax_row)(const fd_softmax *s, const T *dy, const T *x, T *y, uint64_t decision, uint32_t *words,
                              int64_t position, int drawn) {
    const S most = FD_FAULT(softmax_maximum, NAME(largest)(x, s->columns), 0), scale = (S)s->scale;
    V e[32 / LANES], g[32 / LANES], total[32 / LANES], inner[32 / LANES];
    for (int k = 0; k < 32 / LANES; k++) total[k] = inner[k] = VEC(set)(0);
    for (int64_t i = 0; i < s->columns; i += 32) {
        if (!drawn && dy && i % FD_WINDOW == 0) {
            const int64_t left = s->columns - i;
            position = draw_window(s->recipe, decision + (uint64_t)i, left < FD_WINDOW ? left : FD_WINDOW, words) - i;
        }
        NAME(load_block)(e, x + i, s->columns - i, FD_FAULT(softmax_padding, -(S)INFINITY, 0));
        for (int k = 0; k < 32 / LANES; k++) total[k] += e[k] = MATH(exp)(e[k] - most);
        if (!dy) continue;
        const keep_bits bits = keep_bits_of(fd_fetch(words, position + i));
        NAME(load_block)(g, dy + i, s->columns - i, 0);
        for (int k = 0; k < 32 / LANES; k++)
            inner[k] += FD_FAULT(softmax_mean, VEC(keep)(bits, k * LANES, g[k] * scale), g[k] * scale) * e[k];
    }
    const S inverse = 1 / MATH(fold)(total), mean = MATH(fold)(inner) * inverse, factor = inverse * scale;
    for (int64_t i = 0; i < s->columns; i += 32) {
        const int64_t left = s->columns - i;
        if (!drawn && i % FD_WINDOW == 0)
            position = draw_window(s->recipe, decision + (uint64_t)i, left < FD_WINDOW ? left : FD_WINDOW, words) - i;
        const keep_bits bits = keep_bits_of(fd_fetch(words, position + i));
        T result[32];
        NAME(load_block)(e, x + i, left, -(S)INFINITY);
        if (dy) NAME(load_block)(g, dy + i, left, 0);
        for (int k = 0; k < 32 / LANES; k++) {
            const V p = MATH(exp)(e[k] - most);
            if (dy)
                STORE(result + k * LANES, p * inverse * (VEC(keep)(bits, k * LANES, g[k] * scale) - mean));
            else
                STORE(result + k * LANES, VEC(keep)(bits, k * LANES, p * factor));
        }
        if (left >= 32)
            memcpy(y + i, result, sizeof result);
        else
            memcpy(y + i, result, (size_t)left * sizeof(T));
    }
}

static void NAME(softmax)(const fd_softmax *s, int64_t first_row, int64_t last_row) {
    uint32_t words[FD_WINDOW_TILES * FD_TILE_WORDS + 1];
    words[FD_WINDOW_TILES * FD_TILE_WORDS] = 0;
    /* as many rows as a window holds: drawn at once, since short rows share tiles */
    const int64_t fit = s->columns > 0 ? FD_WINDOW / s->columns : 1;
    for (int64_t first = first_row; first < last_row;) {
        const int64_t rows = fit == 0 ? 1 : (last_row - first < fit ? last_row - first : fit);
        const uint64_t decision = (uint64_t)(first * s->columns);
        int64_t position = 0;
        if (fit > 0) position = draw_window(s->recipe, decision, rows * s->columns, words);
        for (int64_t row = first; row < first + rows; row++) {
            const int64_t at = row * s->columns;
            NAME(softmax_row)(s, s->dy ? (const T *)s->dy + at : 0, (const T *)s->x + at, (T *)s->y + at,
                              (uint64_t)at, words, position + (at - first * s->columns), fit > 0);
        }
        first += rows + FD_FAULT(softmax_rows, 0, rows == fit && rows > 1);
    }
}
