/* Executes PTX on the processor, for tests: decode.py's tables, one instruction after the other, every access checked.
 *
 * A thread is its registers and the number of its next instruction, so that it can stop and continue anywhere.
 * scheduler.h decides which thread runs.
 */
#include "scheduler.h"

#include "memory.h"

enum { OPERANDS = 6, LONGEST = 200000000 /* instructions of a block: some seconds */ };

struct instruction { /* as in decode.py */
    int32_t op, guard, guard_value, target, size, count, address, line;
    int32_t operand[OPERANDS];
    int64_t offset;
};

struct kernel { /* as in machine.py */
    const instruction *instructions;
    uint64_t instruction_count;
    const uint64_t *registers; /* a new thread's: constants, and poison */
    uint64_t register_count;
    uint8_t *executed;                 /* whether each instruction was */
    uint32_t tid, ctaid, ntid, nctaid; /* registers */
};

EMULATION const kernel *running;
EMULATION uint64_t *all_registers, room_for_registers;
EMULATION uint32_t places[MOST_THREADS];   /* each thread's next instruction */
EMULATION uint32_t shuffled[MOST_THREADS]; /* 1 + the turn of a shuffle that a thread is in */
EMULATION uint64_t steps;                  /* of this block */
EMULATION const unsigned char *parameters;
EMULATION uint64_t parameter_bytes;

/* ---- operands ---- */

template <typename T>
static inline T read_as(const uint64_t &word) {
    T value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* What is assigned to it is the register's new value. */
template <typename T>
struct written {
    uint64_t &word;
    void operator=(T value) {
        word = 0;
        memcpy(&word, &value, sizeof value);
    }
};
template <typename T>
static inline written<T> write_as(uint64_t &word) {
    return {word};
}

static uint32_t reversed(uint32_t bits) {
    uint32_t result = 0;
    for (int k = 0; k < 32; k++) result |= (bits >> k & 1) << (31 - k);
    return result;
}
static uint32_t divided_by_minus_one(uint32_t a) { return a == 0xFFFFFFFFu; }
static uint64_t divided_by_minus_one(uint64_t a) { return a == ~(uint64_t)0; }
static int32_t divided_by_minus_one(int32_t a) { return (int32_t)(0 - (uint32_t)a); }
static int64_t divided_by_minus_one(int64_t a) { return (int64_t)(0 - (uint64_t)a); }
static uint32_t rest_by_minus_one(uint32_t a) { return a == 0xFFFFFFFFu ? 0 : a; }
static uint64_t rest_by_minus_one(uint64_t a) { return a == ~(uint64_t)0 ? 0 : a; }
static int32_t rest_by_minus_one(int32_t) { return 0; }
static int64_t rest_by_minus_one(int64_t) { return 0; }

static uint16_t to_float16(float x) {
    const _Float16 narrow = (_Float16)x;
    uint16_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return x != x ? 0x7FFF : bits;
}
static uint16_t to_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return x != x ? 0x7FFF : (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/* ---- memory ---- */

static const unsigned char *parameter(uint64_t offset, uint64_t size) {
    if (offset > parameter_bytes || size > parameter_bytes - offset) fail_at("an access outside of the parameters");
    if (offset % size) fail_at("an access that is not aligned to its size");
    return failure ? 0 : parameters + offset;
}

static inline void load(const instruction &at, uint64_t *registers, const unsigned char *from) {
    for (int k = 0; from && k < at.count; k++) {
        uint64_t word = 0;
        memcpy(&word, from + k * at.size, at.size);
        registers[at.operand[k]] = word;
    }
}
static inline void store(const instruction &at, const uint64_t *registers, unsigned char *to) {
    for (int k = 0; to && k < at.count; k++) memcpy(to + k * at.size, &registers[at.operand[k]], at.size);
}

/* ---- names ---- */

#define OP(name, ...) name,
static const char *const names[] = {
#include "instructions.h"
};
#undef OP

extern "C" int operation_count() { return sizeof names / sizeof *names; }
extern "C" const char *operation_name(int number) { return names[number]; }

/* ---- execution ---- */

#define IN(T, n) read_as<T>(registers[at.operand[n]])
#define OUT(T) write_as<T>(registers[at.operand[0]])
#define OUT_OF(n, T) write_as<T>(registers[at.operand[n]])
#define ADDRESS (registers[at.address] + (uint64_t)at.offset)

/* d | p, a, b, c, mask: reached twice where the lane must wait in between. */
#define SHUFFLE(source, inside)                                                                                        \
    {                                                                                                                  \
        const uint32_t lane = current % LANES, by = IN(uint32_t, 3) & 31, c = IN(uint32_t, 4);                         \
        const uint32_t segments = c >> 8 & 31, limit = (lane & segments) | (c & 31 & ~segments);                       \
        const uint32_t from = source;                                                                                  \
        if (IN(uint32_t, 5) != 0xFFFFFFFFu) fail_at("a shuffle of a part of the warp");                                \
        if (!shuffled[current]) {                                                                                      \
            shuffled[current] = 1 + offer(IN(uint32_t, 2));                                                            \
            if (arrive(warp_barriers[current / LANES], LANES, at.line)) {                                              \
                places[current] = next - 1;                                                                            \
                return;                                                                                                \
            }                                                                                                          \
        }                                                                                                              \
        const unsigned turn = shuffled[current] - 1;                                                                   \
        shuffled[current] = 0;                                                                                         \
        OUT_OF(1, uint8_t) = (inside);                                                                                 \
        OUT(uint32_t) = (uint32_t)offered(turn, (inside) ? from : lane);                                               \
    }

#define OP(name, ...)                                                                                                  \
    case __COUNTER__ - FIRST_CASE:                                                                                     \
        __VA_ARGS__ break;

static void resume_thread(unsigned thread) {
    uint64_t *const registers = all_registers + thread * running->register_count;
    uint32_t next = places[thread];
    while (!failure) {
        const instruction &at = running->instructions[next];
        running->executed[next++] = 1;
        line = at.line;
        if (++steps > LONGEST) fail_at("this block comes to no end");
        if (at.guard >= 0 && (int32_t)(registers[at.guard] & 1) != at.guard_value) continue;
        enum { FIRST_CASE = __COUNTER__ + 1 };
        switch (at.op) {
#include "instructions.h"
        }
    }
}

static void begin_block() {
    block_number++;
    steps = 0;
    memset(warp_epochs, 0, sizeof warp_epochs);
    memset(shared_memory, 0x7D, sizeof shared_memory);
}

static void begin_thread(unsigned thread) {
    uint64_t *const registers = all_registers + thread * running->register_count;
    memcpy(registers, running->registers, running->register_count * sizeof *registers);
    registers[running->tid] = thread;
    registers[running->ctaid] = blockIdx.x;
    registers[running->ntid] = blockDim.x;
    registers[running->nctaid] = gridDim.x;
    places[thread] = 0;
    shuffled[thread] = 0;
}

static const char *take_regions(const uint64_t *bounds, unsigned count, region *to, unsigned *counted) {
    if (count > MOST_REGIONS) return "more arrays or shared variables than the tests' table has room for";
    for (unsigned n = 0; n < count; n++) to[n] = {bounds[2 * n], bounds[2 * n + 1], 0};
    *counted = count;
    return 0;
}

/* Arrays and shared variables as pairs of bounds. Null, or what went wrong. */
extern "C" const char *execute(const kernel *code, const void *argument, uint64_t bytes, const launch *how,
                               const uint64_t *arrays, uint32_t array_count, const uint64_t *variables,
                               uint32_t variable_count) {
    const char *wrong = take_regions(arrays, array_count, regions, &region_count);
    if (!wrong) wrong = take_regions(variables, variable_count, shared_variables, &shared_count);
    if (!wrong && !give_histories()) wrong = "no room to record accesses in";
    if (wrong) return wrong;
    running = code;
    parameters = (const unsigned char *)argument;
    parameter_bytes = bytes;
    first_block_number = block_number + 1;
    const uint64_t words = MOST_THREADS * code->register_count;
    if (words > room_for_registers) {
        free(all_registers);
        all_registers = (uint64_t *)malloc(words * sizeof *all_registers);
        room_for_registers = words;
    }
    return run_blocks(*how);
}
