/* The order in which a launch's blocks and threads run, and how threads wait for each other: shared by the emulation of
 * the kernels' source (cuda_emulation.h) and that of their PTX (tests/ptx/machine.cpp).
 *
 * One thread runs at a time, until it must wait or has ended. What would hang or be undefined on a GPU (a lane that
 * leaves while its warp waits, threads that wait at different barriers) ends the launch with a message. The
 * including file defines the three functions that are only declared here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Variables of the emulation; all others are the kernels' shared memory, or constants. */
#define EMULATION static __attribute__((section("emulation")))

struct emulated_index {
    unsigned x, y, z;
};
EMULATION emulated_index threadIdx, blockIdx, blockDim, gridDim;

enum { MOST_THREADS = 1024, LANES = 32 };

struct scheduled_thread {
    bool done;
    const unsigned *waits_for; /* a barrier's generation; it waits while that is `seen` */
    unsigned seen;
};

struct scheduled_barrier {
    unsigned arrived, generation, site;
};

EMULATION scheduled_thread threads[MOST_THREADS];
EMULATION scheduled_barrier warp_barriers[MOST_THREADS / LANES], block_barrier;
EMULATION uint64_t exchanged[MOST_THREADS / LANES][2][LANES];
EMULATION unsigned current;
EMULATION const char *failure;

static void begin_block();
static void begin_thread(unsigned thread);
/* Until it waits or sets `done`. */
static void resume_thread(unsigned thread);

static void fail(const char *message) {
    if (!failure) failure = message;
}

/* Whether the current thread must wait. `site`: which instruction this is; 0 if that is not known. */
static bool arrive(scheduled_barrier &barrier, unsigned expected, unsigned site) {
    if (barrier.arrived && barrier.site != site) fail("threads of one barrier or shuffle wait at different places");
    barrier.site = site;
    const unsigned generation = barrier.generation;
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        barrier.generation++;
        return false;
    }
    threads[current].waits_for = &barrier.generation;
    threads[current].seen = generation;
    return true;
}

/* A shuffle offers a word, arrives at the warp's barrier, and takes a word. Two places for each lane, used alternately:
 * no lane can reuse the first before all have read it. */
static unsigned offer(uint64_t word) {
    const unsigned warp = current / LANES, turn = warp_barriers[warp].generation % 2;
    exchanged[warp][turn][current % LANES] = word;
    return turn;
}
static uint64_t offered(unsigned turn, unsigned lane) { return exchanged[current / LANES][turn][lane]; }

/* ---- launches ---- */

/* Blocks [first, last) of a grid. Orders other than FORWARDS detect code that relies on lower numbers running
 * earlier. */
enum { FORWARDS, BACKWARDS, RANDOM };
struct launch {
    uint32_t grid, first, last, block, order;
    uint64_t seed;
};

EMULATION uint64_t random_state;

static unsigned random_below(unsigned count) { /* splitmix64 */
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (unsigned)((z ^ z >> 31) % count);
}

static void arrange(unsigned *numbers, unsigned count, unsigned order) {
    for (unsigned n = 0; n < count; n++) numbers[n] = order == BACKWARDS ? count - 1 - n : n;
    for (unsigned n = count; order == RANDOM && n > 1; n--) {
        const unsigned other = random_below(n), kept = numbers[n - 1];
        numbers[n - 1] = numbers[other];
        numbers[other] = kept;
    }
}

static bool run_block(unsigned count, unsigned order) {
    EMULATION unsigned numbers[MOST_THREADS];
    memset(warp_barriers, 0, sizeof warp_barriers);
    block_barrier = scheduled_barrier();
    begin_block();
    for (unsigned t = 0; t < count; t++) {
        threads[t] = scheduled_thread();
        begin_thread(t);
    }
    for (unsigned left = count; left > 0 && !failure;) {
        bool moved = false;
        arrange(numbers, count, order);
        for (unsigned n = 0; n < count && !failure; n++) {
            scheduled_thread &thread = threads[numbers[n]];
            if (thread.done || (thread.waits_for && *thread.waits_for == thread.seen)) continue;
            moved = true;
            thread.waits_for = 0;
            threadIdx.x = current = numbers[n];
            resume_thread(current);
            if (thread.done) left--;
        }
        if (!moved && !failure) fail("threads wait for others that have left");
    }
    return !failure;
}

/* Null, or what went wrong. */
static const char *run_blocks(const launch &how) {
    failure = 0;
    if (how.block == 0 || how.block % LANES || how.block > MOST_THREADS)
        return "blocks are 32 to 1024 threads, whole warps";
    random_state = how.seed;
    blockDim = {how.block, 1, 1};
    gridDim = {how.grid, 1, 1};
    const unsigned count = how.last - how.first;
    unsigned *numbers = (unsigned *)malloc((count + 1) * sizeof *numbers);
    arrange(numbers, count, how.order);
    for (unsigned n = 0; n < count; n++) {
        blockIdx = {how.first + numbers[n], 0, 0};
        if (!run_block(how.block, how.order)) break;
    }
    free(numbers);
    return failure;
}
