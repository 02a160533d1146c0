/* The keep bits of a tile, and of any run of elements. */

namespace {

/* 32 bits from bit `position` on, of which at least the first is in the words: the word behind the last one may be
 * read.
 */
FD_INLINE uint32_t fetch_bits(const uint32_t *words, int64_t position) {
    const uint32_t *at = words + (uint64_t)position / 32;
    return (uint32_t)((at[0] | (uint64_t)at[1] << 32) >> (uint32_t)position % 32);
}

/* Where a loop finds 32 bits at a time: their first one begins a byte, or on big-endian machines a word. */
typedef const unsigned char *bit_cursor;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr int CURSOR_UNIT = 32; /* bits at whose multiples a cursor can begin */
#else
constexpr int CURSOR_UNIT = 8;
#endif
constexpr int CURSOR_STEP = 4; /* bytes of 32 bits */

/* A cursor to bit `position`; where no byte begins there, to a copy of `count` bits in `buffer`. */
FD_INLINE bit_cursor cursor_at(const uint32_t *words, int64_t position, int64_t count, uint32_t *buffer) {
    const uint32_t shift = (uint32_t)position % 32;
    words += position / 32;
    if (FD_FAULT(cursor_within_byte, shift % CURSOR_UNIT == 0, 1)) return (bit_cursor)words + shift / 8;
    for (int64_t k = 0; k < (count + 31) / 32; k++) buffer[k] = words[k] >> shift | words[k + 1] << (32 - shift);
    return (bit_cursor)buffer;
}

/* A tile's words, from bit `shift` of the word before it on, 1 to 31. By loads of what was stored as it was stored:
 * pieces of two stores would have to wait for both (8 ns a tile on Zen 4). */
#if !defined(FD_HAS_SHIFT)
FD_INLINE void shift_tile(uint32_t before, const uint32_t tile[FD_TILE_WORDS], int shift,
                          uint32_t shifted[FD_TILE_WORDS]) {
    for (int k = 0; k < FD_TILE_WORDS; k++) {
        shifted[k] = before >> shift | tile[k] << (32 - shift);
        before = tile[k];
    }
}
#endif

/* The other way round: the first `count` of 32 bits to bit `at` on; bits behind them may change, bits before not. */
FD_INLINE void put_bits(uint32_t *words, int64_t at, uint32_t bits, int64_t count) {
    const int64_t shift = at % 32;
    const uint32_t below = ((uint32_t)1 << shift) - 1;
    words[at / 32] = (words[at / 32] & below) | bits << shift;
    if (shift + (count < 32 ? count : 32) > FD_FAULT(bits_over_a_word, 32, 33))
        words[at / 32 + 1] = bits >> (32 - shift);
}

/* `count` bits from one place to another. */
static void copy_bits(uint32_t *words, int64_t at, const uint32_t *from, int64_t position, int64_t count) {
    if (at % 32 == 0 && position % 32 == 0)
        memcpy(words + at / 32, from + position / 32,
               (size_t)((count + FD_FAULT(copied_bits_short, 31, 0)) / 32) * sizeof *words);
    else
        for (int64_t i = 0; i < count; i += 32) put_bits(words, at + i, fetch_bits(from, position + i), count - i);
}

static bool is_constant(fd_dropout_mask mask) {
    return FD_FAULT(none_drawn, mask.threshold == 0, 0) || FD_FAULT(all_drawn, mask.threshold >= FD_KEEP_ALL, 0);
}

/* How many planes are drawn: from the most significant down to the threshold's lowest set bit, below which no U can
 * still become smaller. */
static uint32_t planes_of(fd_dropout_mask mask) {
    uint32_t planes = 1;
    while (planes < FD_PLANES && mask.threshold << (64 - FD_THRESHOLD_BITS + planes) != 0) planes++;
    return planes + FD_FAULT(plane_more, 0, planes < FD_PLANES) - FD_FAULT(plane_missing, 0, planes > 1);
}

/* The comparison, plane by plane, four registers at a time. */
static void compare_planes(fd_dropout_mask mask, uint32_t planes, uint32_t bits[][FD_TILE_WORDS],
                           uint32_t keep[FD_TILE_WORDS], uint32_t tied[FD_TILE_WORDS]) {
    constexpr int WORDS = LANES<int32_t>;
    for (int word = 0; word < FD_TILE_WORDS; word += 4 * WORDS) {
        simd<int32_t> kept[4], left[4];
        for (int k = 0; k < 4; k++) kept[k] = all_lanes(0), left[k] = all_lanes(-1);
        for (uint32_t plane = 0; plane < planes; plane++) {
            const int32_t *row = (const int32_t *)bits[plane] + word;
            if (mask.threshold >> (FD_THRESHOLD_BITS - 1 - plane) & 1)
                for (int k = 0; k < 4; k++) {
                    const simd<int32_t> bit = load(row + k * WORDS);
                    kept[k] |= left[k] & ~bit;
                    left[k] &= bit;
                }
            else
                for (int k = 0; k < 4; k++) left[k] &= ~load(row + k * WORDS);
        }
        for (int k = 0; k < 4; k++) {
            store((int32_t *)keep + word + k * WORDS, kept[k]);
            store((int32_t *)tied + word + k * WORDS, left[k]);
        }
    }
}

static bool has_tail(fd_dropout_mask mask) { return FD_FAULT(tail_ignored, (uint32_t)mask.threshold != 0, 0); }

/* On its own, not inlined: within a caller's loops gcc vectorised it worse (twice the time for SSE2). */
FD_NOINLINE static void fill_tile(fd_dropout_mask mask, uint64_t tile, uint32_t keep[FD_TILE_WORDS]) {
    if (is_constant(mask)) {
        memset(keep, mask.threshold == 0 ? 0 : 0xFF, FD_TILE_WORDS * sizeof *keep);
        return;
    }
    uint32_t bits[FD_PLANES][FD_TILE_WORDS];
    const uint32_t planes = planes_of(mask);
    tie_list ties;
    draw_planes(mask.draw, planes, tile, bits);
    compare_planes(mask, planes, bits, keep, ties.tied);
    if (!has_tail(mask)) return;
    list_ties(&ties);
    settle_ties(mask, tile, &ties, keep);
}

/* Hands out keep bits by their indices, a tile at a time: runs that follow one another, however short, fill each tile
 * once. */
struct bit_source {
    fd_dropout_mask mask;
    uint64_t tile;
    uint32_t words[FD_TILE_WORDS + 1]; /* of the tile; one word more may be read, not used: see fetch_bits */

    explicit bit_source(fd_dropout_mask of) : mask(of), tile(UINT64_MAX) { words[FD_TILE_WORDS] = 0; }

    void seek(uint64_t wanted) {
        if (wanted == tile) return;
        fill_tile(mask, wanted, words);
        tile = wanted;
    }

    /* How many of the `count` bits from `first` on are in `words`, and from which position on. */
    int64_t next(uint64_t first, int64_t count, int64_t *position) {
        const int64_t offset = (int64_t)(first % FD_TILE), left = FD_TILE - offset;
        seek(first / FD_TILE);
        *position = offset;
        return FD_FAULT(tile_end_long, count < left ? count : left, count <= left ? count : left + 1);
    }

    bool is_kept(uint64_t index) {
        seek(index / FD_TILE);
        return words[index % FD_TILE / 32] >> FD_FAULT(shared_bit, index % 32, 31 - index % 32) & 1u;
    }
};

/* The table's `keep_bits`. */
static void fill_words(fd_dropout_mask mask, uint64_t first_tile, uint32_t *words, int64_t begin, int64_t end) {
    for (int64_t word = begin; word < end; word += FD_TILE_WORDS) {
        const uint64_t tile = first_tile + (uint64_t)(word / FD_TILE_WORDS);
        if (end - word >= FD_TILE_WORDS) {
            fill_tile(mask, tile, words + word);
        } else {
            uint32_t last[FD_TILE_WORDS];
            fill_tile(mask, tile, last);
            memcpy(words + word, last, (size_t)(end - word - FD_FAULT(packed_end_short, 0, 1)) * sizeof *words);
        }
    }
}

/* A range of several tiles: for kernels that use a row's bits more than once, or many rows' bits at one place. */
constexpr int RANGE_TILES = 128;
constexpr int64_t RANGE_BITS = (RANGE_TILES - 1) * FD_TILE; /* that fit wherever they begin */
constexpr int64_t RANGE_WORDS = RANGE_TILES * FD_TILE_WORDS + 1;

/* Draws `count` bits from `first` on, whole tiles of them, into `words`, which has room for
 * FD_TILE_WORDS * (count / FD_TILE + 2) + 1; returns the position of the first one. */
static int64_t draw_range(fd_dropout_mask mask, uint64_t first, int64_t count, uint32_t *words) {
    const uint64_t begin = first / FD_TILE;
    const uint64_t end = (first + (uint64_t)count + FD_FAULT(drawn_range_short, FD_TILE - 1, 0)) / FD_TILE;
    for (uint64_t tile = begin; tile < end; tile++) fill_tile(mask, tile, words + (tile - begin) * FD_TILE_WORDS);
    return (int64_t)(first % FD_TILE);
}

} // namespace
