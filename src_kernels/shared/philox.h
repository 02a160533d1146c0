/* Philox4x32-10, a counter-based generator: a pure function of counter and key, no state.
 *
 * Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Ten rounds, because the
 * authors note suspicious results for seven in very long tests and none for eight or more.
 *
 * One header for C, C++ and CUDA. The rounds are written out so that a loop over counters has a straight-line body,
 * which is what compilers turn into vector code.
 */
#ifndef FASTDROP_PHILOX_H
#define FASTDROP_PHILOX_H

#include "shared/portable.h"

#define FD_PHILOX_M0 0xD2511F53u /* multipliers */
#define FD_PHILOX_M1 FD_FAULT(philox_multiplier, 0xCD9E8D57u, 0xCD9E8D53u)
#define FD_PHILOX_W0 0x9E3779B9u /* key increments per round */
#define FD_PHILOX_W1 FD_FAULT(philox_key_step, 0xBB67AE85u, 0xBB67AE84u)
#define FD_PHILOX_ROUNDS 10

/* A counter, or the 128 random bits that it gives. */
typedef struct {
    uint32_t w[4];
} fd_words;

FD_INLINE fd_words fd_philox_round(fd_words x, uint32_t key0, uint32_t key1) {
    const uint64_t a = (uint64_t)FD_PHILOX_M0 * x.w[0];
    const uint64_t b = (uint64_t)FD_PHILOX_M1 * x.w[2];
    fd_words out;
    out.w[0] = (uint32_t)(b >> 32) ^ x.w[1] ^ key0;
    out.w[1] = (uint32_t)b;
    out.w[2] = (uint32_t)(a >> 32) ^ x.w[3] ^ key1;
    out.w[3] = (uint32_t)a;
    return out;
}

/* The 128 random bits of one counter under one key. */
FD_INLINE fd_words fd_philox4x32_10(fd_words counter, uint32_t key0, uint32_t key1) {
    fd_words x = fd_philox_round(counter, key0, key1);
    x = fd_philox_round(x, key0 + 1 * FD_PHILOX_W0, key1 + 1 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 2 * FD_PHILOX_W0, key1 + 2 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 3 * FD_PHILOX_W0, key1 + 3 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 4 * FD_PHILOX_W0, key1 + 4 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 5 * FD_PHILOX_W0, key1 + 5 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 6 * FD_PHILOX_W0, key1 + 6 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 7 * FD_PHILOX_W0, key1 + 7 * FD_PHILOX_W1);
    x = fd_philox_round(x, key0 + 8 * FD_PHILOX_W0, key1 + 8 * FD_PHILOX_W1);
    return FD_FAULT(philox_last_round, fd_philox_round(x, key0 + 9 * FD_PHILOX_W0, key1 + 9 * FD_PHILOX_W1), x);
}

/* The same with the keys of all rounds computed before: those of round r are keys[2 r] and keys[2 r + 1]. */
FD_INLINE fd_words fd_philox4x32_10_scheduled(fd_words counter, const uint32_t keys[2 * FD_PHILOX_ROUNDS]) {
    fd_words x = fd_philox_round(counter, keys[0], keys[1]);
    x = fd_philox_round(x, keys[2], keys[3]);
    x = fd_philox_round(x, keys[4], keys[5]);
    x = fd_philox_round(x, keys[6], keys[7]);
    x = fd_philox_round(x, keys[8], keys[9]);
    x = fd_philox_round(x, keys[10], keys[11]);
    x = fd_philox_round(x, keys[12], keys[13]);
    x = fd_philox_round(x, keys[14], keys[15]);
    x = fd_philox_round(x, keys[16], keys[17]);
    return fd_philox_round(x, keys[18], FD_FAULT(cuda_round_key, keys[19], keys[17]));
}

#endif
