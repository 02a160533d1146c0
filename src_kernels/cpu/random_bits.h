/* Philox on vectors: the bits of a tile's planes, the words of any domain, and the tail words of some elements.
 *
 * A target with FD_COUNTERS works on `counter_words`: one word of FD_COUNTERS neighbouring counters. It also says when
 * a long run draws and applies in turns (`interleaves`; otherwise one tile after the other), and when its registers of
 * y are aligned (`aligns`; for non-temporal stores they have to be). FD_DRAW_BETWEEN says whether the function that
 * draws between pieces of other work is inlined. Other targets draw with the scalar function in a loop, which compilers
 * vectorise.
 */

namespace {

#if defined(FD_COUNTERS)

struct counters {
    counter_words w0, w1, w2, w3;
};

FD_INLINE uint32_t low_half(uint64_t product) { return (uint32_t)product; }
FD_INLINE uint32_t high_half(uint64_t product) { return (uint32_t)(product >> 32); }

FD_INLINE counters philox_round(counters x, uint64_t key, uint32_t round) {
    const uint32_t key0 = low_half(key) + round * FD_PHILOX_W0, key1 = high_half(key) + round * FD_PHILOX_W1;
    const counter_words a = multiply(x.w0, FD_PHILOX_M0), b = multiply(x.w2, FD_PHILOX_M1);
    return {xor3(high_halves(b), x.w1, key0), b, xor3(high_halves(a), x.w3, key1), a};
}

/* The counters of a tile differ only in word 0, the planes only in word 1. So a quarter of the rounds' work is the same
 * for all counters (scalars here) or for all planes (done once for a group of counters): what comes before the planes
 * part in round 3. */
struct common_rounds {
    uint32_t word1;          /* counter word 1 of plane 0 */
    uint64_t b1;             /* the second product of round 1 */
    counter_words round2_w2; /* what all planes have in common of the words that a round gives */
    counter_words round3_w0, round3_w2, round3_w3;
};

/* The counters' indices are `index` but for their lower halves, which are `word0`. */
FD_INLINE common_rounds begin_rounds(fd_draw draw, uint64_t index, counter_words word0) {
    const uint32_t key0 = low_half(draw.key), key1 = high_half(draw.key);
    const fd_words counter = fd_counter(draw.call, 0, index);
    common_rounds common;
    common.word1 = counter.w[1];
    common.b1 = (uint64_t)FD_PHILOX_M1 * counter.w[2];
    const counter_words a1 = multiply(word0, FD_PHILOX_M0);
    const counter_words b2 = multiply(high_halves(a1) ^ (counter.w[3] ^ key1), FD_PHILOX_M1);
    const counter_words a3 = multiply(high_halves(b2) ^ (low_half(common.b1) ^ (key0 + FD_PHILOX_W0)), FD_PHILOX_M0);
    common.round2_w2 = a1 ^ (key1 + FD_PHILOX_W1);
    common.round3_w0 = b2 ^ (key0 + 2 * FD_PHILOX_W0);
    common.round3_w2 = high_halves(a3) ^ (key1 + 2 * FD_PHILOX_W1);
    common.round3_w3 = a3;
    return common;
}

/* From counter `first` of a tile on. A tile starts at a multiple of its size: none of its counters carries into word 1.
 */
FD_INLINE common_rounds begin_tile(fd_draw draw, uint64_t tile, uint32_t first) {
    return begin_rounds(
        draw, tile * FD_TILE_COUNTERS,
        consecutive((uint32_t)(tile * FD_TILE_COUNTERS) + FD_FAULT(counter_exchanged, first, first ^ 1)));
}

/* The words of one plane, or of another domain. */
FD_INLINE counters finish_rounds(const common_rounds &common, fd_draw draw, uint32_t domain) {
    const uint32_t round2_w0 = high_half(common.b1) ^ (common.word1 | domain << 24) ^ low_half(draw.key);
    const uint64_t a2 = (uint64_t)FD_PHILOX_M0 * round2_w0;
    const counter_words b3 = multiply(common.round2_w2 ^ high_half(a2), FD_PHILOX_M1);
    counters x = {high_halves(b3) ^ common.round3_w0, b3, common.round3_w2 ^ low_half(a2), common.round3_w3};
    FD_UNROLL
    for (uint32_t round = 3; round < FD_PHILOX_ROUNDS; round++) x = philox_round(x, draw.key, round);
    return x;
}

FD_INLINE void store_counters(counters x, uint32_t first, uint32_t words[FD_TILE_WORDS]) {
    store_words(words + 0 * FD_TILE_COUNTERS + first, x.w0);
    store_words(words + 1 * FD_TILE_COUNTERS + first, FD_FAULT(words_exchanged, x.w1, x.w2));
    store_words(words + 2 * FD_TILE_COUNTERS + first, FD_FAULT(words_exchanged, x.w2, x.w1));
    store_words(words + 3 * FD_TILE_COUNTERS + first, x.w3);
}

/* The words of one plane. With 16 registers this is not inlined: the work between the planes would keep its constants
 * in half of them (a sixth of the time for doubles on AVX2). */
FD_DRAW_BETWEEN void draw_counters(const common_rounds &common, fd_draw draw, uint32_t plane, uint32_t first,
                                   uint32_t words[FD_TILE_WORDS]) {
    store_counters(finish_rounds(common, draw, plane), first, words);
}

/* One bit of every plane for each of the tile's elements, in element order. Between the planes `meanwhile` is done. A
 * plane alone is a chain of multiplications that wait for each other; out-of-order execution works on the next one,
 * too. */
template <typename Work>
FD_INLINE void draw_planes_and(fd_draw draw, uint32_t planes, uint64_t tile, uint32_t bits[][FD_TILE_WORDS],
                               Work meanwhile) {
    for (uint32_t first = 0; first < FD_TILE_COUNTERS; first += FD_COUNTERS) {
        const common_rounds common = begin_tile(draw, tile, first);
        FD_NO_UNROLL
        for (uint32_t plane = 0; plane < planes; plane++) {
            draw_counters(common, draw, plane, first, bits[plane]);
            meanwhile();
        }
    }
}
/* How often `meanwhile` is called. */
constexpr int MEANWHILES_PER_PLANE = FD_TILE_COUNTERS / FD_COUNTERS;

static void draw_planes(fd_draw draw, uint32_t planes, uint64_t tile, uint32_t bits[][FD_TILE_WORDS]) {
    for (uint32_t first = 0; first < FD_TILE_COUNTERS; first += FD_COUNTERS) {
        const common_rounds common = begin_tile(draw, tile, first);
        FD_NO_UNROLL
        for (uint32_t plane = 0; plane < planes; plane++)
            store_counters(finish_rounds(common, draw, plane), first, bits[plane]);
    }
}

/* All words of a tile's counters in one domain. */
static void draw_words(fd_draw draw, uint32_t domain, uint64_t tile, uint32_t words[FD_TILE_WORDS]) {
    for (uint32_t first = 0; first < FD_TILE_COUNTERS; first += FD_COUNTERS)
        store_counters(finish_rounds(begin_tile(draw, tile, first), draw, domain), first, words);
}

/* The tail words of FD_TILE_COUNTERS elements of a tile. */
static void draw_tails(fd_draw draw, uint64_t tile, const uint32_t *element, uint32_t tail[FD_TILE_COUNTERS]) {
    for (uint32_t first = 0; first < FD_TILE_COUNTERS; first += FD_COUNTERS) {
        const counter_words word0 =
            load_words(element + first) ^ ((uint32_t)(tile * FD_TILE) ^ FD_FAULT(tail_of_neighbour, 0, 1));
        const counters x = finish_rounds(begin_rounds(draw, tile * FD_TILE, word0), draw, FD_DOMAIN_TAIL);
        store_words(tail + first, FD_FAULT(tail_word, x.w0, x.w1));
    }
}

#else

static void draw_words(fd_draw draw, uint32_t domain, uint64_t tile, uint32_t words[FD_TILE_WORDS]) {
    /* The other counter words are the same in all iterations: compilers take the first rounds' products of them out of
     * the loop, and turn it into vectors. */
    const fd_words first = fd_counter(draw.call, domain, tile * FD_TILE_COUNTERS);
    for (uint32_t k = 0; k < FD_TILE_COUNTERS; k++) {
        fd_words counter = first;
        counter.w[0] += k;
        const fd_words random = fd_random_words(draw.key, counter);
        for (int j = 0; j < 4; j++) words[j * FD_TILE_COUNTERS + k] = random.w[j];
    }
}

static void draw_planes(fd_draw draw, uint32_t planes, uint64_t tile, uint32_t bits[][FD_TILE_WORDS]) {
    for (uint32_t plane = 0; plane < planes; plane++) draw_words(draw, plane, tile, bits[plane]);
}

static void draw_tails(fd_draw draw, uint64_t tile, const uint32_t *element, uint32_t tail[FD_TILE_COUNTERS]) {
    for (int k = 0; k < FD_TILE_COUNTERS; k++) tail[k] = fd_tail_word(draw, tile * FD_TILE + element[k]);
}

#endif

} // namespace
