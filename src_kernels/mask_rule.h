/* The mask rule, stream version 1: which counter gives which bit to which element. Shared by C and CUDA.
 * docs/mask-rule.md states it in words, fastdrop/reference.py in NumPy.
 *
 * U(i) is a 40-bit number, keep(i) = U(i) < threshold, threshold = round((1 - p) * 2^40).
 * Bits 39..32 of U come from eight bit planes, bits 31..0 from the tail word, drawn only where the planes tie.
 */
#ifndef FASTDROP_MASK_RULE_H
#define FASTDROP_MASK_RULE_H

#include "philox.h"

#define FD_THRESHOLD_BITS 40
#define FD_PLANES 8
#define FD_TAIL_BITS (FD_THRESHOLD_BITS - FD_PLANES)
#define FD_KEEP_ALL ((uint64_t)1 << FD_THRESHOLD_BITS)

/* A tile is 2048 elements: 16 Philox blocks give each of them one bit of one plane. Word j of block l decides
 * elements 512 j + 32 l .. + 31 of the tile, lowest bit first. So the 16 lanes of a 512-bit register hold, in
 * order, the bits of 512 consecutive elements, and a CUDA warp finds the bits of a 16-byte access with one
 * shuffle. */
#define FD_TILE 2048
#define FD_LANES 16
#define FD_TILE_WORDS (FD_TILE / 32)

/* The purpose of a draw, in the top 8 bits of counter word 1: planes 0..7, the tail, the keys of spawned
 * streams (fastdrop/stream.py), normal numbers. The low 56 bits of words 0 and 1 number the block or the element. It
 * stands beside the block number, not beside the call number, so that the first rounds' products are common to all planes. */
#define FD_PURPOSE_TAIL FD_FAULT(tail_purpose, 0xFFu, 0xFEu)
#define FD_PURPOSE_NORMAL FD_FAULT(normal_purpose, 0xFDu, 0xFCu)

/* 16 Philox blocks give 64 elements a normal number each: words 0 and 1 of block l those of elements l and l + 16, words 2
 * and 3 those of elements l + 32 and l + 48. math_normals.h makes two normal numbers of two words. */
#define FD_NORMALS 64

typedef struct {
    uint64_t key;       /* the stream's seed */
    uint64_t call;      /* the call number: one per dropout call on a stream */
    uint64_t threshold; /* 0 .. 2^40 */
} fd_recipe;

FD_INLINE fd_block fd_counter(fd_recipe recipe, uint32_t purpose, uint64_t index) {
    fd_block counter;
    counter.w[0] = (uint32_t)index;
    counter.w[1] = FD_FAULT(index_upper_half, (uint32_t)(index >> 32), 0) | purpose << FD_FAULT(purpose_place, 24, 25);
    counter.w[2] = (uint32_t)recipe.call;
    counter.w[3] = FD_FAULT(call_upper_half, (uint32_t)(recipe.call >> 32), 0);
    return counter;
}

FD_INLINE fd_block fd_block_at(fd_recipe recipe, fd_block counter) {
    return fd_philox4x32_10(counter, (uint32_t)recipe.key, (uint32_t)(recipe.key >> 32));
}

FD_INLINE fd_block fd_draw(fd_recipe recipe, uint32_t purpose, uint64_t index) {
    return fd_block_at(recipe, fd_counter(recipe, purpose, index));
}

/* The low 32 bits of U(element): word 0 of a block of its own, so that ties are drawn side by side in a vector. */
FD_INLINE uint32_t fd_tail_word(fd_recipe recipe, uint64_t element) {
    return fd_draw(recipe, FD_PURPOSE_TAIL, element).w[0];
}

#endif
