/* The keep bits of a tile, and a source that hands out the bits of any run of elements.
 *
 * Part of the one C body that every isa_*.c compiles with its own flags: plain loops over the 16 lanes of a tile,
 * which gcc and clang turn into that instruction set's vectors.
 */
#include <string.h>

#define FD_NO_TILE UINT64_MAX

/* The tile at hand. Runs that follow one another in element order, however short, cost one fill per tile. */
typedef struct {
    fd_recipe recipe;
    uint64_t tile;
    uint32_t keep[FD_TILE_WORDS];
} bit_source;

/* One bit for each of the tile's elements, in element order. */
static void draw_plane(fd_recipe recipe, uint32_t plane, uint64_t tile, uint32_t bits[restrict FD_TILE_WORDS]) {
    /* Sixteen blocks that start at a multiple of sixteen differ in counter word 0 alone. That the other words are
     * the same in all lanes lets the compiler take the first rounds' products out of the loop. */
    const fd_block first = fd_counter(recipe, plane, tile * FD_LANES);
    for (uint32_t lane = 0; lane < FD_LANES; lane++) {
        fd_block counter = first;
        counter.w[0] += lane;
        const fd_block block = fd_block_at(recipe, counter);
        bits[0 * FD_LANES + lane] = block.w[0];
        bits[1 * FD_LANES + lane] = block.w[1];
        bits[2 * FD_LANES + lane] = block.w[2];
        bits[3 * FD_LANES + lane] = block.w[3];
    }
}

/* Elements whose eight plane bits equal the threshold's: their tail words decide. Sixteen at a time, since a
 * Philox block alone is one long chain of dependent multiplications. */
static void settle_ties(fd_recipe recipe, uint64_t tile, const uint32_t tied[FD_TILE_WORDS],
                        uint32_t keep[FD_TILE_WORDS]) {
    const uint32_t tail = (uint32_t)recipe.threshold;
    uint32_t element[FD_TILE + FD_LANES];
    int count = 0;
    for (uint32_t word = 0; word < FD_TILE_WORDS; word++) {
        for (uint32_t left = tied[word]; left != 0; left &= left - 1) {
            uint32_t bit = 0;
#if defined(__GNUC__)
            bit = (uint32_t)__builtin_ctz(left);
#else
            while ((left >> bit & 1u) == 0) bit++;
#endif
            element[count++] = word * 32 + bit;
        }
    }
    memset(element + count, 0, FD_LANES * sizeof *element); /* the last vector's unused lanes */
    for (int first = 0; first < count; first += FD_LANES) {
        uint32_t kept[FD_LANES];
        for (int lane = 0; lane < FD_LANES; lane++)
            kept[lane] = fd_tail_word(recipe, tile * FD_TILE + element[first + lane]) < tail;
        const int lanes = count - first < FD_LANES ? count - first : FD_LANES;
        for (int lane = 0; lane < lanes; lane++)
            keep[element[first + lane] >> 5] |= kept[lane] << (element[first + lane] & 31);
    }
}

/* On its own, not inlined: within a caller's loops gcc vectorised it worse (twice the time for SSE2). */
FD_NOINLINE static void fill_tile(bit_source *source, uint64_t tile) {
    const uint64_t threshold = source->recipe.threshold;
    uint32_t *keep = source->keep;
    source->tile = tile;
    if (threshold == 0 || threshold >= FD_KEEP_ALL) {
        memset(keep, threshold == 0 ? 0 : 0xFF, sizeof source->keep);
        return;
    }
    uint32_t tied[FD_TILE_WORDS], bits[FD_TILE_WORDS];
    memset(keep, 0, sizeof source->keep);
    memset(tied, 0xFF, sizeof tied);
    /* From the most significant plane down; below the threshold's lowest set bit no U can still become smaller. */
    for (uint32_t plane = 0; plane < FD_PLANES; plane++) {
        const uint64_t rest = threshold << (64 - FD_THRESHOLD_BITS + plane);
        if (rest == 0) return;
        draw_plane(source->recipe, plane, tile, bits);
        if (rest >> 63) {
            for (int word = 0; word < FD_TILE_WORDS; word++) {
                keep[word] |= tied[word] & ~bits[word];
                tied[word] &= bits[word];
            }
        } else {
            for (int word = 0; word < FD_TILE_WORDS; word++) tied[word] &= ~bits[word];
        }
    }
    if ((uint32_t)threshold != 0) settle_ties(source->recipe, tile, tied, keep);
}

static void open_source(bit_source *source, fd_recipe recipe) {
    source->recipe = recipe;
    source->tile = FD_NO_TILE;
}

/* Keep bits of elements from `first` on, the first in bit 0 of the first word. Gives as many as the tile still
 * holds, at most `wanted`; the words are good until the next call. Bits past the returned count are unspecified. */
static int64_t next_bits(bit_source *source, uint64_t first, int64_t wanted, uint32_t scratch[FD_TILE_WORDS],
                         const uint32_t **words) {
    const uint64_t tile = first / FD_TILE;
    const uint32_t offset = (uint32_t)(first % FD_TILE);
    const int64_t left = FD_TILE - offset;
    const int64_t count = wanted < left ? wanted : left;
    if (tile != source->tile) fill_tile(source, tile);
    const uint32_t word = offset / 32, shift = offset % 32;
    if (shift == 0) {
        *words = source->keep + word;
        return count;
    }
    const uint32_t last = (uint32_t)((count + 31) / 32);
    for (uint32_t k = 0; k < last; k++) {
        const uint32_t above = word + k + 1 < FD_TILE_WORDS ? source->keep[word + k + 1] : 0;
        scratch[k] = source->keep[word + k] >> shift | above << (32 - shift);
    }
    *words = scratch;
    return count;
}

static int keep_one(bit_source *source, uint64_t element) {
    const uint64_t tile = element / FD_TILE;
    if (tile != source->tile) fill_tile(source, tile);
    return source->keep[element % FD_TILE / 32] >> (element % 32) & 1u;
}

static void bits(fd_recipe recipe, uint64_t first_tile, uint32_t *words, int64_t begin, int64_t end) {
    bit_source source;
    open_source(&source, recipe);
    for (int64_t word = begin; word < end; word += FD_TILE_WORDS) {
        fill_tile(&source, first_tile + (uint64_t)word / FD_TILE_WORDS);
        const int64_t count = end - word < FD_TILE_WORDS ? end - word : FD_TILE_WORDS;
        memcpy(words + word, source.keep, (size_t)count * sizeof *words);
    }
}
