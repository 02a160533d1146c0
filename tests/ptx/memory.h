/* Memory of a launch, with a record of every access: bounds, alignment, races, and reads of unwritten shared memory.
 *
 * A race is two accesses of one byte by two threads, at least one of them a write, and no barrier between them that
 * both threads reached: `bar.sync` for threads of a block, `bar.warp.sync` also for lanes of a warp; nothing for two
 * blocks. A shuffle orders no memory.
 */
#include <sys/mman.h>

/* The last writer of a byte, or a reader since: a thread of a block between two barriers. `readers` says whether it is
 * one of several, of its warp or of the block. */
enum { ONE, SOME_OF_WARP, SOME_OF_BLOCK, SOME_OF_GRID };
struct access {
    uint32_t block; /* number of all blocks ever run; 0: none */
    uint16_t epoch, warp_epoch;
    uint16_t thread;
    uint16_t readers;
};
struct history {
    access write, read;
};

struct region {
    uint64_t low, high;
    history *bytes;
};

enum { MOST_REGIONS = 64, SHARED_BYTES = 96 << 10 };

EMULATION region regions[MOST_REGIONS]; /* global memory that this launch was given */
EMULATION unsigned region_count;
EMULATION region shared_variables[MOST_REGIONS];
EMULATION unsigned shared_count;
EMULATION __attribute__((aligned(16))) unsigned char shared_memory[SHARED_BYTES];
EMULATION history shared_history[SHARED_BYTES];
EMULATION uint32_t block_number, first_block_number; /* of this launch */
EMULATION unsigned warp_epochs[MOST_THREADS / LANES];
EMULATION uint32_t line; /* of the PTX, which is executed */

static void fail_at(const char *what) {
    static char message[300];
    if (failure) return;
    snprintf(message, sizeof message, "line %u, block %u, thread %u: %s", line, blockIdx.x, current, what);
    fail(message);
}

/* Histories for all regions; pages are allocated on use. Records of earlier launches have lower block numbers. */
static bool give_histories() {
    EMULATION history *all;
    EMULATION uint64_t room;
    uint64_t bytes = 0;
    for (unsigned n = 0; n < region_count; n++) bytes += regions[n].high - regions[n].low;
    if (bytes > room) {
        if (all) munmap(all, room * sizeof(history));
        room = bytes < 1 << 22 ? 1 << 22 : bytes;
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        all = (history *)mmap(0, room * sizeof(history), PROT_READ | PROT_WRITE, flags, -1, 0);
        if (all == MAP_FAILED) {
            all = 0;
            room = 0;
            return false;
        }
    }
    history *next = all;
    for (unsigned n = 0; n < region_count; n++) {
        regions[n].bytes = next;
        next += regions[n].high - regions[n].low;
    }
    return true;
}

static const region *find(const region *from, unsigned count, uint64_t address, uint64_t size) {
    EMULATION unsigned hint;
    if (hint < count && address >= from[hint].low && address + size <= from[hint].high) return from + hint;
    for (unsigned n = 0; n < count; n++)
        if (address >= from[n].low && address + size <= from[n].high && address + size > address) {
            hint = n;
            return from + n;
        }
    return 0;
}

static access now() {
    const unsigned warp_epoch = warp_epochs[current / LANES], epoch = block_barrier.generation;
    if (warp_epoch > 0xFFFF || epoch > 0xFFFF) fail_at("more barriers than the check for races can count");
    return {block_number, (uint16_t)epoch, (uint16_t)warp_epoch, (uint16_t)current, ONE};
}

/* Whether `before` may happen at the same time as an access of the current thread. Blocks before `oldest` are over. */
static bool concurrent(const access &before, const access &self, uint32_t oldest) {
    if (before.block < oldest) return false;
    if (before.block != self.block || before.readers == SOME_OF_GRID) return true;
    if (before.epoch != self.epoch) return false;
    if (before.readers >= SOME_OF_BLOCK) return true;
    if (before.thread / LANES != self.thread / LANES) return true;
    if (before.warp_epoch != self.warp_epoch) return false;
    return before.readers == SOME_OF_WARP || before.thread != self.thread;
}

/* The reads that a later write must not be concurrent with, in one record. */
static access joined(const access &before, access self, uint32_t oldest) {
    if (before.block < oldest) return self;
    if (before.block != self.block) {
        self.readers = SOME_OF_GRID;
        return self;
    }
    if (before.readers == SOME_OF_GRID) return before;
    if (before.epoch != self.epoch) return self;
    if (before.readers == SOME_OF_BLOCK) return before;
    if (before.thread / LANES != self.thread / LANES) {
        self.readers = SOME_OF_BLOCK;
        return self;
    }
    if (before.warp_epoch == self.warp_epoch && (before.readers == SOME_OF_WARP || before.thread != self.thread))
        self.readers = SOME_OF_WARP;
    return self;
}

static void record(history *bytes, uint64_t size, bool writes, bool shared) {
    const access self = now();
    const uint32_t oldest = shared ? block_number : first_block_number;
    for (uint64_t k = 0; k < size; k++) {
        history &byte = bytes[k];
        if (concurrent(byte.write, self, oldest) || (writes && concurrent(byte.read, self, oldest)))
            fail_at(shared ? "a race on shared memory" : "a race on global memory");
        if (shared && !writes && byte.write.block != block_number)
            fail_at("shared memory is read that no thread of the block wrote");
        if (writes)
            byte = {self, access()};
        else
            byte.read = joined(byte.read, self, oldest);
    }
}

/* Where to load or store; null, and the launch has failed, where the kernel must not. */
static unsigned char *accessed(uint64_t address, uint64_t size, bool writes, bool shared) {
    const region *found =
        shared ? find(shared_variables, shared_count, address, size) : find(regions, region_count, address, size);
    if (!found) fail_at(shared ? "an access outside of the shared variables" : "an access outside of the arrays");
    if (address % size) fail_at("an access that is not aligned to its size");
    if (failure) return 0;
    record(shared ? shared_history + address : found->bytes + (address - found->low), size, writes, shared);
    return shared ? shared_memory + address : (unsigned char *)address;
}
