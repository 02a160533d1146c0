/* The mask rule, version 1: which counter gives which bit to which element. For C, C++ and CUDA.
 * docs/mask-rule.md states it in words, fastdrop/reference.py in NumPy.
 *
 * U(i) is a 40-bit number, keep(i) = U(i) < threshold, threshold = round((1 - p) * 2^40).
 * Bits 39..32 of U come from eight bit planes, bits 31..0 from the tail word, which is drawn only where the planes
 * equal the threshold's upper bits (a tie).
 */
#ifndef FASTDROP_MASK_RULE_H
#define FASTDROP_MASK_RULE_H

#include "shared/philox.h"

#define FD_THRESHOLD_BITS 40
#define FD_PLANES 8
#define FD_TAIL_BITS (FD_THRESHOLD_BITS - FD_PLANES)
#define FD_KEEP_ALL ((uint64_t)1 << FD_THRESHOLD_BITS)

/* A tile is 2048 elements: 16 counters give each of them one bit of one plane. Word j of counter l holds the bits of
 * elements 512 j + 32 l .. + 31 of the tile, lowest bit first. So the 16 lanes of a 512-bit register hold, in order,
 * the bits of 512 consecutive elements, and a CUDA warp finds the bits of a 16-byte access in one word. */
#define FD_TILE 2048
#define FD_TILE_COUNTERS 16
#define FD_TILE_WORDS (FD_TILE / 32)

/* The domain of a counter, its top 8 bits of word 1: planes 0..7, the tail, the keys of spawned streams
 * (fastdrop/stream.py), normal numbers. The low 56 bits of words 0 and 1 are an index within the domain. The domain
 * shares a word with the index, not with the call number, so that the products of the first rounds are common to all
 * planes. */
#define FD_DOMAIN_TAIL FD_FAULT(tail_domain, 0xFFu, 0xFEu)
#define FD_DOMAIN_NORMAL FD_FAULT(normal_domain, 0xFDu, 0xFCu)

/* 16 counters give 64 elements a normal number each: words 0 and 1 of counter l those of elements l and l + 16, words 2
 * and 3 those of elements l + 32 and l + 48. normal.h makes two normal numbers of two words. */
#define FD_NORMAL_GROUP 64

/* Which random bits: what a stream hands out, one for each dropout call. */
typedef struct {
    uint64_t key, call;
} fd_draw;

/* Which elements are kept. */
typedef struct {
    fd_draw draw;
    uint64_t threshold; /* 0 .. 2^40 */
} fd_dropout_mask;

FD_INLINE fd_words fd_counter(uint64_t call, uint32_t domain, uint64_t index) {
    fd_words counter;
    counter.w[0] = (uint32_t)index;
    counter.w[1] = FD_FAULT(index_upper_half, (uint32_t)(index >> 32), 0) | domain << FD_FAULT(domain_place, 24, 25);
    counter.w[2] = (uint32_t)call;
    counter.w[3] = FD_FAULT(call_upper_half, (uint32_t)(call >> 32), 0);
    return counter;
}

FD_INLINE fd_words fd_random_words(uint64_t key, fd_words counter) {
    return fd_philox4x32_10(counter, (uint32_t)key, (uint32_t)(key >> 32));
}

/* The low 32 bits of U(element): word 0 of a counter for this element alone, so that ties are drawn side by side in a
 * vector. */
FD_INLINE uint32_t fd_tail_word(fd_draw draw, uint64_t element) {
    return fd_random_words(draw.key, fd_counter(draw.call, FD_DOMAIN_TAIL, element)).w[0];
}

#endif
