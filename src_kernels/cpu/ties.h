/* Ties: the elements of a tile whose eight plane bits equal the threshold's, one in 256. Their tail words decide.
 *
 * In two steps, so that a caller can do something else in between: a vector load waits for the narrow stores that it
 * covers (store forwarding fails).
 */

namespace {

FD_INLINE uint32_t lowest_bit(uint64_t word) {
#if defined(__GNUC__)
    return (uint32_t)__builtin_ctzll(word);
#else
    uint32_t bit = 0;
    while ((word >> bit & 1u) == 0) bit++;
    return bit;
#endif
}

/* One bit for each of the words, set where the word is not 0. */
#if !defined(FD_HAS_OCCUPIED_WORDS)
FD_INLINE uint64_t occupied_words(const uint32_t words[FD_TILE_WORDS]) {
    uint64_t occupied = 0;
    for (int word = 0; word < FD_TILE_WORDS; word++) occupied |= (uint64_t)(words[word] != 0) << word;
    return occupied;
}
#endif

/* All of them, in element order, their tails drawn FD_TILE_COUNTERS at a time. */
static void settle_listed(fd_dropout_mask mask, uint64_t tile, const uint32_t tied[FD_TILE_WORDS],
                          uint32_t keep[FD_TILE_WORDS]) {
    const uint32_t tail = (uint32_t)mask.threshold;
    uint32_t element[FD_TILE + FD_TILE_COUNTERS], drawn[FD_TILE_COUNTERS];
    int count = 0;
    for (uint64_t occupied = occupied_words(tied); occupied != 0; occupied &= occupied - 1) {
        const uint32_t word = lowest_bit(occupied);
        for (uint32_t left = tied[word]; left != 0; left &= left - 1) element[count++] = word * 32 + lowest_bit(left);
    }
    /* Padded with dummies, which change nothing: a data-dependent trip count would be mispredicted for every tile. */
    for (int k = 0; k < FD_TILE_COUNTERS; k++) element[count + k] = (uint32_t)k * 32;
    for (int first = 0; first < count; first += FD_TILE_COUNTERS) {
        draw_tails(mask.draw, tile, element + first, drawn);
        for (int k = 0; k < FD_TILE_COUNTERS; k++) {
            const uint32_t kept = FD_FAULT(listed_tie_at_threshold, drawn[k] < tail, drawn[k] <= tail) &&
                                  FD_FAULT(listed_padding, first + k < count, 1);
            keep[element[first + k] / 32] |= kept << (element[first + k] % 32);
        }
    }
}

#if defined(FD_AVX512)

/* In registers: each row of sixteen words gives its words' lowest tied bits, twice; compressed, they fill a list that
 * one draw decides. The way back is the same: bits of the outcome, deposited where they came from. */
struct tie_list {
    int count, rest; /* ties in the list; whether there are more than the list takes */
    uint32_t element[8 * 16 + 16];
    __m512i lowest[8];
    uint32_t words[8]; /* which words of a row have one */
    int start[8];
    uint32_t tied[FD_TILE_WORDS];
};

FD_INLINE void list_ties(tie_list *ties) {
    const __m512i first =
        _mm512_setr_epi32(31, 63, 95, 127, 159, 191, 223, 255, 287, 319, 351, 383, 415, 447, 479, 511);
    __mmask16 rest = 0;
    int count = 0;
    for (int k = 0; k < 8; k += 2) {
        __m512i left = _mm512_loadu_si512(ties->tied + 8 * k);
        const __m512i last = _mm512_add_epi32(first, _mm512_set1_epi32(256 * k));
        for (int pass = k; pass < k + 2; pass++) {
            const __mmask16 any = _mm512_test_epi32_mask(left, left);
            const __m512i lowest = _mm512_and_si512(left, _mm512_sub_epi32(_mm512_setzero_si512(), left));
            const __m512i place = _mm512_sub_epi32(last, _mm512_lzcnt_epi32(lowest));
            _mm512_storeu_si512(ties->element + count, _mm512_maskz_compress_epi32(any, place));
            ties->lowest[pass] = lowest;
            ties->words[pass] = any;
            ties->start[pass] = count;
            count += (int)_mm_popcnt_u32(any);
            left = _mm512_xor_si512(left, lowest);
        }
        rest |= _mm512_test_epi32_mask(left, left);
    }
    ties->count = count;
    ties->rest = FD_FAULT(many_ties_in_a_word, rest != 0, 0) || count > FD_TILE_COUNTERS + FD_FAULT(many_ties, 0, 1);
}

FD_INLINE void settle_ties(fd_dropout_mask mask, uint64_t tile, const tie_list *ties, uint32_t keep[FD_TILE_WORDS]) {
    uint32_t drawn[FD_TILE_COUNTERS];
    if (ties->rest) { /* one tile in forty */
        settle_listed(mask, tile, ties->tied, keep);
        return;
    }
    draw_tails(mask.draw, tile, ties->element, drawn);
    const __m512i tail = _mm512_set1_epi32((int)((uint32_t)mask.threshold + FD_FAULT(tie_at_threshold, 0, 1)));
    const uint32_t kept = _mm512_cmplt_epu32_mask(_mm512_loadu_si512(drawn), tail) & ((1u << ties->count) - 1);
    for (int k = 0; k < 8; k++) {
        const __mmask16 words = (__mmask16)_pdep_u32(kept >> ties->start[k], ties->words[k]);
        __m512i row = _mm512_loadu_si512(keep + k / 2 * 16);
        row = _mm512_mask_or_epi32(row, words, row, ties->lowest[k]);
        _mm512_storeu_si512(keep + k / 2 * 16, row);
    }
}

#else

struct tie_list {
    uint32_t tied[FD_TILE_WORDS];
};

FD_INLINE void list_ties(tie_list *) {}

FD_INLINE void settle_ties(fd_dropout_mask mask, uint64_t tile, const tie_list *ties, uint32_t keep[FD_TILE_WORDS]) {
    settle_listed(mask, tile, ties->tied, keep);
}

#endif

} // namespace
