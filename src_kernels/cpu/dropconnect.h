/* DropConnect with one mask per example (Wan et al. 2013): the keep bits of batch x outputs x inputs weights are drawn
 * a range at a time and used at once; nothing of that size is ever stored.
 *
 * Register blocking: EXAMPLES examples (forward, dx) or rows of weights (dweight) share every load of the other factor,
 * and their sums stay in registers along the third axis. Every sum is taken in one fixed order (forward: 32 partial
 * sums, added in halves; the gradients: one after the other), and products are rounded before they are added, so that
 * neither threads nor instruction set change a result.
 */

namespace {

template <typename real>
struct dropconnect {
    typedef unit_of<real> unit;
    static constexpr int N = unit::N, PARTS = unit::PARTS;
    static constexpr int EXAMPLES = PARTS <= 2 ? 4 : PARTS <= 4 ? 2 : 1; /* 8 registers of sums */
    static constexpr int64_t EXAMPLE_BITS = 32768;                       /* that are drawn at once for one example */
    static constexpr int64_t EXAMPLE_WORDS = (EXAMPLE_BITS / FD_TILE + 2) * FD_TILE_WORDS + 1;
    static constexpr int64_t MOST_TERMS = 512;

    /* A unit of columns; what lies behind the row's end counts as 0. */
    FD_INLINE unit load_columns(const real *from, int64_t count) {
        real padded[UNIT];
        if (count < UNIT) {
            memset(padded, 0, sizeof padded);
            memcpy(padded, from, (size_t)(count - FD_FAULT(connect_row_end, 0, 1)) * sizeof(real));
            from = padded;
        }
        unit u;
        FD_UNROLL
        for (int k = 0; k < PARTS; k++) u.part[k] = load(from + k * N);
        return u;
    }

    FD_INLINE void store_columns(real *to, const unit &u, int64_t count) {
        real padded[UNIT];
        real *const at = count >= UNIT ? to : padded;
        FD_UNROLL
        for (int k = 0; k < PARTS; k++) store(at + k * N, u.part[k]);
        if (count < UNIT) memcpy(to, padded, (size_t)count * sizeof(real));
    }

    /* The rows of weights whose bits are drawn at once for one example. */
    static int64_t rows_at_once(int64_t columns) {
        const int64_t rows = EXAMPLE_BITS / (columns > 0 ? columns : 1);
        return rows > MOST_TERMS ? MOST_TERMS : rows > 1 ? rows : 1;
    }

    /* ---- forward ---- */

    /* sum[e] += the masked products of 32 weights with each example's inputs; count < 32 only at a row's end */
    template <int COUNT>
    FD_INLINE void add_products(unit *sum, const bit_cursor *bits, const real *weight, const real *const *x, int64_t i,
                                int64_t count) {
        const unit w = load_columns(weight + i, count);
        FD_UNROLL
        for (int e = 0; e < COUNT; e++) {
            const keep_bits kept = load_keep_bits(bits[e] + i / UNIT * CURSOR_STEP);
            const unit v = load_columns(x[e] + i, count);
            FD_UNROLL
            for (int k = 0; k < PARTS; k++) sum[e].part[k] += zero_unless({kept, k * N}, w.part[k] * v.part[k]);
        }
    }

    /* sums[e] += the masked products of a row of weights with each example's inputs, as partial sums. */
    template <int COUNT>
    static void add_row(const bit_cursor *bits, const real *weight, const real *const *x, int64_t columns, unit *sums) {
        unit sum[COUNT];
        FD_UNROLL
        for (int e = 0; e < COUNT; e++)
            for (int k = 0; k < PARTS; k++) sum[e].part[k] = sums[e].part[k];
        int64_t i = 0;
        for (; i + UNIT <= columns; i += UNIT) add_products<COUNT>(sum, bits, weight, x, i, UNIT);
        if (i < columns) add_products<COUNT>(sum, bits, weight, x, i, columns - i);
        FD_UNROLL
        for (int e = 0; e < COUNT; e++)
            for (int k = 0; k < PARTS; k++) sums[e].part[k] = sum[e].part[k];
    }

    /* y of some examples, from b on, and of the outputs [first, last). */
    static void forward_rows(const fd_dropconnect &c, int64_t b, int64_t first, int64_t last, bool one_row) {
        const int64_t outputs = c.outputs, inputs = c.inputs;
        const real *x = (const real *)c.x, *weight = (const real *)c.weight, *bias = (const real *)c.bias;
        real *y = (real *)c.to;
        uint32_t words[EXAMPLES][EXAMPLE_WORDS], shifted[EXAMPLES][EXAMPLE_BITS / 32];
        const int examples = (int)smaller(c.batch - b, EXAMPLES);
        unit sums[EXAMPLES];
        for (int e = 0; e < EXAMPLES; e++) unit::clear(sums[e]);
        for (int64_t column = 0; column == 0 || column < inputs; column += EXAMPLE_BITS) {
            const int64_t left = inputs - column, columns = smaller(left, EXAMPLE_BITS);
            int64_t start[EXAMPLES] = {};
            bit_cursor bits[EXAMPLES] = {};
            const real *in[EXAMPLES] = {};
            for (int e = 0; e < examples; e++) {
                const int64_t bit = (FD_FAULT(connect_one_mask, b + e, b) * outputs + first) * inputs + column;
                start[e] = draw_range(c.mask, (uint64_t)bit, one_row ? columns : (last - first) * inputs, words[e]);
                in[e] = x + (b + e) * inputs + column;
            }
            for (int64_t o = first; o < last; o++) {
                const real *row = weight + o * inputs + column;
                for (int e = 0; e < examples; e++)
                    bits[e] = cursor_at(words[e], start[e] + (o - first) * inputs, columns, shifted[e]);
                if (examples == EXAMPLES)
                    add_row<EXAMPLES>(bits, row, in, columns, sums);
                else
                    for (int e = 0; e < examples; e++) add_row<1>(bits + e, row, in + e, columns, sums + e);
                if (left > EXAMPLE_BITS) continue; /* the row goes on */
                for (int e = 0; e < examples; e++) {
                    y[(b + e) * outputs + o] =
                        reduce_add(sums[e]) * (real)c.scale + (bias ? bias[FD_FAULT(connect_bias, o, o - first)] : 0);
                    unit::clear(sums[e]);
                }
            }
        }
    }

    static void forward(const fd_dropconnect *c, int64_t begin, int64_t end) {
        const int64_t rows = rows_at_once(c->inputs);
        for (int64_t first = begin; first < end; first += rows)
            for (int64_t b = 0; b < c->batch; b += EXAMPLES)
                forward_rows(*c, b, first, smaller(first + rows, end), rows == 1);
    }

    /* ---- gradients: into[e] += factor(e, t) * from[t], masked, term after term, for every column ---- */

    /* The bit of target e, term t and column i is number bit_of_target[e] + bit_of_term[t] + i of `words`. */
    struct terms {
        uint32_t words[EXAMPLES * EXAMPLE_WORDS];
        int64_t bit_of_target[EXAMPLES], bit_of_term[MOST_TERMS], count;
        real factor[EXAMPLES][MOST_TERMS];
        const real *from;
        int64_t stride;
    };

    template <int TARGETS, bool WHOLE_BYTES>
    FD_INLINE void add_terms(const terms &t, int first, int64_t i, int64_t count, real *into) {
        unit sum[TARGETS];
        FD_UNROLL
        for (int e = 0; e < TARGETS; e++) sum[e] = load_columns(into + e * t.stride + i, count);
        for (int64_t term = 0; term < t.count; term++) {
            const unit v = load_columns(t.from + term * t.stride + i, count);
            FD_UNROLL
            for (int e = 0; e < TARGETS; e++) {
                const int64_t bit = t.bit_of_target[first + e] + t.bit_of_term[term] + i;
                const keep_bits kept = WHOLE_BYTES ? load_keep_bits((bit_cursor)t.words + bit / 8)
                                                   : keep_bits_of(fetch_bits(t.words, bit));
                FD_UNROLL
                for (int k = 0; k < PARTS; k++)
                    sum[e].part[k] += zero_unless({kept, k * N}, v.part[k] * t.factor[first + e][term]);
            }
        }
        FD_UNROLL
        for (int e = 0; e < TARGETS; e++) store_columns(into + e * t.stride + i, sum[e], count);
    }

    template <int TARGETS, bool WHOLE_BYTES>
    static void add_all_columns(const terms &t, int first, int64_t columns, real *into) {
        int64_t i = 0;
        for (; i + UNIT <= columns; i += UNIT) add_terms<TARGETS, WHOLE_BYTES>(t, first, i, UNIT, into);
        if (i < columns) add_terms<TARGETS, WHOLE_BYTES>(t, first, i, columns - i, into);
    }

    static void add_targets(const terms &t, int targets, int64_t columns, real *into) {
        /* whether every row's first bit begins a byte */
        const bool whole_bytes = FD_FAULT(connect_within_byte, t.stride % CURSOR_UNIT == 0, 1);
        if (targets == EXAMPLES && whole_bytes)
            add_all_columns<EXAMPLES, true>(t, 0, columns, into);
        else if (targets == EXAMPLES)
            add_all_columns<EXAMPLES, false>(t, 0, columns, into);
        else
            for (int e = 0; e < targets; e++) add_all_columns<1, false>(t, e, columns, into + e * t.stride);
    }

    /* Targets are examples, terms rows of weights. */
    static void dx(const fd_dropconnect *c, int64_t begin, int64_t end) {
        const int64_t outputs = c->outputs, inputs = c->inputs, rows_each = rows_at_once(inputs);
        const real *dy = (const real *)c->dy, *weight = (const real *)c->weight;
        real *dx = (real *)c->to;
        terms t;
        t.stride = inputs;
        for (int64_t row = 0; row < rows_each; row++) t.bit_of_term[row] = row * inputs;
        memset(dx + begin * inputs, 0, (size_t)((end - begin) * inputs) * sizeof *dx);
        for (int64_t b = begin; b < end; b += EXAMPLES) {
            const int examples = (int)smaller(end - b, EXAMPLES);
            for (int64_t first = 0; first < outputs; first += rows_each) {
                t.count = smaller(outputs - first, rows_each);
                for (int e = 0; e < examples; e++)
                    for (int64_t row = 0; row < t.count; row++)
                        t.factor[e][row] =
                            dy[(b + e) * outputs + first + row] * FD_FAULT(connect_dx_scale, (real)c->scale, 1);
                for (int64_t column = 0; column < inputs; column += EXAMPLE_BITS) {
                    const int64_t columns = smaller(inputs - column, EXAMPLE_BITS);
                    for (int e = 0; e < examples; e++) {
                        const int64_t bit = ((b + e) * outputs + first) * inputs + column;
                        const int64_t bits = rows_each == 1 ? columns : t.count * inputs;
                        t.bit_of_target[e] = e * EXAMPLE_WORDS * 32 +
                                             draw_range(c->mask, (uint64_t)bit, bits, t.words + e * EXAMPLE_WORDS);
                    }
                    t.from = weight + first * inputs + column;
                    add_targets(t, examples, columns, dx + b * inputs + column);
                }
            }
        }
    }

    /* Some columns of dweight's rows [first, first + rows): targets are rows of weights, terms examples. */
    static void dweight_rows(const fd_dropconnect &c, terms &t, int64_t first, int64_t rows, int64_t column,
                             bool one_row) {
        const int64_t outputs = c.outputs, inputs = c.inputs, columns = smaller(inputs - column, EXAMPLE_BITS);
        const real *dy = (const real *)c.dy, *x = (const real *)c.x;
        const int64_t bits = one_row ? columns : rows * inputs;
        const int64_t words_each = (bits / FD_TILE + 2) * FD_TILE_WORDS;
        const int64_t at_once = smaller((EXAMPLES * EXAMPLE_WORDS - 1) / words_each, MOST_TERMS);
        for (int64_t b = 0; b < c.batch; b += at_once) {
            t.count = smaller(c.batch - b, at_once);
            for (int64_t term = 0; term < t.count; term++) {
                const int64_t bit = ((b + term) * outputs + first) * inputs + column;
                t.bit_of_term[term] =
                    term * words_each * 32 + draw_range(c.mask, (uint64_t)bit, bits, t.words + term * words_each);
            }
            for (int64_t row = 0; row < rows; row += EXAMPLES) {
                const int targets = (int)smaller(rows - row, EXAMPLES);
                for (int e = 0; e < targets; e++) {
                    t.bit_of_target[e] = (FD_FAULT(connect_dweight_rows, row, 0) + e) * inputs;
                    for (int64_t term = 0; term < t.count; term++)
                        t.factor[e][term] = dy[(b + term) * outputs + first + row + e] * (real)c.scale;
                }
                t.from = x + b * inputs + column;
                add_targets(t, targets, columns, (real *)c.to + (first + row) * inputs + column);
            }
        }
    }

    static void dweight(const fd_dropconnect *c, int64_t begin, int64_t end) {
        const int64_t inputs = c->inputs;
        const int64_t fit = rows_at_once(4 * inputs); /* fewer bits of more examples at once */
        const int64_t rows_each = fit > EXAMPLES ? fit / EXAMPLES * EXAMPLES : fit;
        terms t;
        t.stride = inputs;
        memset((real *)c->to + begin * inputs, 0, (size_t)((end - begin) * inputs) * sizeof(real));
        for (int64_t first = begin; first < end; first += rows_each)
            for (int64_t column = 0; column < inputs; column += EXAMPLE_BITS)
                dweight_rows(*c, t, first, smaller(end - first, rows_each), column, rows_each == 1);
    }
};

} // namespace
