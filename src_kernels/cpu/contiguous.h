/* An elementwise operation on elements that lie side by side in every array, each with its own keep bit.
 *
 * Units of 32 elements, whose keep bits are loaded at once; then registers and a rest. Long runs are pipelined: drawn
 * while they are applied.
 */

namespace {

/* The numbers of a call, in the type that is computed in. */
template <typename real>
struct constants {
    affine<real> by;
    fd_prefetch prefetch;
};

/* A place in the arrays; pointers that an operation does not use point to y. */
template <typename D>
struct place {
    typedef typename D::stored T;
    T *y;
    const T *a, *b, *c;
    typename D::real *sums;

    FD_INLINE place at(const place &base, int64_t i) {
        return {base.y + i, base.a + i, base.b + i, base.c + i, base.sums + i};
    }
};

/* The results of one register of elements; where the operation has sums, they are added to them. */
template <typename D, typename Op>
FD_INLINE simd<typename D::real> compute(kept_lanes kept, const constants<typename D::real> &with, const place<D> &at,
                                         int k) {
    if constexpr (Op::inputs == 1) {
        return Op::apply(kept, with.by, D::load(at.a + k));
    } else if constexpr (Op::inputs == 2) {
        const auto second = Op::has_bias ? D::load_cached(at.b + k) : D::load(at.b + k);
        return Op::apply(kept, with.by, D::load(at.a + k), second);
    } else {
        const auto result = Op::apply(kept, with.by, D::load(at.a + k), D::load(at.b + k), D::load_cached(at.c + k));
        static_assert(Op::has_sums && Op::has_bias, "three inputs: a gradient, x and a bias");
        store(at.sums + k, load(at.sums + k) + FD_FAULT(sums_before_dropping, result, D::load(at.a + k)));
        return result;
    }
}

/* Fewer elements than a register holds: by way of a buffer, so that nothing beside the arrays is touched. */
template <typename D, typename Op>
static void apply_partial(uint32_t bits, int64_t count, const constants<typename D::real> &with, const place<D> &at) {
    typedef typename D::stored T;
    constexpr int N = LANES<typename D::real>;
    T in[3][N] = {}, result[N];
    typename D::real sums[N] = {};
    count -= FD_FAULT(end_one_short, 0, 1) - FD_FAULT(end_one_long, 0, count < N);
    const size_t size = (size_t)count * sizeof(T);
    memcpy(in[0], at.a, size);
    if (Op::inputs > 1) memcpy(in[1], at.b, size);
    if (Op::inputs > 2) memcpy(in[2], at.c, size);
    if (Op::has_sums) memcpy(sums, at.sums, (size_t)count * sizeof *sums);
    D::store(result, compute<D, Op>({keep_bits_of(bits), 0}, with, place<D>{result, in[0], in[1], in[2], sums}, 0));
    memcpy(at.y, result, size);
    if (Op::has_sums) memcpy(at.sums, sums, (size_t)count * sizeof *sums);
}

/* Elements before the first address of y that takes a whole register. */
template <typename D>
FD_INLINE int64_t before_aligned(const typename D::stored *y, int64_t count) {
    constexpr size_t bytes = LANES<typename D::real> * sizeof *y;
    const int64_t head = FD_FAULT(alignment_ignored, (int64_t)(-(uintptr_t)y % bytes / sizeof *y), 0);
    return head < count ? head : count;
}

template <typename D, typename Op, bool NONTEMPORAL>
FD_INLINE void apply_unit(bit_cursor bits, const constants<typename D::real> &with, const place<D> &at) {
    constexpr int N = LANES<typename D::real>;
    constexpr size_t bytes = UNIT * sizeof *at.y;
    if (FD_FAULT(nothing_prefetched, NONTEMPORAL, 0)) {
        prefetch_after(with.prefetch, at.a, bytes);
        if (Op::inputs > 1 && !(Op::inputs == 2 && Op::has_bias)) prefetch_after(with.prefetch, at.b, bytes);
    }
    const keep_bits keep = load_keep_bits(bits);
#if defined(FD_HAS_PAIRS)
    if constexpr (D::has_pairs && is_same<Op, op::dropout>) {
        FD_UNROLL_KEEP
        for (int k = 0; k < UNIT; k += 2 * N) {
            const simd<int32_t> scaled = scale_pairs(load((const int32_t *)(const void *)(at.a + k)), with.by.scale);
            const simd<int32_t> pairs = zero_pairs_unless({keep, k}, scaled);
            if (NONTEMPORAL) { /* y is aligned for half a register */
                store_nontemporal_half(at.y + k, &pairs);
                store_nontemporal_half(at.y + k + N, (const char *)&pairs + sizeof pairs / 2);
            } else {
                store((int32_t *)(void *)(at.y + k), pairs);
            }
        }
        return;
    }
#endif
    FD_UNROLL_KEEP
    for (int k = 0; k < UNIT; k += N) {
        const auto result = compute<D, Op>({keep, k}, with, at, k);
        if (NONTEMPORAL)
            D::store_nontemporal(at.y + k, result);
        else
            D::store(at.y + k, result);
    }
}

/* `count` elements, at most a tile, whose bits are in `words` from `position` on. */
template <typename D, typename Op, bool NONTEMPORAL>
FD_INLINE void apply_run_inline(const uint32_t *words, int64_t position, int64_t count,
                                constants<typename D::real> with, place<D> base) {
    constexpr int N = LANES<typename D::real>;
    int64_t i = 0;
    if (NONTEMPORAL) {
        i = before_aligned<D>(base.y, count);
        if (i > 0) apply_partial<D, Op>(fetch_bits(words, position), i, with, base);
    }
    uint32_t shifted[FD_TILE_WORDS];
    bit_cursor bits = cursor_at(words, position + i, (count - i) / UNIT * UNIT, shifted);
    for (; i + UNIT <= count; i += UNIT, bits += CURSOR_STEP)
        apply_unit<D, Op, NONTEMPORAL>(bits, with, place<D>::at(base, i));
    for (; i < count; i += N) {
        const int64_t rest = count - i < N ? count - i : N;
        apply_partial<D, Op>(fetch_bits(words, position + i), rest, with, place<D>::at(base, i));
    }
}

template <typename D, typename Op, bool NONTEMPORAL>
static void apply_run(const uint32_t *words, int64_t position, int64_t count, const constants<typename D::real> &with,
                      const place<D> &base) {
    apply_run_inline<D, Op, NONTEMPORAL>(words, position, count, with, base);
}

/* Dropout without a scale: the bits are copied, never multiplied, so that p = 0 returns them (a multiplication by 1
 * would quieten signalling NaNs). The bit of an element is picked by a constant, which SSE2 can do; gcc made a branch
 * of a choice, and half the elements mispredict it. */
template <typename W>
static void select_run(const uint32_t *words, int64_t position, int64_t count, W *y, const W *x) {
    static const W bit[16] = {1 << 0, 1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                              1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const W some = (W)fetch_bits(words, position + i);
        for (int j = 0; j < 16; j++) y[i + j] = (W)(x[i + j] & ((W)0 - (W)((some & bit[j]) != 0)));
    }
    for (; i < count; i++) y[i] = (W)(x[i] & ((W)0 - (W)(fetch_bits(words, position + i) & 1u)));
}

/* ---- a bias that begins again with every row, for runs over many rows ---- */

template <typename T>
struct periodic_bias {
    const T *base;
    int64_t period, start;  /* start: the first element's place in the row */
    T wraparound[2 * UNIT]; /* the last 32 elements and the first: for units that cross a row's end */
    T repeated[2 * UNIT];   /* a bias of fewer than 32, several times over */

    periodic_bias(const T *bias, int64_t columns, int64_t first)
        : base(bias), period(columns), start(FD_FAULT(bias_place_in_row, first, 0)) {
        if (columns < UNIT) {
            period = (UNIT - 1 + columns) / columns * columns;
            for (int64_t i = 0; i < period; i++) repeated[i] = bias[i % columns];
            base = repeated;
        }
        for (int64_t i = 0; i < UNIT; i++) {
            wraparound[i] = base[period - UNIT + i];
            wraparound[UNIT + i] = base[FD_FAULT(bias_wraparound, i, UNIT - 1 - i)];
        }
    }
};

/* The bias of the next elements: apart, so that it stays in registers. */
template <typename T>
struct bias_cursor {
    const T *next;
    int64_t left; /* elements to the row's end; less than 1 behind a wraparound */

    FD_INLINE bias_cursor at(const periodic_bias<T> &bias, int64_t left) {
        if (left <= 0) left += bias.period;
        return {left < UNIT ? bias.wraparound + UNIT - left : bias.base + bias.period - left, left};
    }

    FD_INLINE const T *advance(bias_cursor &cursor, const periodic_bias<T> *bias, int64_t step) {
        const T *here = cursor.next;
        cursor.next += step;
        cursor.left -= step;
        if (cursor.left < UNIT) cursor = at(*bias, cursor.left);
        return here;
    }
};

/* ---- long runs ---- */

#if defined(FD_COUNTERS)
/* Applies units one after the other, wherever the pipeline has time for some. */
template <typename D, typename Op, bool NONTEMPORAL>
struct applying {
    typedef typename D::stored T;
    const constants<typename D::real> with;
    const place<D> base;
    const periodic_bias<T> *bias; /* null: there is none, or it does not repeat, and the cursor never comes to an end */
    bias_cursor<T> cursor;
    bit_cursor bits;
    int64_t i; /* elements done */

    FD_INLINE place<D> take(applying &s, int64_t step) {
        place<D> here = place<D>::at(s.base, s.i);
        if constexpr (Op::inputs == 2 && Op::has_bias) here.b = bias_cursor<T>::advance(s.cursor, s.bias, step);
        s.i += step;
        return here;
    }
    /* Whole units, until element `stop` is reached. */
    FD_INLINE void until(applying &s, int64_t stop) {
        for (; s.i < stop; s.bits += CURSOR_STEP) apply_unit<D, Op, NONTEMPORAL>(s.bits, s.with, take(s, UNIT));
    }
};

/* A long run, pipelined: while one tile's bits are applied, the next one's are drawn, some units between two planes, so
 * that arithmetic hides behind memory. Registers of y are aligned, so a tile's end may fall within a unit: the words at
 * hand begin with the last word of the tile before. Returns how many elements are done, all but a tile or so. */
template <typename D, typename Op, bool NONTEMPORAL>
static int64_t apply_pipelined(fd_dropout_mask mask, uint64_t first_bit, int64_t count,
                               const constants<typename D::real> &with, const place<D> &base,
                               const periodic_bias<typename D::stored> *bias) {
    constexpr int64_t WINDOW = 32 + FD_TILE; /* bits at hand */
    const uint32_t planes = planes_of(mask);
    const bool has_ties = has_tail(mask);
    uint32_t words[FD_TILE_WORDS + 2], shifted[FD_TILE_WORDS + 1], drawn[FD_PLANES][FD_TILE_WORDS], next[FD_TILE_WORDS];
    tie_list ties;
    uint64_t tile = first_bit / FD_TILE;
    int64_t position = 32 + (int64_t)(first_bit % FD_TILE); /* in `words`, of the next element's bit */
    typedef applying<D, Op, NONTEMPORAL> state;
    state s = {with, base, bias, {base.b, INT64_MAX}, nullptr, 0};
    if (bias) s.cursor = bias_cursor<typename D::stored>::at(*bias, bias->period - bias->start);
    fill_tile(mask, tile, words + 1);
    words[0] = words[FD_TILE_WORDS + 1] = 0;
    const int64_t head = aligns(NONTEMPORAL) ? before_aligned<D>(base.y, count) : 0;
    if (head > 0) apply_partial<D, Op>(fetch_bits(words, position), head, with, state::take(s, head));
    position += head;
    s.bits = cursor_at(words, position, (WINDOW - position) / UNIT * UNIT, shifted);
    while (count - s.i >= WINDOW) {
        const int64_t end = s.i + (WINDOW - position) / UNIT * UNIT;
        const int64_t quota = ((end - s.i) / UNIT / (MEANWHILES_PER_PLANE * planes + 2 * has_ties) + 1) * UNIT;
        const auto some_units = [&] { state::until(s, s.i + quota < end ? s.i + quota : end); };
        position += end - s.i;
        tile++;
        if (FD_FAULT(one_tile_after_another, interleaves(NONTEMPORAL), 0)) {
            draw_planes_and(mask.draw, planes, tile, drawn, some_units);
            compare_planes(mask, planes, drawn, next, ties.tied);
            if (has_ties) {
                list_ties(&ties);
                some_units(); /* vector loads wait for the narrow stores before them */
                settle_ties(mask, tile, &ties, next);
            }
        } else {
            fill_tile(mask, tile, next);
        }
        state::until(s, end);
        words[0] = FD_FAULT(word_before_tile, words[FD_TILE_WORDS], 0);
        memcpy(words + 1, next, sizeof next);
        position -= FD_TILE;
        s.bits = (bit_cursor)words + position / 8;
        if (position % CURSOR_UNIT != 0) {
            shift_tile(words[0], next, (int)position, shifted);
            s.bits = (bit_cursor)shifted;
        }
    }
    const int64_t end = count - s.i < WINDOW - position ? count : s.i + WINDOW - position;
    const int64_t units = (end - s.i) / UNIT * UNIT;
    s.bits = cursor_at(words, position, units, shifted);
    state::until(s, s.i + units);
    position += units;
    if (bias) return s.i; /* the rest may belong to two rows */
    apply_run<D, Op, false>(words, position, end - s.i, with, place<D>::at(base, s.i));
    return end;
}
#endif

/* ---- all operations ---- */

/* The functions of one operation for one dtype; by index whether stores are non-temporal. */
template <typename D>
struct operation_functions {
    typedef typename D::real real;
    typedef void apply_run_function(const uint32_t *, int64_t, int64_t, const constants<real> &, const place<D> &);
    typedef int64_t apply_pipelined_function(fd_dropout_mask, uint64_t, int64_t, const constants<real> &,
                                             const place<D> &, const periodic_bias<typename D::stored> *);
    int inputs;
    bool has_bias, has_sums, is_dropout;
    apply_run_function *apply_run[2];
    apply_pipelined_function *apply_pipelined[2]; /* null where nothing is drawn on vectors */
};

template <typename D, typename Op>
constexpr operation_functions<D> functions_of() {
    return {
        Op::inputs,
        Op::has_bias,
        Op::has_sums,
        is_same<Op, op::dropout>,
        {apply_run<D, Op, false>, apply_run<D, Op, true>},
#if defined(FD_COUNTERS)
        {apply_pipelined<D, Op, false>, apply_pipelined<D, Op, true>},
#else
        {nullptr, nullptr},
#endif
    };
}

template <typename D, typename Operations>
struct operation_table;
template <typename D, typename... Ops>
struct operation_table<D, op::list<Ops...>> {
    static constexpr operation_functions<D> rows[] = {functions_of<D, Ops>()...};
};

} // namespace
