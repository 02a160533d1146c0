/* Dropout itself for one dtype: y = keep ? x * scale : +0, any strides, decisions shared along any axes.
 *
 * Included once per dtype with REAL (the dtype), WORD (the unsigned integer of its size) and NAME(x) defined.
 * Selection, never multiplication by zero, so that a dropped inf or NaN gives +0.0. Where scale is 1 the values are copied,
 * never multiplied, so that p = 0 returns them bit for bit (a multiplication would quieten signalling NaNs).
 */

/* x and y either are the same array or do not overlap: no element depends on another. */
#if defined(__clang__)
#define FD_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define FD_INDEPENDENT _Pragma("GCC ivdep")
#else
#define FD_INDEPENDENT
#endif

/* value or +0 by arithmetic on its bits: where it was a choice, gcc made it a branch that half the elements mispredict
 * (4 ns each instead of 0.15, seen for SSE2). */
FD_INLINE REAL NAME(select)(REAL value, int keep) {
    WORD word;
    memcpy(&word, &value, sizeof word);
    word &= (WORD)0 - (WORD)keep;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* 32 neighbours and their 32 bits. The bit is picked with a constant from a table, not with a shift by j, which SSE2
 * has no vector instruction for; a table of the element's own width keeps comparison and selection in one register. */
#define FD_SELECT_32(y, word, value)                                     \
    do {                                                                 \
        const WORD bits = (WORD)(word);                                  \
        FD_INDEPENDENT                                                   \
        for (int j = 0; j < 32; j++)                                     \
            (y)[j] = NAME(select)(value, (bits & NAME(bit)[j]) != 0);    \
    } while (0)

static const WORD NAME(bit)[32] = {
    1u << 0,  1u << 1,  1u << 2,  1u << 3,  1u << 4,  1u << 5,  1u << 6,  1u << 7,  1u << 8,  1u << 9,  1u << 10,
    1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15, 1u << 16, 1u << 17, 1u << 18, 1u << 19, 1u << 20, 1u << 21,
    1u << 22, 1u << 23, 1u << 24, 1u << 25, 1u << 26, 1u << 27, 1u << 28, 1u << 29, 1u << 30, 1u << 31,
};

static void NAME(select_run)(const uint32_t *words, int64_t count, REAL scale, const REAL *x, REAL *y) {
    int64_t i = 0;
    if (scale == 1) {
        for (; i + 32 <= count; i += 32) FD_SELECT_32(y + i, words[i / 32], x[i + j]);
        for (; i < count; i++) y[i] = NAME(select)(x[i], words[i / 32] >> (i % 32) & 1u);
        return;
    }
    for (; i + 32 <= count; i += 32) FD_SELECT_32(y + i, words[i / 32], x[i + j] * scale);
    for (; i < count; i++) y[i] = NAME(select)(x[i] * scale, words[i / 32] >> (i % 32) & 1u);
}

static void NAME(select_strided)(const uint32_t *words, int64_t count, REAL scale, const char *x, int64_t x_stride,
                                 char *y, int64_t y_stride) {
    for (int64_t i = 0; i < count; i++) {
        const REAL value = *(const REAL *)(x + i * x_stride);
        const uint32_t keep = words[i / 32] >> (i % 32) & 1u;
        *(REAL *)(y + i * y_stride) = NAME(select)(scale == 1 ? value : value * scale, keep);
    }
}

/* One decision for the whole run. */
static void NAME(shared_run)(int keep, int64_t count, REAL scale, const char *x, int64_t x_stride, char *y,
                             int64_t y_stride) {
    if (!keep) {
        if (y_stride == sizeof(REAL)) {
            memset(y, 0, (size_t)count * sizeof(REAL));
            return;
        }
        for (int64_t i = 0; i < count; i++) *(REAL *)(y + i * y_stride) = 0;
    } else if (scale == 1) {
        for (int64_t i = 0; i < count; i++) memmove(y + i * y_stride, x + i * x_stride, sizeof(REAL));
    } else if (x_stride == sizeof(REAL) && y_stride == sizeof(REAL)) {
        const REAL *xs = (const REAL *)x;
        REAL *ys = (REAL *)y;
        FD_INDEPENDENT
        for (int64_t i = 0; i < count; i++) ys[i] = xs[i] * scale;
    } else {
        for (int64_t i = 0; i < count; i++) *(REAL *)(y + i * y_stride) = *(const REAL *)(x + i * x_stride) * scale;
    }
}

/* `rows` rows of `count` elements that all have the decisions from `decision` on; channels last has such rows at every
 * position. Piece by piece of the run, the bits are fetched once for all rows. */
static void NAME(rows)(bit_source *source, REAL scale, const fd_geometry *g, const char *x, char *y, uint64_t decision,
                       int64_t count, int64_t rows) {
    const int inner = g->ndim - 1;
    const int64_t x_stride = g->x_stride[inner], y_stride = g->y_stride[inner];
    const int64_t x_next = rows > 1 ? g->x_stride[inner - 1] : 0, y_next = rows > 1 ? g->y_stride[inner - 1] : 0;
    const int contiguous = x_stride == sizeof(REAL) && y_stride == sizeof(REAL);
    uint32_t scratch[FD_TILE_WORDS];
    const uint32_t *words;
    for (int64_t done = 0; done < count;) {
        const int64_t run = next_bits(source, decision + (uint64_t)done, count - done, scratch, &words);
        for (int64_t row = 0; row < rows; row++) {
            const char *from = x + done * x_stride + row * x_next;
            char *to = y + done * y_stride + row * y_next;
            if (contiguous)
                NAME(select_run)(words, run, scale, (const REAL *)from, (REAL *)to);
            else
                NAME(select_strided)(words, run, scale, from, x_stride, to, y_stride);
        }
        done += run;
    }
}

static void NAME(apply)(const fd_geometry *g, fd_recipe recipe, double scale, const char *x, char *y, int64_t begin,
                        int64_t end) {
    const int inner = g->ndim - 1;
    int64_t index[FD_MAX_DIMS];
    const int repeats = inner > 0 && g->decision_stride[inner] == 1 && g->decision_stride[inner - 1] == 0;
    int64_t decision = 0, rest = begin;
    bit_source source;
    open_source(&source, recipe);
    for (int axis = inner; axis >= 0; axis--) {
        index[axis] = rest % g->shape[axis];
        rest /= g->shape[axis];
        x += index[axis] * g->x_stride[axis];
        y += index[axis] * g->y_stride[axis];
        decision += index[axis] * g->decision_stride[axis];
    }
    while (begin < end) {
        if (repeats && index[inner] == 0) {
            const int64_t whole = (end - begin) / g->shape[inner];
            const int64_t left = g->shape[inner - 1] - index[inner - 1];
            const int64_t rows = (whole < left ? whole : left) - 1; /* all but the last, from which the walk goes on */
            if (rows > 0) {
                NAME(rows)(&source, (REAL)scale, g, x, y, (uint64_t)decision, g->shape[inner], rows);
                index[inner - 1] += rows;
                x += rows * g->x_stride[inner - 1];
                y += rows * g->y_stride[inner - 1];
                begin += rows * g->shape[inner];
            }
        }
        const int64_t row_left = g->shape[inner] - index[inner];
        const int64_t count = end - begin < row_left ? end - begin : row_left;
        if (g->decision_stride[inner] == 0)
            NAME(shared_run)(keep_one(&source, (uint64_t)decision), count, (REAL)scale, x, g->x_stride[inner], y,
                             g->y_stride[inner]);
        else
            NAME(rows)(&source, (REAL)scale, g, x, y, (uint64_t)decision, count, 1);
        begin += count;
        if (begin >= end) break;
        /* back to the row's start, then on to the next row */
        x -= index[inner] * g->x_stride[inner];
        y -= index[inner] * g->y_stride[inner];
        decision -= index[inner] * g->decision_stride[inner];
        index[inner] = 0;
        for (int axis = inner - 1; axis >= 0; axis--) {
            x += g->x_stride[axis];
            y += g->y_stride[axis];
            decision += g->decision_stride[axis];
            if (++index[axis] < g->shape[axis]) break;
            x -= g->shape[axis] * g->x_stride[axis];
            y -= g->shape[axis] * g->y_stride[axis];
            decision -= g->shape[axis] * g->decision_stride[axis];
            index[axis] = 0;
        }
    }
}

#undef FD_SELECT_32
#undef FD_INDEPENDENT
