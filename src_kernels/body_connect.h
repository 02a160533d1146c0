/* DropConnect with one mask per example (Wan et al. 2013), for one arithmetic type: the batch x outputs x inputs
 * decisions are drawn a window at a time and used at once; nothing of that size is ever stored.
 *
 * Register blocking: EXAMPLES examples (forward, dx) or rows of weights (dweight) share every load of the other factor,
 * and their sums stay in registers along the third axis. Every sum is taken in one fixed order (forward: 32 partial sums,
 * folded in halves; the gradients: one after the other), and products are rounded before they are added, so that neither
 * threads nor instruction set change a result.
 */
#define PARTS (32 / LANES)
#define EXAMPLES (PARTS <= 2 ? 4 : PARTS <= 4 ? 2 : 1) /* 8 registers of sums */
#define EXAMPLE_DECISIONS 32768                                     /* that are drawn at once for one example */
#define EXAMPLE_WORDS ((EXAMPLE_DECISIONS / FD_TILE + 2) * FD_TILE_WORDS + 1)
#define MOST_TERMS 512

/* The sum of 32 partial sums, in halves. */
FD_INLINE S MATH(fold)(V sum[32 / LANES]) {
    FD_UNROLL
    for (int half = 16 / LANES; half > 0; half /= 2)
        for (int k = 0; k < half; k++) sum[k] += sum[k + half];
    return VEC(fold)(sum[0]);
}

/* A block of 32 columns; what lies behind the row's end counts as 0. */
FD_INLINE void MATH(load_columns)(V part[PARTS], const S *from, int64_t count) {
    S padded[32];
    if (count < 32) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, from, (size_t)(count - FD_FAULT(connect_row_end, 0, 1)) * sizeof(S));
        from = padded;
    }
    FD_UNROLL
    for (int k = 0; k < PARTS; k++) part[k] = VEC(load)(from + k * LANES);
}

FD_INLINE void MATH(store_columns)(S *to, const V part[PARTS], int64_t count) {
    S padded[32];
    if (count >= 32) {
        FD_UNROLL
        for (int k = 0; k < PARTS; k++) VEC(store)(to + k * LANES, part[k]);
        return;
    }
    for (int k = 0; k < PARTS; k++) VEC(store)(padded + k * LANES, part[k]);
    memcpy(to, padded, (size_t)count * sizeof(S));
}

/* sum[e] += the masked products of 32 weights with each example's inputs; count < 32 only at a row's end */
FD_INLINE void MATH(dot_block)(int examples, V sum[EXAMPLES][PARTS], const bit_cursor *bits, const S *weight,
                               const S *const *x, int64_t i, int64_t count) {
    V w[PARTS], v[PARTS];
    MATH(load_columns)(w, weight + i, count);
    FD_UNROLL
    for (int e = 0; e < examples; e++) {
        const keep_bits kept = keep_bits_load(bits[e] + i / 32 * FD_CURSOR_STEP);
        MATH(load_columns)(v, x[e] + i, count);
        FD_UNROLL
        for (int k = 0; k < PARTS; k++) sum[e][k] += VEC(keep)(kept, k * LANES, w[k] * v[k]);
    }
}

/* sums[e] += the masked products of a row of weights with each example's inputs, as partial sums. */
FD_INLINE void MATH(masked_dots)(int examples, const bit_cursor *bits, const S *weight, const S *const *x,
                                 int64_t columns, V sums[][PARTS]) {
    V sum[EXAMPLES][PARTS];
    FD_UNROLL
    for (int e = 0; e < examples; e++)
        for (int k = 0; k < PARTS; k++) sum[e][k] = sums[e][k];
    int64_t i = 0;
    for (; i + 32 <= columns; i += 32) MATH(dot_block)(examples, sum, bits, weight, x, i, 32);
    if (i < columns) MATH(dot_block)(examples, sum, bits, weight, x, i, columns - i);
    FD_UNROLL
    for (int e = 0; e < examples; e++)
        for (int k = 0; k < PARTS; k++) sums[e][k] = sum[e][k];
}

/* The rows of weights whose decisions are drawn at once for one example. */
static int64_t MATH(rows_at_once)(int64_t columns) {
    const int64_t rows = EXAMPLE_DECISIONS / (columns > 0 ? columns : 1);
    return rows > MOST_TERMS ? MOST_TERMS : rows > 1 ? rows : 1;
}

static void MATH(connect_forward)(fd_dropconnect_size size, fd_recipe recipe, double scale, const void *x_,
                                  const void *weight_, const void *bias_, void *y_, int64_t begin, int64_t end) {
    const S *x = x_, *weight = weight_, *bias = bias_;
    S *y = y_;
    uint32_t windows[EXAMPLES][EXAMPLE_WORDS], shifted[EXAMPLES][EXAMPLE_DECISIONS / 32];
    const int64_t block = MATH(rows_at_once)(size.inputs);
    for (int64_t first = begin; first < end; first += block) {
        const int64_t last = first + block < end ? first + block : end;
        for (int64_t b = 0; b < size.batch; b += EXAMPLES) {
            const int examples = (int)(size.batch - b < EXAMPLES ? size.batch - b : EXAMPLES);
            V sums[EXAMPLES][PARTS];
            for (int e = 0; e < EXAMPLES; e++)
                for (int k = 0; k < PARTS; k++) sums[e][k] = VEC(set)(0);
            for (int64_t column = 0; column == 0 || column < size.inputs; column += EXAMPLE_DECISIONS) {
                const int64_t left = size.inputs - column;
                const int64_t columns = left < EXAMPLE_DECISIONS ? left : EXAMPLE_DECISIONS;
                int64_t start[EXAMPLES];
                bit_cursor bits[EXAMPLES];
                const S *inputs[EXAMPLES];
                for (int e = 0; e < examples; e++) {
                    const int64_t decision = 
                        (FD_FAULT(connect_one_mask, b + e, b) * size.outputs + first) * size.inputs + column;
                    const int64_t count = block == 1 ? columns : (last - first) * size.inputs;
                    start[e] = draw_window(recipe, (uint64_t)decision, count, windows[e]);
                    inputs[e] = x + (b + e) * size.inputs + column;
                }
                for (int64_t o = first; o < last; o++) {
                    const S *row = weight + o * size.inputs + column;
                    for (int e = 0; e < examples; e++)
                        bits[e] = cursor_at(windows[e], start[e] + (o - first) * size.inputs, columns, shifted[e]);
                    if (examples == EXAMPLES)
                        MATH(masked_dots)(EXAMPLES, bits, row, inputs, columns, sums);
                    else
                        for (int e = 0; e < examples; e++)
                            MATH(masked_dots)(1, bits + e, row, inputs + e, columns, sums + e);
                    if (left > EXAMPLE_DECISIONS) continue; /* the row goes on */
                    for (int e = 0; e < examples; e++) {
                        y[(b + e) * size.outputs + o] = 
                            MATH(fold)(sums[e]) * (S)scale + (bias ? bias[FD_FAULT(connect_bias, o, o - first)] : 0);
                        for (int k = 0; k < PARTS; k++) sums[e][k] = VEC(set)(0);
                    }
                }
            }
        }
    }
}

/* into[e] += factor(e, t) * from[t], masked, term after term, for every column. The bit of target e, term t and
 * column i is number bit_of_target[e] + bit_of_term[t] + i. */
FD_INLINE void MATH(sum_block)(int targets, int begins, const uint32_t *words, const int64_t *bit_of_target,
                               const int64_t *bit_of_term, int64_t terms, const S (*factor)[MOST_TERMS],
                               const S *from, int64_t stride, int64_t i, int64_t count, S *into) {
    V sum[EXAMPLES][PARTS], v[PARTS];
    FD_UNROLL
    for (int e = 0; e < targets; e++) MATH(load_columns)(sum[e], into + e * stride + i, count);
    for (int64_t t = 0; t < terms; t++) {
        MATH(load_columns)(v, from + t * stride + i, count);
        FD_UNROLL
        for (int e = 0; e < targets; e++) {
            const int64_t bit = bit_of_target[e] + bit_of_term[t] + i;
            const keep_bits kept =
                begins ? keep_bits_load((bit_cursor)words + bit / 8) : keep_bits_of(fd_fetch(words, bit));
            FD_UNROLL
            for (int k = 0; k < PARTS; k++) sum[e][k] += VEC(keep)(kept, k * LANES, v[k] * factor[e][t]);
        }
    }
    FD_UNROLL
    for (int e = 0; e < targets; e++) MATH(store_columns)(into + e * stride + i, sum[e], count);
}

FD_INLINE void MATH(masked_sums)(int targets, int begins, const uint32_t *words, const int64_t *bit_of_target,
                                 const int64_t *bit_of_term, int64_t terms, const S (*factor)[MOST_TERMS],
                                 const S *from, int64_t stride, int64_t columns, S *into) {
    int64_t i = 0;
    for (; i + 32 <= columns; i += 32)
        MATH(sum_block)(targets, begins, words, bit_of_target, bit_of_term, terms, factor, from, stride, i, 32, into);
    if (i < columns)
        MATH(sum_block)(targets, begins, words, bit_of_target, bit_of_term, terms, factor, from, stride, i, columns - i, into);
}

static void MATH(masked_targets)(int targets, const uint32_t *words, const int64_t *bit_of_target,
                                 const int64_t *bit_of_term, int64_t terms, const S (*factor)[MOST_TERMS],
                                 const S *from, int64_t stride, int64_t columns, S *into) {
#define FD_SUMS(targets, begins, e)                                                                               \
    MATH(masked_sums)(targets, begins, words, bit_of_target + (e), bit_of_term, terms, factor + (e), from, stride, \
                      columns, into + (e) * stride)
    const int begins = FD_FAULT(connect_within_byte, stride % FD_BEGIN == 0, 1); /* then every row's first bit begins a byte */
    if (targets == EXAMPLES && begins)
        FD_SUMS(EXAMPLES, 1, 0);
    else if (targets == EXAMPLES)
        FD_SUMS(EXAMPLES, 0, 0);
    else
        for (int e = 0; e < targets; e++) FD_SUMS(1, 0, e);
#undef FD_SUMS
}

/* Targets are examples, terms rows of weights. */
static void MATH(connect_dx)(fd_dropconnect_size size, fd_recipe recipe, double scale, const void *dy_,
                             const void *weight_, void *dx_, int64_t begin, int64_t end) {
    const S *dy = dy_, *weight = weight_;
    S *dx = dx_, factor[EXAMPLES][MOST_TERMS];
    uint32_t windows[EXAMPLES][EXAMPLE_WORDS];
    int64_t bit_of_target[EXAMPLES], bit_of_term[MOST_TERMS];
    const int64_t block = MATH(rows_at_once)(size.inputs);
    for (int64_t t = 0; t < block; t++) bit_of_term[t] = t * size.inputs;
    memset(dx + begin * size.inputs, 0, (size_t)((end - begin) * size.inputs) * sizeof *dx);
    for (int64_t b = begin; b < end; b += EXAMPLES) {
        const int examples = (int)(end - b < EXAMPLES ? end - b : EXAMPLES);
        for (int64_t first = 0; first < size.outputs; first += block) {
            const int64_t rows = size.outputs - first < block ? size.outputs - first : block;
            for (int e = 0; e < examples; e++)
                for (int64_t t = 0; t < rows; t++)
                    factor[e][t] = dy[(b + e) * size.outputs + first + t] * FD_FAULT(connect_dx_scale, (S)scale, 1);
            for (int64_t column = 0; column < size.inputs; column += EXAMPLE_DECISIONS) {
                const int64_t left = size.inputs - column;
                const int64_t columns = left < EXAMPLE_DECISIONS ? left : EXAMPLE_DECISIONS;
                for (int e = 0; e < examples; e++) {
                    const int64_t decision = ((b + e) * size.outputs + first) * size.inputs + column;
                    const int64_t count = block == 1 ? columns : rows * size.inputs;
                    bit_of_target[e] = e * EXAMPLE_WORDS * 32 + draw_window(recipe, (uint64_t)decision, count, windows[e]);
                }
                const S *from = weight + first * size.inputs + column;
                S *into = dx + b * size.inputs + column;
                MATH(masked_targets)(examples, windows[0], bit_of_target, bit_of_term, rows, factor, from, size.inputs,
                                     columns, into);
            }
        }
    }
}

/* Targets are rows of weights, terms examples. */
static void MATH(connect_dweight)(fd_dropconnect_size size, fd_recipe recipe, double scale, const void *dy_,
                                  const void *x_, void *dweight_, int64_t begin, int64_t end) {
    const S *dy = dy_, *x = x_;
    S *dweight = dweight_, factor[EXAMPLES][MOST_TERMS];
    uint32_t windows[EXAMPLES * EXAMPLE_WORDS];
    int64_t bit_of_target[EXAMPLES], bit_of_term[MOST_TERMS];
    const int64_t all_rows = MATH(rows_at_once)(4 * size.inputs); /* fewer decisions of more examples at once */
    const int64_t block = all_rows > EXAMPLES ? all_rows / EXAMPLES * EXAMPLES : all_rows;
    memset(dweight + begin * size.inputs, 0, (size_t)((end - begin) * size.inputs) * sizeof *dweight);
    for (int64_t first = begin; first < end; first += block) {
        const int64_t rows = end - first < block ? end - first : block;
        for (int64_t column = 0; column < size.inputs; column += EXAMPLE_DECISIONS) {
            const int64_t left = size.inputs - column, columns = left < EXAMPLE_DECISIONS ? left : EXAMPLE_DECISIONS;
            const int64_t count = block == 1 ? columns : rows * size.inputs;
            const int64_t words_each = (count / FD_TILE + 2) * FD_TILE_WORDS, room = EXAMPLES * EXAMPLE_WORDS - 1;
            const int64_t at_once = room / words_each < MOST_TERMS ? room / words_each : MOST_TERMS;
            for (int64_t b = 0; b < size.batch; b += at_once) {
                const int64_t terms = size.batch - b < at_once ? size.batch - b : at_once;
                for (int64_t t = 0; t < terms; t++) {
                    const int64_t decision = ((b + t) * size.outputs + first) * size.inputs + column;
                    bit_of_term[t] = t * words_each * 32 +
                                     draw_window(recipe, (uint64_t)decision, count, windows + t * words_each);
                }
                for (int64_t row = 0; row < rows; row += EXAMPLES) {
                    const int targets = (int)(rows - row < EXAMPLES ? rows - row : EXAMPLES);
                    for (int e = 0; e < targets; e++) {
                        bit_of_target[e] = (FD_FAULT(connect_dweight_rows, row, 0) + e) * size.inputs;
                        for (int64_t t = 0; t < terms; t++)
                            factor[e][t] = dy[(b + t) * size.outputs + first + row + e] * (S)scale;
                    }
                    const S *from = x + b * size.inputs + column;
                    S *into = dweight + (first + row) * size.inputs + column;
                    MATH(masked_targets)(targets, windows, bit_of_target, bit_of_term, terms, factor, from, size.inputs,
                                         columns, into);
                }
            }
        }
    }
}

#undef PARTS
#undef EXAMPLES
#undef EXAMPLE_DECISIONS
#undef EXAMPLE_WORDS
#undef MOST_TERMS
