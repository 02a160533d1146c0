/* Softmax of rows and dropout of its probabilities, and their backward pass.
 *
 * A row is read three times, from the first-level cache but for rows longer than that: for the largest value, for the
 * sums, for the result. exp is computed twice, so that a row needs no other memory. Sums are taken in one order, 32
 * partial sums added in halves, whatever the register's width.
 */

namespace {

/* Up to 32 elements; what is missing at a row's end is filled with -inf (x) or 0 (dy). */
template <typename D>
FD_INLINE unit_of<typename D::real> load_unit(const typename D::stored *from, int64_t count, typename D::real fill) {
    typedef typename D::real real;
    typedef unit_of<real> unit;
    unit u;
    if (count >= UNIT) {
        for (int k = 0; k < unit::PARTS; k++) u.part[k] = D::load(from + k * unit::N);
        return u;
    }
    typename D::stored padded[UNIT] = {};
    real values[UNIT];
    memcpy(padded, from, (size_t)count * sizeof *from);
    for (int k = 0; k < unit::PARTS; k++) store(values + k * unit::N, D::load(padded + k * unit::N));
    for (int64_t i = count; i < UNIT; i++) values[i] = fill;
    for (int k = 0; k < unit::PARTS; k++) u.part[k] = load(values + k * unit::N);
    return u;
}

template <typename D>
static typename D::real largest(const typename D::stored *x, int64_t columns) {
    typedef typename D::real real;
    typedef unit_of<real> unit;
    unit most;
    real values[UNIT], result = -(real)INFINITY;
    for (int k = 0; k < unit::PARTS; k++) most.part[k] = simd<real>{} + result;
    for (int64_t i = 0; i < columns; i += UNIT) {
        const unit u = load_unit<D>(x + i, columns - i, -(real)INFINITY);
        for (int k = 0; k < unit::PARTS; k++) most.part[k] = u.part[k] > most.part[k] ? u.part[k] : most.part[k];
    }
    for (int k = 0; k < unit::PARTS; k++) store(values + k * unit::N, most.part[k]);
    for (int i = 0; i < UNIT; i++) result = values[i] > result ? values[i] : result;
    return result;
}

/* One row, forward or (dy) backward. Its bits are in `words` from `position` on, or, where it is longer than a range,
 * are drawn a range at a time. */
template <typename D>
class softmax_row {
    typedef typename D::stored T;
    typedef typename D::real real;
    typedef unit_of<real> unit;

    const fd_softmax &s;
    const T *const dy, *const x;
    T *const y;
    const uint64_t first_bit;
    uint32_t *const words;
    int64_t position;
    const bool is_drawn;
    const real most, scale;

public:
    softmax_row(const fd_softmax &given, int64_t at, uint32_t *bits, int64_t first, bool drawn)
        : s(given),
          dy(s.dy ? (const T *)s.dy + at : nullptr),
          x((const T *)s.x + at),
          y((T *)s.y + at),
          first_bit((uint64_t)at),
          words(bits),
          position(first),
          is_drawn(drawn),
          most(FD_FAULT(softmax_maximum, largest<D>(x, s.columns), 0)),
          scale((real)s.scale) {}

    void run() {
        unit total, inner;
        unit::clear(total);
        unit::clear(inner);
        for (int64_t i = 0; i < s.columns; i += UNIT) {
            unit e = load_unit<D>(x + i, s.columns - i, FD_FAULT(softmax_padding, -(real)INFINITY, 0));
            for (int k = 0; k < unit::PARTS; k++) total.part[k] += e.part[k] = exp_of_negative(e.part[k] - most);
            if (!dy) continue;
            const keep_bits bits = bits_at(i);
            const unit g = load_unit<D>(dy + i, s.columns - i, 0);
            for (int k = 0; k < unit::PARTS; k++) {
                const simd<real> scaled = g.part[k] * scale;
                inner.part[k] += FD_FAULT(softmax_mean, zero_unless({bits, k * unit::N}, scaled), scaled) * e.part[k];
            }
        }
        const real inverse = 1 / reduce_add(total);
        write(inverse, reduce_add(inner) * inverse);
    }

private:
    keep_bits bits_at(int64_t i) {
        if (!is_drawn && i % RANGE_BITS == 0)
            position = draw_range(s.mask, first_bit + (uint64_t)i, smaller(s.columns - i, RANGE_BITS), words) - i;
        return keep_bits_of(fetch_bits(words, position + i));
    }

    void write(real inverse, real mean) {
        const real factor = inverse * scale;
        for (int64_t i = 0; i < s.columns; i += UNIT) {
            const int64_t left = s.columns - i;
            const keep_bits bits = bits_at(i);
            const unit e = load_unit<D>(x + i, left, -(real)INFINITY);
            unit g;
            if (dy)
                g = load_unit<D>(dy + i, left, 0);
            else
                unit::clear(g);
            T result[UNIT];
            for (int k = 0; k < unit::PARTS; k++) {
                const kept_lanes kept = {bits, k * unit::N};
                const simd<real> p = exp_of_negative(e.part[k] - most);
                D::store(result + k * unit::N, dy ? p * inverse * (zero_unless(kept, g.part[k] * scale) - mean)
                                                  : zero_unless(kept, p * factor));
            }
            if (left >= UNIT)
                memcpy(y + i, result, sizeof result);
            else
                memcpy(y + i, result, (size_t)left * sizeof(T));
        }
    }
};

template <typename D>
static void softmax(const fd_softmax *s, int64_t first_row, int64_t last_row) {
    uint32_t words[RANGE_WORDS];
    words[RANGE_WORDS - 1] = 0;
    /* as many rows as a range holds: drawn at once, since short rows share tiles */
    const int64_t fit = s->columns > 0 ? RANGE_BITS / s->columns : 1;
    for (int64_t first = first_row; first < last_row;) {
        const int64_t rows = fit == 0 ? 1 : smaller(last_row - first, fit), begin = first * s->columns;
        int64_t position = 0;
        if (fit > 0) position = draw_range(s->mask, (uint64_t)begin, rows * s->columns, words);
        for (int64_t row = first; row < first + rows; row++) {
            const int64_t at = row * s->columns;
            softmax_row<D>(*s, at, words, position + (at - begin), fit > 0).run();
        }
        first += rows + FD_FAULT(softmax_rows, 0, rows == fit && rows > 1);
    }
}

} // namespace
