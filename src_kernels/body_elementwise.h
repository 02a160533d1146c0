/* The elementwise operations for one dtype: any strides, decisions shared along any axes.
 *
 * Included once per dtype; body.h lists the macros that differ. Dropped elements are selected away, never multiplied by
 * zero, so that a dropped inf or NaN gives +0.0, or what an operation puts in its place.
 */

/* What is the same for all elements of a call; its numbers in the type that is computed in. */
FD_INLINE MATH(constants) NAME(constants_of)(const fd_elementwise *e) {
    const MATH(constants) with = {(S)FD_FAULT(scale_in_float32, e->scale, (float)e->scale),
                                  (S)FD_FAULT(alpha_shift, e->shift, 0.0), e->prefetch};
    return with;
}

/* The result of one register of elements. */
FD_INLINE V NAME(compute)(fd_operation operation, keep_bits bits, int first, MATH(constants) with, const T *a, const T *b, const T *c,
                          S *sums) {
    if (operation == FD_DROPOUT)
        return FD_FAULT(dropped_times_zero, VEC(keep)(bits, first, LOAD(a) * with.scale),
                        LOAD(a) * VEC(keep)(bits, first, VEC(set)(with.scale)));
    if (operation == FD_DROPOUT_ADD) return VEC(keep)(bits, first, LOAD(a) * with.scale) + LOAD(b);
    if (operation == FD_BIAS_RELU) {
        const V z = LOAD(a) + NEAR(b);
        const V above = FD_FAULT(relu_of_nan, VEC(relu)(z), VEC(choose)(FD_TRUE_MASK(z > 0), z, VEC(set)(0)));
        return VEC(keep)(bits, first, above * with.scale);
    }
    if (operation == FD_BIAS_GELU) return VEC(keep)(bits, first, MATH(gelu)(LOAD(a) + NEAR(b)) * with.scale);
    if (operation == FD_CHOOSE)
        return VEC(either)(bits, first, LOAD(a) * with.scale, FD_FAULT(previous_scaled, LOAD(b), LOAD(b) * with.scale));
    if (operation == FD_ALPHA)
        return VEC(either)(bits, first, LOAD(a), VEC(set)((S)FD_ALPHA_DROPPED)) * with.scale + with.shift;
    const V z = FD_FAULT(backward_without_bias, LOAD(b) + NEAR(c), LOAD(b)), dy = LOAD(a) * with.scale;
    const V dx = VEC(keep)(bits, first, operation == FD_BIAS_RELU_BACKWARD ? VEC(zero_unless_positive)(z, dy)
                                                                   : dy * MATH(gelu_slope)(z));
    VEC(store)(sums, VEC(load)(sums) + FD_FAULT(sums_before_dropping, dx, dy));
    return dx;
}

/* Fewer elements than a register holds: by way of a buffer, so that nothing beside the arrays is touched. */
static void NAME(partial)(fd_operation operation, uint32_t bits, int64_t count, MATH(constants) with, T *y, const T *a, const T *b,
                          const T *c, S *sums) {
    T in[3][LANES] = {{0}}, result[LANES];
    S sum[LANES] = {0};
    count -= FD_FAULT(end_one_short, 0, 1) - FD_FAULT(end_one_long, 0, count < LANES);
    const size_t size = (size_t)count * sizeof(T);
    memcpy(in[0], a, size);
    if (fd_has_second(operation)) memcpy(in[1], b, size);
    if (fd_has_sums(operation)) {
        memcpy(in[2], c, size);
        memcpy(sum, sums, (size_t)count * sizeof *sums);
    }
    STORE(result, NAME(compute)(operation, keep_bits_of(bits), 0, with, in[0], in[1], in[2], sum));
    memcpy(y, result, size);
    if (fd_has_sums(operation)) memcpy(sums, sum, (size_t)count * sizeof *sums);
}

/* Elements before the first address of y that takes a whole register. */
static int64_t NAME(head)(const T *y, int64_t count) {
    const int64_t head = FD_FAULT(alignment_ignored, (int64_t)(-(uintptr_t)y % (LANES * sizeof(T)) / sizeof(T)), 0);
    return head < count ? head : count;
}

/* 32 elements. */
FD_INLINE void NAME(unit)(fd_operation operation, int stream, bit_cursor at, MATH(constants) with, T *y, const T *a,
                          const T *b, const T *c, S *sums) {
    if (FD_FAULT(nothing_prefetched, stream, 0)) {
        fd_prefetch_from(with.prefetch, a, 32 * sizeof(T));
        if (fd_has_second(operation) && !fd_adds_bias(operation)) fd_prefetch_from(with.prefetch, b, 32 * sizeof(T));
    }
    const keep_bits bits = keep_bits_load(at);
#if defined(PAIRS)
    if (operation == FD_DROPOUT) {
        FD_UNROLL_KEEP
        for (int k = 0; k < 32; k += 2 * LANES) {
            const i32v pairs = pairs_keep(bits, k, pairs_times(i32v_load((const int32_t *)(const void *)(a + k)), with.scale));
            if (stream) { /* y is aligned for half a register */
                fd_stream_half(y + k, &pairs);
                fd_stream_half(y + k + LANES, (const char *)&pairs + sizeof pairs / 2);
            } else {
                i32v_store((int32_t *)(void *)(y + k), pairs);
            }
        }
        return;
    }
#endif
    FD_UNROLL_KEEP
    for (int k = 0; k < 32; k += LANES) {
        const V result = NAME(compute)(operation, bits, k, with, a + k, b + k, c + k, sums + k);
        if (stream)
            STREAM(y + k, result);
        else
            STORE(y + k, result);
    }
}

/* Elements that lie side by side in every array; the pointers that an operation does not use point to some other array.
 * `operation` and `stream` are constants where this is inlined. */
FD_INLINE void NAME(run)(fd_operation operation, int stream, const uint32_t *words, int64_t position, int64_t count,
                         MATH(constants) with, T *y, const T *a, const T *b, const T *c, S *sums) {
    int64_t i = 0; /* count: at most a tile */
    if (stream) {
        i = NAME(head)(y, count);
        if (i > 0) NAME(partial)(operation, fd_fetch(words, position), i, with, y, a, b, c, sums);
    }
    uint32_t shifted[FD_TILE_WORDS];
    bit_cursor bits = cursor_at(words, position + i, (count - i) / 32 * 32, shifted);
    for (; i + 32 <= count; i += 32, bits += FD_CURSOR_STEP)
        NAME(unit)(operation, stream, bits, with, y + i, a + i, b + i, c + i, sums + i);
    for (; i < count; i += LANES) {
        const int64_t rest = count - i < LANES ? count - i : LANES;
        NAME(partial)(operation, fd_fetch(words, position + i), rest, with, y + i, a + i, b + i, c + i, sums + i);
    }
}

/* A bias that begins again with every row, for runs over many rows. */
typedef struct {
    const T *base;
    int64_t period, start; /* start: the first element's place in the row */
    T seam[64];   /* the last 32 elements and the first: where 32 begin before a row's end and go on behind it */
    T short_[64]; /* a bias of fewer than 32, several times over */
} NAME(cycle);

static void NAME(cycle_begin)(NAME(cycle) *cycle, const T *bias, int64_t columns, int64_t start) {
    cycle->base = bias;
    cycle->period = columns;
    cycle->start = FD_FAULT(bias_place_in_row, start, 0);
    if (columns < 32) {
        cycle->period = (31 + columns) / columns * columns;
        for (int64_t i = 0; i < cycle->period; i++) cycle->short_[i] = bias[i % columns];
        cycle->base = cycle->short_;
    }
    for (int64_t i = 0; i < 32; i++) {
        cycle->seam[i] = cycle->base[cycle->period - 32 + i];
        cycle->seam[32 + i] = cycle->base[FD_FAULT(bias_seam, i, 31 - i)];
    }
}

/* The place of the next elements in its repetition: apart, so that it stays in registers. */
typedef struct {
    const T *next;
    int64_t left; /* elements to the row's end; less than 1 behind the seam */
} NAME(turn);

FD_INLINE NAME(turn) NAME(turn_at)(const NAME(cycle) *cycle, int64_t left) {
    if (left <= 0) left += cycle->period;
    const NAME(turn) turn = {left < 32 ? cycle->seam + 32 - left : cycle->base + cycle->period - left, left};
    return turn;
}

FD_INLINE const T *NAME(turn_next)(const NAME(cycle) *cycle, NAME(turn) *turn, int64_t step) {
    const T *here = turn->next;
    turn->next += step;
    turn->left -= step;
    if (turn->left < 32) *turn = NAME(turn_at)(cycle, turn->left);
    return here;
}

#if defined(FD_BLOCKS)
/* A long run, pipelined: while one tile's decisions are applied, the next one's are drawn, a few elements between two
 * rounds of Philox, so that arithmetic hides behind memory. Registers of y are aligned, so a tile's end may fall within a
 * unit of 32: the window holds the last word of the tile before, too. Returns how many elements are done, all but a
 * tile or so. */
FD_INLINE int64_t NAME(pipeline)(fd_operation operation, int stream, fd_recipe recipe, uint64_t decision,
                                 int64_t count, MATH(constants) with, T *y, const T *a, const T *b, const T *c, S *sums,
                                 const NAME(cycle) *cycle) {
/* the second input of the next elements: a bias goes its own way, without a cycle it never turns */
#define FD_SECOND(step) (fd_adds_bias(operation) ? NAME(turn_next)(cycle, &turn, step) : b + i)
    NAME(turn) turn = {b, INT64_MAX};
    if (cycle) turn = NAME(turn_at)(cycle, cycle->period - cycle->start);
    enum { WINDOW = 32 + FD_TILE };
    const uint32_t planes = planes_of(recipe), ties_to_settle = has_tail(recipe);
    uint32_t window[FD_TILE_WORDS + 2], shifted[FD_TILE_WORDS + 1], drawn[FD_PLANES][FD_TILE_WORDS], next[FD_TILE_WORDS];
    tie_list ties;
    uint64_t tile = decision / FD_TILE;
    int64_t i = FD_ALIGNS(stream) ? NAME(head)(y, count) : 0, at = 32 + (int64_t)(decision % FD_TILE); /* the bit of element i */
    fill_tile(recipe, tile, window + 1);
    window[0] = window[FD_TILE_WORDS + 1] = 0;
    if (i > 0) {
        const T *second = fd_adds_bias(operation) ? NAME(turn_next)(cycle, &turn, i) : b;
        NAME(partial)(operation, fd_fetch(window, at), i, with, y, a, second, c, sums);
    }
    at += i;
    bit_cursor bits = cursor_at(window, at, (WINDOW - at) / 32 * 32, shifted);
    while (count - i >= WINDOW) {
        const int64_t end = i + (WINDOW - at) / 32 * 32;
        const int64_t quota = ((end - i) / 32 / (FD_STEPS(planes) + 2 * ties_to_settle) + 1) * 32;
        at += end - i;
        tile++;
#define FD_APPLY(until)                                                                                            \
    for (const int64_t stop = (until) < end ? (until) : end; i < stop; i += 32, bits += FD_CURSOR_STEP)            \
        NAME(unit)(operation, stream, bits, with, y + i, a + i, FD_SECOND(32), c + i, sums + i);
        if (FD_FAULT(one_tile_after_another, FD_INTERLEAVES(stream), 0)) {
            FD_DRAW_PLANES(recipe, planes, tile, drawn, FD_APPLY(i + quota))
            compare_planes(recipe, planes, drawn, next, ties.tied);
            if (ties_to_settle) {
                list_ties(&ties);
                FD_APPLY(i + quota) /* what was stored last can be loaded in other pieces only after a while */
                settle_ties(recipe, tile, &ties, next);
            }
        } else {
            fill_tile(recipe, tile, next);
        }
        FD_APPLY(end)
#undef FD_APPLY
        window[0] = FD_FAULT(word_before_tile, window[FD_TILE_WORDS], 0);
        memcpy(window + 1, next, sizeof next);
        at -= FD_TILE;
        bits = (bit_cursor)window + at / 8;
        if (at % FD_BEGIN != 0) {
            shift_tile(window[0], next, (int)at, shifted);
            bits = (bit_cursor)shifted;
        }
    }
    const int64_t end = count - i < WINDOW - at ? count : i + WINDOW - at;
    bits = cursor_at(window, at, (end - i) / 32 * 32, shifted);
    for (; i + 32 <= end; i += 32, at += 32, bits += FD_CURSOR_STEP)
        NAME(unit)(operation, stream, bits, with, y + i, a + i, FD_SECOND(32), c + i, sums + i);
    if (cycle) return i; /* the rest may belong to two rows */
    NAME(run)(operation, 0, window, at, end - i, with, y + i, a + i, b + i, c + i, sums + i);
    return end;
#undef FD_SECOND
}
#endif

/* Without a scale the bits are copied, never multiplied, so that p = 0 returns them (a multiplication by 1 would
 * quieten signalling NaNs). The bit of an element is picked by a constant, which SSE2 can do; gcc made a branch of a
 * choice, and half the elements mispredict it. */
static void NAME(select)(const uint32_t *words, int64_t position, int64_t count, W *y, const W *x) {
    static const W bit[32] = {(W)(1u << 0),  (W)(1u << 1),  (W)(1u << 2),  (W)(1u << 3),  (W)(1u << 4),  (W)(1u << 5),
                              (W)(1u << 6),  (W)(1u << 7),  (W)(1u << 8),  (W)(1u << 9),  (W)(1u << 10), (W)(1u << 11),
                              (W)(1u << 12), (W)(1u << 13), (W)(1u << 14), (W)(1u << 15)};
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const W some = (W)fd_fetch(words, position + i);
        for (int j = 0; j < 16; j++) y[i + j] = (W)(x[i + j] & ((W)0 - (W)((some & bit[j]) != 0)));
    }
    for (; i < count; i++) y[i] = (W)(x[i] & ((W)0 - (W)(fd_fetch(words, position + i) & 1u)));
}

#if defined(FD_BLOCKS)
#define FD_CASE(operation)                                                                                        \
    case operation:                                                                                               \
        return stream ? NAME(pipeline)(operation, 1, recipe, decision, count, with, y, in[0], in[1], in[2], sums, \
                                       cycle)                                                                     \
                      : NAME(pipeline)(operation, 0, recipe, decision, count, with, y, in[0], in[1], in[2], sums, \
                                       cycle)

/* Returns how many elements are done: none where a pipeline would not pay. */
static int64_t NAME(pipelined)(fd_operation operation, int stream, fd_recipe recipe, uint64_t decision, int64_t count,
                               MATH(constants) with, T *y, const T *const in[3], S *sums, const NAME(cycle) *cycle) {
    if (count < 2 * FD_TILE || decision % FD_TILE > FD_TILE / 2 || is_constant(recipe)) return 0;
    if (operation == FD_DROPOUT && with.scale == 1) return 0;
    switch (operation) {
        FD_CASE(FD_DROPOUT);
        FD_CASE(FD_DROPOUT_ADD);
        FD_CASE(FD_BIAS_RELU);
        FD_CASE(FD_BIAS_GELU);
        FD_CASE(FD_CHOOSE);
        FD_CASE(FD_ALPHA);
        FD_CASE(FD_BIAS_RELU_BACKWARD);
        FD_CASE(FD_BIAS_GELU_BACKWARD);
    default: return 0;
    }
}
#undef FD_CASE
#else
static int64_t NAME(pipelined)(fd_operation operation, int stream, fd_recipe recipe, uint64_t decision, int64_t count,
                               MATH(constants) with, T *y, const T *const in[3], S *sums, const NAME(cycle) *cycle) {
    (void)operation, (void)stream, (void)recipe, (void)decision, (void)count, (void)with, (void)y, (void)in, (void)sums;
    (void)cycle;
    return 0;
}
#endif

#define FD_CASE(operation)                                                                       \
    case operation:                                                                              \
        if (stream)                                                                              \
            NAME(run)(operation, 1, words, position, count, with, y, in[0], in[1], in[2], sums); \
        else                                                                                     \
            NAME(run)(operation, 0, words, position, count, with, y, in[0], in[1], in[2], sums); \
        break

static void NAME(contiguous)(fd_operation operation, int stream, const uint32_t *words, int64_t position,
                             int64_t count, MATH(constants) with, T *y, const T *const in[3], S *sums) {
    if (operation == FD_DROPOUT && FD_FAULT(unscaled_multiplied, with.scale == 1, 0)) {
        NAME(select)(words, position, count, (W *)y, (const W *)in[0]);
        return;
    }
    switch (operation) {
        FD_CASE(FD_DROPOUT);
        FD_CASE(FD_DROPOUT_ADD);
        FD_CASE(FD_BIAS_RELU);
        FD_CASE(FD_BIAS_GELU);
        FD_CASE(FD_CHOOSE);
        FD_CASE(FD_ALPHA);
        FD_CASE(FD_BIAS_RELU_BACKWARD);
        FD_CASE(FD_BIAS_GELU_BACKWARD);
    default: break;
    }
}
#undef FD_CASE

/* Whether neighbours along the last axis are neighbours in memory, in every array. */
static int NAME(is_contiguous)(const fd_elementwise *e, fd_operation operation) {
    const int last = e->ndim - 1, elements = e->operands - fd_has_sums(operation);
    for (int k = 0; k < e->operands; k++)
        if (e->stride[k][last] != (int64_t)(k < elements ? sizeof(T) : sizeof(S))) return 0;
    return 1;
}

/* Typed pointers to a place in the arrays; those that an operation does not use point to y. */
typedef struct {
    T *y;
    const T *in[3];
    S *sums;
} NAME(place);

FD_INLINE NAME(place) NAME(place_at)(const fd_elementwise *e, fd_operation operation, const int64_t *offset) {
    const int sums = fd_has_sums(operation), inputs = e->operands - 1 - sums;
    NAME(place) at;
    at.y = (T *)(e->data[0] + offset[0]);
    for (int k = 0; k < 3; k++) at.in[k] = k < inputs ? (const T *)(e->data[k + 1] + offset[k + 1]) : at.y;
    at.sums = sums ? (S *)(e->data[4] + offset[4]) : (S *)(void *)at.y;
    return at;
}

/* Elements along the last axis, from these byte offsets on; where they are not neighbours in memory, piece by piece
 * through buffers in the first-level cache. */
static void NAME(stretch)(const fd_elementwise *e, fd_operation operation, int contiguous, const uint32_t *words,
                          int64_t position, int64_t count, const int64_t *offset) {
    const int has_sums = fd_has_sums(operation), inputs = e->operands - 1 - has_sums, last = e->ndim - 1;
    if (contiguous) {
        const NAME(place) at = NAME(place_at)(e, operation, offset);
        NAME(contiguous)(operation, e->stream, words, position, count, NAME(constants_of)(e), at.y, at.in, at.sums);
        return;
    }
    const T *in[3];
    enum { PIECE = 256 };
    T buffer[3][PIECE], result[PIECE];
    S sums[PIECE];
    for (int k = 0; k < 3; k++) in[k] = buffer[k];
    for (int64_t done = 0; done < count; done += PIECE) {
        const int64_t piece = count - done < PIECE ? count - done : PIECE;
        for (int k = 0; k < inputs; k++) {
            const char *from = e->data[k + 1] + offset[k + 1] + FD_FAULT(strided_piece, done, 0) * e->stride[k + 1][last];
            for (int64_t i = 0; i < piece; i++) buffer[k][i] = *(const T *)(from + i * e->stride[k + 1][last]);
        }
        char *to = e->data[0] + offset[0] + done * e->stride[0][last];
        char *sum = has_sums ? e->data[4] + offset[4] + done * e->stride[4][last] : 0;
        for (int64_t i = 0; sum && i < piece; i++) sums[i] = *(const S *)(sum + i * e->stride[4][last]);
        NAME(contiguous)(operation, 0, words, position + done, piece, NAME(constants_of)(e), result, in, sums);
        for (int64_t i = 0; i < piece; i++) *(T *)(to + i * e->stride[0][last]) = result[i];
        for (int64_t i = 0; sum && i < piece; i++) *(S *)(sum + i * e->stride[4][last]) = sums[i];
    }
}

/* Zeros, without reading anything: what is left of a dropped feature map. */
static void NAME(clear)(const fd_elementwise *e, int64_t count, int64_t offset) {
    const int64_t step = e->stride[0][e->ndim - 1];
    char *to = e->data[0] + offset;
    if (step != sizeof(T)) {
        for (int64_t i = 0; i < count; i++) *(T *)(to + i * step) = 0;
        return;
    }
    T *y = (T *)to;
    int64_t i = 0;
    if (e->stream) {
        const V zero = {0};
        i = NAME(head)(y, count);
        memset(y, 0, (size_t)i * sizeof(T));
        for (; i + LANES <= count; i += LANES) STREAM(y + i, zero);
    }
    memset(y + i, 0, (size_t)(count - i - FD_FAULT(cleared_short, 0, 1)) * sizeof(T));
}

/* How many elements go first, so that what follows in whole tiles is aligned in y. */
static int64_t NAME(before_aligned)(const fd_elementwise *e, int contiguous, int64_t count, const int64_t *offset) {
    return contiguous && count > FD_TILE ? NAME(head)((const T *)(e->data[0] + offset[0]), count) : 0;
}

/* One decision for all of them. */
static void NAME(shared)(const fd_elementwise *e, fd_operation operation, int contiguous, int keep, int64_t count,
                         const int64_t *offset) {
    if (operation == FD_DROPOUT && !keep) {
        NAME(clear)(e, count, offset[0]);
        return;
    }
    uint32_t words[FD_TILE_WORDS + 1];
    int64_t at[FD_MAX_OPERANDS];
    memset(words, keep ? 0xFF : 0, sizeof words);
    const int64_t first = NAME(before_aligned)(e, contiguous, count, offset);
    for (int64_t done = 0, some; done < count; done += some) {
        some = done == 0 && first > 0 ? first : count - done < FD_TILE ? count - done : FD_TILE;
        for (int k = 0; k < e->operands; k++) at[k] = offset[k] + done * e->stride[k][e->ndim - 1];
        NAME(stretch)(e, operation, contiguous, words, 0, some, at);
    }
}

/* Elements along the last axis with decisions of their own. */
static void NAME(row)(const fd_elementwise *e, fd_operation operation, int contiguous, bit_source *source,
                      uint64_t decision, int64_t count, const int64_t *offset) {
    int64_t at[FD_MAX_OPERANDS], position;
    for (int64_t done = 0; done < count;) {
        for (int k = 0; k < e->operands; k++) at[k] = offset[k] + done * e->stride[k][e->ndim - 1];
        const NAME(place) here = NAME(place_at)(e, operation, at);
        const int64_t piped = contiguous ? NAME(pipelined)(operation, e->stream, e->recipe, decision + (uint64_t)done,
                                                           count - done, NAME(constants_of)(e), here.y, here.in, here.sums, 0)
                                         : 0;
        done += piped;
        if (piped > 0) continue;
        const int64_t some = next_bits(source, decision + (uint64_t)done, count - done, &position);
        NAME(stretch)(e, operation, contiguous, source->keep, position, some, at);
        done += some;
    }
}

/* The same where neighbours' decisions are not neighbours, in a mask's window with steps: picked one by one. */
static void NAME(stepped)(const fd_elementwise *e, fd_operation operation, int contiguous, bit_source *source,
                          uint64_t decision, int64_t count, const int64_t *offset) {
    const int last = e->ndim - 1;
    uint32_t words[FD_TILE_WORDS + 1];
    int64_t at[FD_MAX_OPERANDS];
    for (int64_t done = 0; done < count; done += FD_TILE) {
        const int64_t some = count - done < FD_TILE ? count - done : FD_TILE;
        memset(words, 0, sizeof words);
        for (int64_t i = 0; i < some; i++, decision += FD_FAULT(window_step, (uint64_t)e->decision_stride[last], 1))
            words[i / 32] |= (uint32_t)keep_one(source, decision) << i % 32;
        for (int k = 0; k < e->operands; k++) at[k] = offset[k] + done * e->stride[k][last];
        NAME(stretch)(e, operation, contiguous, words, 0, some, at);
    }
}

/* Rows that follow one another without a gap and all have the decisions from `decision` on, as channels last has them at
 * every position: the row's bits are laid side by side until there are enough for a long run. */
static void NAME(repeated)(const fd_elementwise *e, fd_operation operation, bit_source *source, uint64_t decision,
                           int64_t columns, int64_t rows, const int64_t *offset) {
    enum { MOST = FD_TILE / 2 + FD_TILE }; /* a row, and a tile's worth from anywhere in it on */
    uint32_t row[FD_TILE / 2 / 32 + 1] = {0}, words[MOST / 32 + 2] = {0};
    const int64_t count = rows * columns, first = NAME(before_aligned)(e, 1, count, offset);
    const int64_t wanted = columns + (count < FD_TILE ? count : FD_TILE);
    int64_t at[FD_MAX_OPERANDS];
    for (int64_t done = 0, position; done < columns;) {
        const int64_t some = next_bits(source, decision + (uint64_t)done, columns - done, &position);
        copy_bits(row, done, source->keep, position, some);
        done += some;
    }
    /* side by side from element `first` on, so that a tile's bits begin with a byte where rows are whole bytes */
    for (int64_t done = 0, from = FD_FAULT(repeated_row_start, first % columns, 0), some; done < columns;
         done += some, from = 0) {
        some = columns - from < columns - done ? columns - from : columns - done;
        copy_bits(words, done, row, from, some);
    }
    const int64_t step = columns < 32 ? columns : 32;
    for (int64_t done = columns; done < wanted; done += step)
        put_bits(words, done, fd_fetch(words, done - columns), step < wanted - done ? step : wanted - done);
    if (first > 0) {
        uint32_t begin[FD_TILE_WORDS + 1] = {0};
        for (int64_t done = 0; done < first; done += columns)
            copy_bits(begin, done, row, 0, columns < first - done ? columns : first - done);
        NAME(stretch)(e, operation, 1, begin, 0, first, offset);
    }
    for (int64_t done = first; done < count; done += FD_TILE) {
        for (int k = 0; k < e->operands; k++) at[k] = offset[k] + done * e->stride[k][e->ndim - 1];
        NAME(stretch)(e, operation, 1, words, (done - first) % columns, count - done < FD_TILE ? count - done : FD_TILE,
                      at);
    }
}

static void NAME(elementwise)(const fd_elementwise *e, fd_operation operation, int64_t begin, int64_t end) {
    const int last = e->ndim - 1, contiguous = NAME(is_contiguous)(e, operation);
    int64_t index[FD_MAX_DIMS], offset[FD_MAX_OPERANDS] = {0}, rest = begin;
    int64_t decision = (int64_t)FD_FAULT(window_first, e->first, 0);
    int repeats = contiguous && last > 0 && e->decision_stride[last] == 1 && e->decision_stride[last - 1] == 0 &&
                  e->shape[last] <= FD_TILE / 2;
    for (int k = 0; repeats && k < e->operands; k++)
        repeats = e->stride[k][last - 1] == e->stride[k][last] * e->shape[last];
    bit_source source;
    open_source(&source, e->recipe);
    if (fd_adds_bias(operation) && e->ndim == 2 && contiguous && e->decision_stride[1] == 1 &&
        e->decision_stride[0] == e->shape[1] && e->stride[0][0] == e->shape[1] * e->stride[0][1] &&
        e->stride[1][0] == e->shape[1] * e->stride[1][1] && e->stride[2][0] == 0) {
        /* rows of one bias, without gaps: one long run */
        const int64_t at[FD_MAX_OPERANDS] = {begin * e->stride[0][1], begin * e->stride[1][1]};
        const NAME(place) here = NAME(place_at)(e, operation, at);
        NAME(cycle) cycle;
        NAME(cycle_begin)(&cycle, here.in[1], e->shape[1], begin % e->shape[1]);
        begin += NAME(pipelined)(operation, e->stream, e->recipe, e->first + (uint64_t)begin, end - begin, NAME(constants_of)(e),
                                 here.y, here.in, here.sums, &cycle);
        rest = begin;
    }
    for (int axis = last; axis >= 0; axis--) {
        index[axis] = rest % e->shape[axis];
        rest /= e->shape[axis];
        decision += index[axis] * e->decision_stride[axis];
        for (int k = 0; k < e->operands; k++) offset[k] += index[axis] * e->stride[k][axis];
    }
    while (begin < end) {
        const int64_t row_left = e->shape[last] - index[last];
        int64_t count = end - begin < row_left ? end - begin : row_left, rows = 1;
        if (repeats && index[last] == 0) {
            const int64_t whole = (end - begin) / e->shape[last], left = e->shape[last - 1] - index[last - 1];
            rows = whole < left ? whole : left;
        }
        if (repeats && rows > 1)
            NAME(repeated)(e, operation, &source, (uint64_t)decision, count, rows, offset);
        else if (e->decision_stride[last] == 0)
            NAME(shared)(e, operation, contiguous, keep_one(&source, (uint64_t)decision), count, offset);
        else if (e->decision_stride[last] == 1)
            NAME(row)(e, operation, contiguous, &source, (uint64_t)decision, count, offset);
        else
            NAME(stepped)(e, operation, contiguous, &source, (uint64_t)decision, count, offset);
        rows = rows > 1 ? rows : 1;
        begin += rows * count;
        if (begin >= end) break;
        /* to the start of the next row: from wherever the last one began, the odometer's next axis moves on */
        decision -= index[last] * e->decision_stride[last];
        for (int k = 0; k < e->operands; k++) offset[k] -= index[last] * e->stride[k][last];
        index[last] = 0;
        for (int axis = last - 1; axis >= 0; axis--) {
            const int64_t step = axis == last - 1 ? rows : 1;
            index[axis] += step;
            decision += step * e->decision_stride[axis];
            for (int k = 0; k < e->operands; k++) offset[k] += step * e->stride[k][axis];
            if (index[axis] < e->shape[axis]) break;
            decision -= FD_FAULT(axis_carry, index[axis], index[axis] - 1) * e->decision_stride[axis];
            for (int k = 0; k < e->operands; k++) offset[k] -= index[axis] * e->stride[k][axis];
            index[axis] = 0;
        }
    }
    if (e->stream) fd_stream_end();
}
