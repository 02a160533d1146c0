/* The keep bits of a tile, and a source that hands out the bits of any run of elements. */

#define FD_NO_TILE UINT64_MAX

/* The tile at hand. Runs that follow one another in element order, however short, cost one fill per tile. */
typedef struct {
    fd_recipe recipe;
    uint64_t tile;
    uint32_t keep[FD_TILE_WORDS + 1]; /* and one word that may be read, not used: see fd_fetch */
} bit_source;

/* 32 bits from bit `position` on, of which at least the first is in the words: the word behind the last one may be read.
 */
FD_INLINE uint32_t fd_fetch(const uint32_t *words, int64_t position) {
    const uint32_t *at = words + (uint64_t)position / 32;
    return (uint32_t)((at[0] | (uint64_t)at[1] << 32) >> (uint32_t)position % 32);
}

/* Where a loop finds 32 bits at a time: their first one begins a byte, or on big-endian machines a word. */
typedef const unsigned char *bit_cursor;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FD_BEGIN 32
#else
#define FD_BEGIN 8
#endif
#define FD_CURSOR_STEP 4

/* A cursor to bit `position`; where no byte begins there, to a copy of `count` bits in `buffer`. */
FD_INLINE bit_cursor cursor_at(const uint32_t *words, int64_t position, int64_t count, uint32_t *buffer) {
    const uint32_t shift = (uint32_t)position % 32;
    words += position / 32;
    if (FD_FAULT(cursor_within_byte, shift % FD_BEGIN == 0, 1)) return (bit_cursor)words + shift / 8;
    for (int64_t k = 0; k < (count + 31) / 32; k++) buffer[k] = words[k] >> shift | words[k + 1] << (32 - shift);
    return (bit_cursor)buffer;
}

/* A tile's words, from bit `shift` of the word before it on, 1 to 31. By loads of what was stored as it was stored: pieces of
 * two stores would have to wait for both (8 ns a tile on Zen 4). */
#if !defined(FD_OWN_SHIFT)
FD_INLINE void shift_tile(uint32_t before, const uint32_t tile[FD_TILE_WORDS], int shift, uint32_t shifted[FD_TILE_WORDS]) {
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
    if (shift + (count < 32 ? count : 32) > FD_FAULT(bits_over_a_word, 32, 33)) words[at / 32 + 1] = bits >> (32 - shift);
}

/* `count` bits from one place to another. */
static void copy_bits(uint32_t *words, int64_t at, const uint32_t *from, int64_t position, int64_t count) {
    if (at % 32 == 0 && position % 32 == 0)
        memcpy(words + at / 32, from + position / 32,
               (size_t)((count + FD_FAULT(copied_bits_short, 31, 0)) / 32) * sizeof *words);
    else
        for (int64_t i = 0; i < count; i += 32) put_bits(words, at + i, fd_fetch(from, position + i), count - i);
}

static int is_constant(fd_recipe recipe) {
    return FD_FAULT(none_drawn, recipe.threshold == 0, 0) || FD_FAULT(all_drawn, recipe.threshold >= FD_KEEP_ALL, 0);
}

/* How many planes are drawn: from the most significant down to the threshold's lowest set bit, below which no U can still
 * become smaller. */
static uint32_t planes_of(fd_recipe recipe) {
    uint32_t planes = 1;
    while (planes < FD_PLANES && recipe.threshold << (64 - FD_THRESHOLD_BITS + planes) != 0) planes++;
    return planes + FD_FAULT(plane_more, 0, planes < FD_PLANES) - FD_FAULT(plane_missing, 0, planes > 1);
}

/* The comparison, plane by plane, four registers at a time. */
static void compare_planes(fd_recipe recipe, uint32_t planes, uint32_t bits[][FD_TILE_WORDS],
                           uint32_t keep[FD_TILE_WORDS], uint32_t tied[FD_TILE_WORDS]) {
    for (int word = 0; word < FD_TILE_WORDS; word += 4 * F32_LANES) {
        i32v kept[4], left[4];
        for (int k = 0; k < 4; k++) kept[k] = i32v_set(0), left[k] = i32v_set(-1);
        for (uint32_t plane = 0; plane < planes; plane++) {
            const int32_t *row = (const int32_t *)bits[plane] + word;
            if (recipe.threshold >> (FD_THRESHOLD_BITS - 1 - plane) & 1)
                for (int k = 0; k < 4; k++) {
                    const i32v bit = i32v_load(row + k * F32_LANES);
                    kept[k] |= left[k] & ~bit;
                    left[k] &= bit;
                }
            else
                for (int k = 0; k < 4; k++) left[k] &= ~i32v_load(row + k * F32_LANES);
        }
        for (int k = 0; k < 4; k++) {
            i32v_store((int32_t *)keep + word + k * F32_LANES, kept[k]);
            i32v_store((int32_t *)tied + word + k * F32_LANES, left[k]);
        }
    }
}

static int has_tail(fd_recipe recipe) { return FD_FAULT(tail_ignored, (uint32_t)recipe.threshold != 0, 0); }

/* On its own, not inlined: within a caller's loops gcc vectorised it worse (twice the time for SSE2). */
FD_NOINLINE static void fill_tile(fd_recipe recipe, uint64_t tile, uint32_t keep[restrict FD_TILE_WORDS]) {
    if (is_constant(recipe)) {
        memset(keep, recipe.threshold == 0 ? 0 : 0xFF, FD_TILE_WORDS * sizeof *keep);
        return;
    }
    uint32_t bits[FD_PLANES][FD_TILE_WORDS];
    const uint32_t planes = planes_of(recipe);
    tie_list ties;
    draw_planes(recipe, planes, tile, bits);
    compare_planes(recipe, planes, bits, keep, ties.tied);
    if (!has_tail(recipe)) return;
    list_ties(&ties);
    settle_ties(recipe, tile, &ties, keep);
}

static void open_source(bit_source *source, fd_recipe recipe) {
    source->recipe = recipe;
    source->tile = FD_NO_TILE;
    source->keep[FD_TILE_WORDS] = 0;
}

FD_INLINE void seek_tile(bit_source *source, uint64_t tile) {
    if (tile == source->tile) return;
    fill_tile(source->recipe, tile, source->keep);
    source->tile = tile;
}

/* How many of the `wanted` decisions from `first` on are in the source's words, and from which bit on. */
FD_INLINE int64_t next_bits(bit_source *source, uint64_t first, int64_t wanted, int64_t *position) {
    const int64_t offset = (int64_t)(first % FD_TILE), left = FD_TILE - offset;
    seek_tile(source, first / FD_TILE);
    *position = offset;
    return FD_FAULT(tile_end_long, wanted < left ? wanted : left, wanted <= left ? wanted : left + 1);
}

static int keep_one(bit_source *source, uint64_t decision) {
    seek_tile(source, decision / FD_TILE);
    return source->keep[decision % FD_TILE / 32] >> FD_FAULT(shared_decision, decision % 32, 31 - decision % 32) & 1u;
}

static void bits(fd_recipe recipe, uint64_t first_tile, uint32_t *words, int64_t begin, int64_t end) {
    for (int64_t word = begin; word < end; word += FD_TILE_WORDS) {
        const uint64_t tile = first_tile + (uint64_t)(word / FD_TILE_WORDS);
        if (end - word >= FD_TILE_WORDS) {
            fill_tile(recipe, tile, words + word);
        } else {
            uint32_t last[FD_TILE_WORDS];
            fill_tile(recipe, tile, last);
            memcpy(words + word, last, (size_t)(end - word - FD_FAULT(packed_end_short, 0, 1)) * sizeof *words);
        }
    }
}

/* The decisions of a block of rows, whole tiles of them: what a kernel needs that visits a row's bits more than once,
 * or many rows' bits at one place. */
#define FD_WINDOW_TILES 128
#define FD_WINDOW ((FD_WINDOW_TILES - 1) * FD_TILE) /* decisions that fit wherever they begin */

/* Draws into `words`, which has room for FD_TILE_WORDS * (count / FD_TILE + 2) + 1; returns the first one's bit. */
static int64_t draw_window(fd_recipe recipe, uint64_t first, int64_t count, uint32_t *words) {
    const uint64_t begin = first / FD_TILE;
    const uint64_t end = (first + (uint64_t)count + FD_FAULT(drawn_window_short, FD_TILE - 1, 0)) / FD_TILE;
    for (uint64_t tile = begin; tile < end; tile++) fill_tile(recipe, tile, words + (tile - begin) * FD_TILE_WORDS);
    return (int64_t)(first % FD_TILE);
}

/* FD_TURNED blocks of 32 x 32 bits, transposed: from[row][word + q] to turned[32 q + column][group]. */
#define FD_TURNED 8
static void turn(uint32_t (*from)[FD_BLOCK_COLUMNS / 32], int64_t word, uint32_t (*turned)[FD_BLOCK_ROWS / 32],
                 int64_t group) {
    uint32_t m[32][FD_TURNED];
    for (int row = 0; row < 32; row++) memcpy(m[row], from[row] + word, sizeof m[row]);
    uint32_t mask = 0x0000FFFF; /* the lower half of every pair of halves */
    for (int half = 16; half > FD_FAULT(transposition_unfinished, 0, 1); half /= 2, mask ^= mask << half)
        for (int row = 0; row < 32; row++) {
            if (row & half) continue;
            for (int q = 0; q < FD_TURNED; q++) {
                const uint32_t swap = ((m[row][q] >> half) ^ m[row + half][q]) & mask;
                m[row][q] ^= swap << half;
                m[row + half][q] ^= swap;
            }
        }
    for (int q = 0; q < FD_TURNED; q++)
        for (int column = 0; column < 32; column++) turned[32 * q + column][group] = m[column][q];
}
