/* The elementwise operations on arrays of any strides, with keep bits that any axes may share. */

namespace {

/* An element of the walk in C order: its index along every axis, its bytes in every array, and its keep bit. */
struct walk_position {
    int64_t index[FD_MAX_DIMS], offset[FD_MAX_OPERANDS] = {};
    int64_t bit;

    walk_position(const fd_elementwise &e, int64_t element) : bit((int64_t)FD_FAULT(slice_first, e.first_bit, 0)) {
        for (int axis = e.ndim - 1; axis >= 0; axis--) {
            index[axis] = 0;
            move(e, axis, element % e.shape[axis]);
            element /= e.shape[axis];
        }
    }

    void move(const fd_elementwise &e, int axis, int64_t by) {
        index[axis] += by;
        bit += by * e.bit_stride[axis];
        for (int k = 0; k < e.operands; k++) offset[k] += by * e.stride[k][axis];
    }

    /* To the start of a later row, whatever the index along the last axis was. */
    void next_row(const fd_elementwise &e, int64_t rows) {
        const int last = e.ndim - 1;
        move(e, last, -index[last]);
        for (int axis = last - 1; axis >= 0; axis--) {
            move(e, axis, axis == last - 1 ? rows : 1);
            if (index[axis] < e.shape[axis]) break;
            bit -= FD_FAULT(axis_carry, 0, e.bit_stride[axis]);
            move(e, axis, -index[axis]);
        }
    }
};

/* Byte offsets of the element `done` after this one along the last axis. */
struct offsets {
    int64_t at[FD_MAX_OPERANDS];
    offsets(const fd_elementwise &e, const int64_t *begin, int64_t done) {
        for (int k = 0; k < e.operands; k++) at[k] = begin[k] + done * e.stride[k][e.ndim - 1];
    }
};

/* Elements `step` bytes apart, to and from neighbours. */
template <typename T>
FD_INLINE void gather(T *to, const char *from, int64_t step, int64_t count) {
    FD_UNROLL_4
    for (int64_t i = 0; i < count; i++, from += step) to[i] = *(const T *)from;
}
template <typename T>
FD_INLINE void scatter(char *to, int64_t step, const T *from, int64_t count) {
    FD_UNROLL_4
    for (int64_t i = 0; i < count; i++, to += step) *(T *)to = from[i];
}

FD_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename D>
class elementwise_walk {
    typedef typename D::stored T;
    typedef typename D::real real;

    const fd_elementwise &e;
    const operation_functions<D> &operation;
    const constants<real> with;
    const int last;
    const bool contiguous; /* neighbours along the last axis are neighbours in memory, in every array */
    const bool selects;    /* dropout without a scale */
    bit_source source;

public:
    elementwise_walk(const fd_elementwise &given, int number)
        : e(given),
          operation(operation_table<D, op::all>::rows[number]),
          with{{(real)FD_FAULT(scale_in_float32, e.scale, (float)e.scale), (real)e.shift}, e.prefetch},
          last(e.ndim - 1),
          contiguous(is_contiguous()),
          selects(operation.is_dropout && FD_FAULT(unscaled_multiplied, with.by.scale == 1, 0)),
          source(e.mask) {}

    /* The elements [begin, end) in C order. */
    void run(int64_t begin, int64_t end) {
        const bool repeats = rows_repeat();
        begin += run_bias_over_rows(begin, end);
        for (walk_position at(e, begin); begin < end;) {
            const int64_t count = smaller(end - begin, e.shape[last] - at.index[last]);
            int64_t rows = 1;
            if (repeats && at.index[last] == 0) {
                rows = smaller((end - begin) / e.shape[last], e.shape[last - 1] - at.index[last - 1]);
                if (rows < 1) rows = 1;
            }
            if (rows > 1)
                run_repeated_rows((uint64_t)at.bit, count, rows, at.offset);
            else if (e.bit_stride[last] == 0)
                run_shared_bit(source.is_kept((uint64_t)at.bit), count, at.offset);
            else if (e.bit_stride[last] == 1)
                run_row((uint64_t)at.bit, count, at.offset);
            else
                run_stepped_bits((uint64_t)at.bit, count, at.offset);
            begin += rows * count;
            if (begin < end) at.next_row(e, rows);
        }
        if (e.nontemporal) end_nontemporal_stores();
    }

    /* Dropout of neighbours in memory whose bits are in `words` from position 0 on: for the transposed kernel. */
    void run_dropout(const uint32_t *words, int64_t count, T *y, const T *x) const {
        typedef typename D::bits bits;
        const place<D> at = {y, x, x, x, nullptr};
        if (selects)
            select_run(words, 0, count, (bits *)y, (const bits *)x);
        else if (e.nontemporal)
            apply_run_inline<D, op::dropout, true>(words, 0, count, with, at);
        else
            apply_run_inline<D, op::dropout, false>(words, 0, count, with, at);
    }

    bit_source &bits() { return source; }

private:
    bool is_contiguous() const {
        const int elements = e.operands - operation.has_sums;
        for (int k = 0; k < e.operands; k++)
            if (e.stride[k][last] != (int64_t)(k < elements ? sizeof(T) : sizeof(real))) return false;
        return true;
    }

    /* Whether rows follow one another without a gap and all have the same bits. */
    bool rows_repeat() const {
        if (!contiguous || last == 0 || e.bit_stride[last] != 1 || e.bit_stride[last - 1] != 0) return false;
        if (e.shape[last] > FD_TILE / 2) return false;
        for (int k = 0; k < e.operands; k++)
            if (e.stride[k][last - 1] != e.stride[k][last] * e.shape[last]) return false;
        return true;
    }

    place<D> place_at(const int64_t *offset) const {
        T *const y = (T *)(e.data[0] + offset[0]);
        const T *in[3] = {y, y, y};
        for (int k = 0; k < operation.inputs; k++) in[k] = (const T *)(e.data[k + 1] + offset[k + 1]);
        real *const sums = operation.has_sums ? (real *)(e.data[4] + offset[4]) : (real *)(void *)y;
        return {y, in[0], in[1], in[2], sums};
    }

    void apply(bool nontemporal, const uint32_t *words, int64_t position, int64_t count, const place<D> &at) const {
        typedef typename D::bits bits;
        if (selects)
            select_run(words, position, count, (bits *)at.y, (const bits *)at.a);
        else
            operation.apply_run[nontemporal](words, position, count, with, at);
    }

    /* Returns how many elements are done: none where a pipeline would not pay. */
    int64_t run_pipelined(uint64_t bit, int64_t count, const int64_t *offset, const periodic_bias<T> *bias) const {
        const bool pays = count >= 2 * FD_TILE && bit % FD_TILE <= FD_TILE / 2 && !is_constant(e.mask);
        if (!pays || selects || !operation.apply_pipelined[0]) return 0;
        return operation.apply_pipelined[e.nontemporal](e.mask, bit, count, with, place_at(offset), bias);
    }

    /* A bias over whole rows without gaps is one long run. Returns how many elements are done. */
    int64_t run_bias_over_rows(int64_t begin, int64_t end) const {
        if (operation.inputs != 2 || !operation.has_bias || e.ndim != 2 || !contiguous) return 0;
        const int64_t columns = e.shape[1];
        if (e.bit_stride[1] != 1 || e.bit_stride[0] != columns || e.stride[2][0] != 0) return 0;
        if (e.stride[0][0] != columns * e.stride[0][1] || e.stride[1][0] != columns * e.stride[1][1]) return 0;
        const int64_t offset[FD_MAX_OPERANDS] = {begin * e.stride[0][1], begin * e.stride[1][1]};
        const periodic_bias<T> bias((const T *)e.data[2], columns, begin % columns);
        return run_pipelined(e.first_bit + (uint64_t)begin, end - begin, offset, &bias);
    }

    /* Elements along the last axis, from these byte offsets on; where they are not neighbours in memory, piece by piece
     * through buffers in the first-level cache. */
    void run_stretch(const uint32_t *words, int64_t position, int64_t count, const int64_t *offset) const {
        if (contiguous)
            apply(e.nontemporal, words, position, count, place_at(offset));
        else
            run_gathered(words, position, count, offset);
    }

    void run_gathered(const uint32_t *words, int64_t position, int64_t count, const int64_t *offset) const {
        constexpr int64_t PIECE = 256;
        alignas(64) T buffer[3][PIECE], result[PIECE]; /* no register of them crosses a cache line */
        alignas(64) real sums[PIECE];
        for (int64_t done = 0; done < count; done += PIECE) {
            const int64_t piece = smaller(count - done, PIECE);
            for (int k = 0; k < operation.inputs; k++) {
                const int64_t step = e.stride[k + 1][last];
                const char *from = e.data[k + 1] + offset[k + 1] + FD_FAULT(strided_piece, done, 0) * step;
                gather(buffer[k], from, step, piece);
            }
            const int64_t step = e.stride[0][last], sum_step = e.stride[4][last];
            char *to = e.data[0] + offset[0] + done * step;
            char *sum = operation.has_sums ? e.data[4] + offset[4] + done * sum_step : nullptr;
            if (sum) gather(sums, sum, sum_step, piece);
            apply(false, words, position + done, piece, {result, buffer[0], buffer[1], buffer[2], sums});
            scatter(to, step, result, piece);
            if (sum) scatter(sum, sum_step, sums, piece);
        }
    }

    /* Zeros, without reading anything: what is left of a dropped feature map. */
    void clear(int64_t count, int64_t offset) const {
        const int64_t step = e.stride[0][last];
        char *to = e.data[0] + offset;
        if (step != sizeof(T)) {
            for (int64_t i = 0; i < count; i++) *(T *)(to + i * step) = 0;
            return;
        }
        constexpr int N = LANES<real>;
        T *y = (T *)to;
        int64_t i = 0;
        if (e.nontemporal) {
            i = before_aligned<D>(y, count);
            memset(y, 0, (size_t)i * sizeof(T));
            for (; i + N <= count; i += N) D::store_nontemporal(y + i, simd<real>{});
        }
        memset(y + i, 0, (size_t)(count - i - FD_FAULT(cleared_short, 0, 1)) * sizeof(T));
    }

    /* How many elements go first, so that what follows in whole tiles is aligned in y. */
    int64_t first_piece(int64_t count, const int64_t *offset) const {
        return contiguous && count > FD_TILE ? before_aligned<D>((const T *)(e.data[0] + offset[0]), count) : 0;
    }

    /* One keep bit for all of them. */
    void run_shared_bit(bool kept, int64_t count, const int64_t *offset) const {
        if (operation.is_dropout && !kept) {
            clear(count, offset[0]);
            return;
        }
        uint32_t words[FD_TILE_WORDS + 1];
        memset(words, kept ? 0xFF : 0, sizeof words);
        const int64_t first = first_piece(count, offset);
        for (int64_t done = 0, some; done < count; done += some) {
            some = done == 0 && first > 0 ? first : smaller(count - done, FD_TILE);
            run_stretch(words, 0, some, offsets(e, offset, done).at);
        }
    }

    /* Elements along the last axis, each with its own bit. */
    void run_row(uint64_t bit, int64_t count, const int64_t *offset) {
        for (int64_t done = 0, some; done < count; done += some) {
            const offsets here(e, offset, done);
            some = contiguous ? run_pipelined(bit + (uint64_t)done, count - done, here.at, nullptr) : 0;
            if (some > 0) continue;
            int64_t position;
            some = source.next(bit + (uint64_t)done, count - done, &position);
            run_stretch(source.words, position, some, here.at);
        }
    }

    /* The same where neighbours' bits are not neighbours, in a slice of a mask with steps: picked one by one. */
    void run_stepped_bits(uint64_t bit, int64_t count, const int64_t *offset) {
        uint32_t words[FD_TILE_WORDS + 1];
        for (int64_t done = 0; done < count; done += FD_TILE) {
            const int64_t some = smaller(count - done, FD_TILE);
            memset(words, 0, sizeof words);
            for (int64_t i = 0; i < some; i++, bit += FD_FAULT(slice_step, (uint64_t)e.bit_stride[last], 1))
                words[i / 32] |= (uint32_t)source.is_kept(bit) << i % 32;
            run_stretch(words, 0, some, offsets(e, offset, done).at);
        }
    }

    /* Rows that follow one another without a gap and all have the bits from `bit` on, as channels last has them at
     * every position: the row's bits are laid side by side until there are enough for a long run. */
    void run_repeated_rows(uint64_t bit, int64_t columns, int64_t rows, const int64_t *offset) {
        constexpr int MOST = FD_TILE / 2 + FD_TILE; /* a row, and a tile's worth from anywhere in it on */
        uint32_t row[FD_TILE / 2 / 32 + 1] = {0}, words[MOST / 32 + 2] = {0};
        const int64_t count = rows * columns, first = first_piece(count, offset);
        for (int64_t done = 0, some, position; done < columns; done += some) {
            some = source.next(bit + (uint64_t)done, columns - done, &position);
            copy_bits(row, done, source.words, position, some);
        }
        /* side by side from element `first` on, so that a tile's bits begin with a byte where rows are whole bytes */
        for (int64_t done = 0, from = FD_FAULT(repeated_row_start, first % columns, 0), some; done < columns;
             done += some, from = 0) {
            some = smaller(columns - from, columns - done);
            copy_bits(words, done, row, from, some);
        }
        const int64_t needed = columns + smaller(count, FD_TILE), step = smaller(columns, 32);
        for (int64_t done = columns; done < needed; done += step)
            put_bits(words, done, fetch_bits(words, done - columns), smaller(step, needed - done));
        if (first > 0) {
            uint32_t begin[FD_TILE_WORDS + 1] = {0};
            for (int64_t done = 0; done < first; done += columns)
                copy_bits(begin, done, row, 0, smaller(columns, first - done));
            run_stretch(begin, 0, first, offset);
        }
        for (int64_t done = first; done < count; done += FD_TILE)
            run_stretch(words, (done - first) % columns, smaller(count - done, FD_TILE), offsets(e, offset, done).at);
    }
};

template <typename D>
static void elementwise(const fd_elementwise *e, int operation, int64_t begin, int64_t end) {
    elementwise_walk<D>(*e, operation).run(begin, end);
}

} // namespace
