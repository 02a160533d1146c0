/* Philox on vectors: the bits of a tile's planes, and the tail words of some of its elements. */

#if defined(FD_BLOCKS)

typedef struct {
    lanes w0, w1, w2, w3;
} lane_blocks;

FD_INLINE uint32_t high_half(uint64_t product) { return (uint32_t)(product >> 32); }

FD_INLINE lane_blocks philox_round(lane_blocks x, fd_recipe recipe, uint32_t round) {
    const uint32_t key0 = (uint32_t)recipe.key + round * FD_PHILOX_W0;
    const uint32_t key1 = (uint32_t)(recipe.key >> 32) + round * FD_PHILOX_W1;
    const lanes a = lanes_mul(x.w0, FD_PHILOX_M0), b = lanes_mul(x.w2, FD_PHILOX_M1);
    return (lane_blocks){lanes_xor3(lanes_high(b), x.w1, key0), b, lanes_xor3(lanes_high(a), x.w3, key1), a};
}

/* The blocks of a tile differ in counter word 0 alone, the planes in word 1 alone, so a quarter of the rounds' work is
 * the same for all blocks (scalars here) or for all planes (drawn once per group of blocks): that is done before the
 * planes part in round 3. */
typedef struct {
    uint32_t word1;  /* counter word 1 of plane 0 */
    uint64_t b1;     /* the second product of round 1 */
    lanes round2_w2; /* what all planes have in common of the words that a round gives */
    lanes round3_w0, round3_w2, round3_w3;
} plane_start;

/* The blocks' numbers are `index` but for their lower halves, which are `word0`. */
FD_INLINE plane_start planes_begin(fd_recipe recipe, uint64_t index, lanes word0) {
    const uint32_t key0 = (uint32_t)recipe.key, key1 = (uint32_t)(recipe.key >> 32);
    const fd_block counter = fd_counter(recipe, 0, index);
    plane_start start;
    start.word1 = counter.w[1];
    start.b1 = (uint64_t)FD_PHILOX_M1 * counter.w[2];
    const lanes a1 = lanes_mul(word0, FD_PHILOX_M0);
    const lanes b2 = lanes_mul(lanes_xor_all(lanes_high(a1), counter.w[3] ^ key1), FD_PHILOX_M1);
    const lanes a3 =
        lanes_mul(lanes_xor_all(lanes_high(b2), (uint32_t)start.b1 ^ (key0 + FD_PHILOX_W0)), FD_PHILOX_M0);
    start.round2_w2 = lanes_xor_all(a1, key1 + FD_PHILOX_W1);
    start.round3_w0 = lanes_xor_all(b2, key0 + 2 * FD_PHILOX_W0);
    start.round3_w2 = lanes_xor_all(lanes_high(a3), key1 + 2 * FD_PHILOX_W1);
    start.round3_w3 = a3;
    return start;
}

/* A tile starts at a multiple of its size: no block of it carries into the counter's next word. */
FD_INLINE plane_start tile_begin(fd_recipe recipe, uint64_t tile, uint32_t lane) {
    return planes_begin(recipe, tile * FD_LANES,
                        lanes_from((uint32_t)(tile * FD_LANES) + FD_FAULT(block_lane, lane, lane ^ 1)));
}

/* One plane's words after three rounds. */
FD_INLINE lane_blocks plane_begin(const plane_start *start, fd_recipe recipe, uint32_t plane) {
    const uint32_t round2_w0 = high_half(start->b1) ^ (start->word1 | plane << 24) ^ (uint32_t)recipe.key;
    const uint64_t a2 = (uint64_t)FD_PHILOX_M0 * round2_w0;
    const lanes b3 = lanes_mul(lanes_xor_all(start->round2_w2, high_half(a2)), FD_PHILOX_M1);
    return (lane_blocks){lanes_xor(lanes_high(b3), start->round3_w0), b3,
                         lanes_xor_all(start->round3_w2, (uint32_t)a2), start->round3_w3};
}

FD_INLINE void plane_end(lane_blocks x, uint32_t lane, uint32_t bits[FD_TILE_WORDS]) {
    lanes_store(bits + 0 * FD_LANES + lane, x.w0);
    lanes_store(bits + 1 * FD_LANES + lane, FD_FAULT(words_swapped, x.w1, x.w2));
    lanes_store(bits + 2 * FD_LANES + lane, FD_FAULT(words_swapped, x.w2, x.w1));
    lanes_store(bits + 3 * FD_LANES + lane, x.w3);
}

/* One bit of every plane for each of the tile's elements, in element order. Between the rounds BETWEEN is done, which
 * is what a caller has to do in the meantime. A plane alone is a chain of multiplications that wait for each other, but
 * the processor looks ahead far enough to work on the next one, too. */
#define FD_DRAW_PLANES(recipe, planes, tile, bits, BETWEEN)                                                    \
    for (uint32_t lane = 0; lane < FD_LANES; lane += FD_BLOCKS) {                                              \
        const plane_start start = tile_begin(recipe, tile, lane);                                              \
        FD_NO_UNROLL                                                                                           \
        for (uint32_t plane = 0; plane < (planes); plane++) {                                                  \
            lane_blocks x = plane_begin(&start, recipe, plane);                                                \
            for (uint32_t round = 3; round < FD_PHILOX_ROUNDS; round++) x = philox_round(x, recipe, round);    \
            plane_end(x, lane, (bits)[plane]);                                                                 \
            BETWEEN                                                                                            \
        }                                                                                                      \
    }
#define FD_STEPS(planes) (FD_LANES / FD_BLOCKS * (planes)) /* BETWEENs */

static void draw_planes(fd_recipe recipe, uint32_t planes, uint64_t tile, uint32_t bits[][FD_TILE_WORDS]) {
    FD_DRAW_PLANES(recipe, planes, tile, bits, )
}

/* All words of 16 blocks of one purpose, numbered as a tile's. */
static void draw_words(fd_recipe recipe, uint32_t purpose, uint64_t tile, uint32_t words[FD_TILE_WORDS]) {
    for (uint32_t lane = 0; lane < FD_LANES; lane += FD_BLOCKS) {
        const plane_start start = tile_begin(recipe, tile, lane);
        lane_blocks x = plane_begin(&start, recipe, purpose);
        for (uint32_t round = 3; round < FD_PHILOX_ROUNDS; round++) x = philox_round(x, recipe, round);
        plane_end(x, lane, words);
    }
}

/* The tail words of FD_LANES elements of a tile. */
static void draw_tails(fd_recipe recipe, uint64_t tile, const uint32_t *element, uint32_t tail[FD_LANES]) {
    for (uint32_t lane = 0; lane < FD_LANES; lane += FD_BLOCKS) {
        const lanes word0 = lanes_xor_all(lanes_load(element + lane),
                                          (uint32_t)(tile * FD_TILE) ^ FD_FAULT(tail_of_neighbour, 0, 1));
        const plane_start start = planes_begin(recipe, tile * FD_TILE, word0);
        lane_blocks x = plane_begin(&start, recipe, FD_PURPOSE_TAIL);
        for (uint32_t round = 3; round < FD_PHILOX_ROUNDS; round++) x = philox_round(x, recipe, round);
        lanes_store(tail + lane, FD_FAULT(tail_word, x.w0, x.w1));
    }
}

#else

static void draw_words(fd_recipe recipe, uint32_t purpose, uint64_t tile, uint32_t words[FD_TILE_WORDS]) {
    /* The other counter words are the same in all lanes: compilers take the first rounds' products of them out of the
     * loop, and turn it into vectors. */
    const fd_block first = fd_counter(recipe, purpose, tile * FD_LANES);
    for (uint32_t lane = 0; lane < FD_LANES; lane++) {
        fd_block counter = first;
        counter.w[0] += lane;
        const fd_block block = fd_block_at(recipe, counter);
        words[0 * FD_LANES + lane] = block.w[0];
        words[1 * FD_LANES + lane] = block.w[1];
        words[2 * FD_LANES + lane] = block.w[2];
        words[3 * FD_LANES + lane] = block.w[3];
    }
}

static void draw_planes(fd_recipe recipe, uint32_t planes, uint64_t tile, uint32_t bits[][FD_TILE_WORDS]) {
    for (uint32_t plane = 0; plane < planes; plane++) draw_words(recipe, plane, tile, bits[plane]);
}

static void draw_tails(fd_recipe recipe, uint64_t tile, const uint32_t *element, uint32_t tail[FD_LANES]) {
    for (int lane = 0; lane < FD_LANES; lane++) tail[lane] = fd_tail_word(recipe, tile * FD_TILE + element[lane]);
}

#endif
