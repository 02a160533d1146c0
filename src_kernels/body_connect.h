/* DropConnect with one mask per example for one dtype (Wan et al. 2013): the batch x outputs x inputs decisions are
 * drawn a row at a time and used at once; nothing of that size is ever stored.
 *
 * Included once per dtype, as body_apply.h is. Every sum is taken in one fixed order (32 partial sums, folded in
 * halves), so that neither threads nor instruction set change a result: -ffp-contract=off keeps it so.
 */

/* Rows of weights that are worked on together, so that they stay in the first-level cache while the batch goes by
 * and the decisions of neighbouring rows come from the same tiles. */
#define FD_CONNECT_BLOCK_ELEMENTS 4096

static int64_t NAME(connect_block)(int64_t inputs) {
    const int64_t rows = inputs > 0 ? FD_CONNECT_BLOCK_ELEMENTS / inputs : 1;
    return rows > 0 ? rows : 1;
}

/* sum += keep ? a * b : 0, element i into partial sum i % 32 of its run */
static void NAME(masked_dot)(const uint32_t *words, int64_t count, const REAL *a, const REAL *b, REAL sum[32]) {
    int64_t i = 0;
    REAL total[32];
    memcpy(total, sum, sizeof total);
    for (; i + 32 <= count; i += 32) {
        const WORD word = words[i / 32];
        for (int j = 0; j < 32; j++) total[j] += NAME(select)(a[i + j] * b[i + j], (word & NAME(bit)[j]) != 0);
    }
    if (i < count) { /* the rest of a row, filled up with zeros: element by element it cost more than all before it */
        REAL rest_a[32] = {0}, rest_b[32] = {0};
        const size_t rest = (size_t)(count - i);
        const WORD word = words[i / 32] & (((WORD)1 << rest) - 1);
        memcpy(rest_a, a + i, rest * sizeof *a);
        memcpy(rest_b, b + i, rest * sizeof *b);
        for (int j = 0; j < 32; j++) total[j] += NAME(select)(rest_a[j] * rest_b[j], (word & NAME(bit)[j]) != 0);
    }
    memcpy(sum, total, sizeof total);
}

/* y += keep ? factor * x : 0 */
static void NAME(masked_axpy)(const uint32_t *words, int64_t count, REAL factor, const REAL *restrict x,
                              REAL *restrict y) {
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const WORD word = words[i / 32];
        for (int j = 0; j < 32; j++) y[i + j] += NAME(select)(factor * x[i + j], (word & NAME(bit)[j]) != 0);
    }
    if (i < count) {
        REAL rest_x[32] = {0}, rest_y[32] = {0};
        const size_t rest = (size_t)(count - i);
        const WORD word = words[i / 32];
        memcpy(rest_x, x + i, rest * sizeof *x);
        memcpy(rest_y, y + i, rest * sizeof *y);
        for (int j = 0; j < 32; j++) rest_y[j] += NAME(select)(factor * rest_x[j], (word & NAME(bit)[j]) != 0);
        memcpy(y + i, rest_y, rest * sizeof *y);
    }
}

static REAL NAME(row_dot)(bit_source *source, uint64_t decision, int64_t count, const REAL *a, const REAL *b) {
    REAL sum[32] = {0};
    uint32_t scratch[FD_TILE_WORDS];
    const uint32_t *words;
    while (count > 0) {
        const int64_t run = next_bits(source, decision, count, scratch, &words);
        NAME(masked_dot)(words, run, a, b, sum);
        decision += (uint64_t)run, a += run, b += run, count -= run;
    }
    for (int half = 16; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

static void NAME(row_axpy)(bit_source *source, uint64_t decision, int64_t count, REAL factor, const REAL *x, REAL *y) {
    uint32_t scratch[FD_TILE_WORDS];
    const uint32_t *words;
    while (count > 0) {
        const int64_t run = next_bits(source, decision, count, scratch, &words);
        NAME(masked_axpy)(words, run, factor, x, y);
        decision += (uint64_t)run, x += run, y += run, count -= run;
    }
}

static void NAME(connect_forward)(fd_dropconnect_size size, fd_recipe recipe, double scale, const void *x_,
                                  const void *weight_, const void *bias_, void *y_, int64_t begin, int64_t end) {
    const REAL *x = x_, *weight = weight_, *bias = bias_;
    REAL *y = y_;
    const int64_t rows = NAME(connect_block)(size.inputs);
    bit_source source;
    open_source(&source, recipe);
    for (int64_t first = begin; first < end; first += rows) {
        const int64_t last = first + rows < end ? first + rows : end;
        for (int64_t b = 0; b < size.batch; b++)
            for (int64_t o = first; o < last; o++) {
                const int64_t row = b * size.outputs + o;
                const REAL sum = NAME(row_dot)(&source, (uint64_t)(row * size.inputs), size.inputs,
                                               weight + o * size.inputs, x + b * size.inputs);
                y[row] = sum * (REAL)scale + (bias ? bias[o] : 0);
            }
    }
}

static void NAME(connect_dx)(fd_dropconnect_size size, fd_recipe recipe, double scale, const void *dy_,
                             const void *weight_, void *dx_, int64_t begin, int64_t end) {
    const REAL *dy = dy_, *weight = weight_;
    REAL *dx = dx_;
    bit_source source;
    open_source(&source, recipe);
    memset(dx + begin * size.inputs, 0, (size_t)((end - begin) * size.inputs) * sizeof *dx);
    for (int64_t b = begin; b < end; b++)
        for (int64_t o = 0; o < size.outputs; o++) {
            const int64_t row = b * size.outputs + o;
            NAME(row_axpy)(&source, (uint64_t)(row * size.inputs), size.inputs, dy[row] * (REAL)scale,
                           weight + o * size.inputs, dx + b * size.inputs);
        }
}

static void NAME(connect_dweight)(fd_dropconnect_size size, fd_recipe recipe, double scale, const void *dy_,
                                  const void *x_, void *dweight_, int64_t begin, int64_t end) {
    const REAL *dy = dy_, *x = x_;
    REAL *dweight = dweight_;
    const int64_t rows = NAME(connect_block)(size.inputs);
    bit_source source;
    open_source(&source, recipe);
    memset(dweight + begin * size.inputs, 0, (size_t)((end - begin) * size.inputs) * sizeof *dweight);
    for (int64_t first = begin; first < end; first += rows) {
        const int64_t last = first + rows < end ? first + rows : end;
        for (int64_t b = 0; b < size.batch; b++)
            for (int64_t o = first; o < last; o++) {
                const int64_t row = b * size.outputs + o;
                NAME(row_axpy)(&source, (uint64_t)(row * size.inputs), size.inputs, dy[row] * (REAL)scale,
                               x + b * size.inputs, dweight + o * size.inputs);
            }
    }
}

#undef FD_CONNECT_BLOCK_ELEMENTS
