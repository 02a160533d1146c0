/* Runs the cases that cases.py wrote through the kernels' C interface and compares bytes.
 *
 *     replay FOLDER [--isa NAME] [--quick]
 *
 * Every case runs with its operands against guard pages and at alignments of 0 to 63 bytes, on one thread and more,
 * with and without non-temporal stores, on every instruction set that this processor has (or the one named). --quick
 * leaves out the cases marked large and most alignments, for sanitizers and emulation. casefile.py says what a line of
 * cases.txt holds.
 */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include <inttypes.h>

#include "cpu/kernels.h"
#include "memory.h"

#define MOST_AXES 8
#define MOST_REPORTS 10

enum { FILLED = -1, ABSENT = -2, SAME_AS_FIRST = -3 }; /* instead of a place in cases.bin */
/* Where a NaN is expected: any will do, or this one. A processor that makes every NaN the canonical one, as RISC-V's
 * do, may do so where something is computed; a copy keeps its bits everywhere. */
enum { ANY_NAN, EXACT };

typedef struct {
    char type[12];
    int64_t data, bytes, first, expected; /* first: from the buffer's begin to the first element */
} operand;

typedef struct {
    char name[128], kernel[24], dtype[12];
    int operation, threads, stores, nan, sweep, large;
    fd_dropout_mask mask;
    double scale, shift;
    uint64_t first_tile;
    int operands, ndim;
    operand operand[FD_MAX_OPERANDS];
    int64_t shape[MOST_AXES], bit_stride[MOST_AXES], stride[FD_MAX_OPERANDS][MOST_AXES];
} test_case;

/* What runs at the moment, for reports. */
static struct {
    const test_case *test;
    const char *isa;
    int threads, nontemporal;
    placement where;
    int64_t alignment[FD_MAX_OPERANDS];
    char *at[FD_MAX_OPERANDS]; /* as filled */
} now;

static arena arenas[FD_MAX_OPERANDS];
static char *blob;
static int64_t runs, failures;

static void describe_run(void) {
    printf("  %s: %s, %d thread(s), non-temporal %d, %s, alignments", now.test->name, now.isa, now.threads,
           now.nontemporal, placement_name[now.where]);
    for (int k = 0; k < now.test->operands; k++) printf(" %" PRId64, now.alignment[k]);
    printf("\n");
}

/* A guard page was touched, something read-only written, or time is over: the process reports what ran, and ends. */
static void crashed(const char *what, const char *address) {
    printf("CRASH, %s\n", what);
    if (now.test) describe_run();
    for (int k = 0; now.test && address && k < now.test->operands; k++) {
        const arena *a = &arenas[k];
        const char *const views[] = {a->writable, a->readable};
        for (int v = 0; a->size && v < 2; v++) {
            const int64_t offset = address - views[v], at = now.at[k] - a->writable;
            if (offset < -4096 || offset >= a->size + 65536 || now.where == ON_HEAP) continue;
            printf("  operand %d (%" PRId64 " bytes), byte %" PRId64 "%s\n", k, now.test->operand[k].bytes, offset - at,
                   v ? ", mapped read-only" : "");
        }
    }
    fflush(stdout);
    _Exit(1);
}

#if defined(WITH_ASAN)
const char *__asan_default_options(void) { return "handle_segv=0:handle_sigbus=0:detect_leaks=0"; }
void __sanitizer_set_death_callback(void (*callback)(void));
static void died(void) {
    if (now.test) describe_run();
    fflush(stdout);
}
#endif

static int is_nan(const char *type, const char *at) {
    uint64_t bits = 0;
    if (!strcmp(type, "float64")) {
        memcpy(&bits, at, 8);
        return (bits & INT64_MAX) > 0x7FF0000000000000;
    }
    if (!strcmp(type, "float32")) {
        uint32_t word;
        memcpy(&word, at, 4);
        return (word & 0x7FFFFFFF) > 0x7F800000;
    }
    uint16_t half;
    memcpy(&half, at, 2);
    if (!strcmp(type, "float16")) return (half & 0x7FFF) > 0x7C00;
    return !strcmp(type, "bfloat16") && (half & 0x7FFF) > 0x7F80;
}

static int64_t item_size(const char *type) {
    static const struct {
        const char *type;
        int64_t size;
    } sizes[] = {{"float32", 4}, {"float64", 8}, {"float16", 2}, {"bfloat16", 2}, {"uint32", 4}, {"uint8", 1}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        if (!strcmp(type, sizes[k].type)) return sizes[k].size;
    fprintf(stderr, "unknown type %s\n", type);
    exit(2);
}

static void report(const char *what, int k, int64_t element, const char *got, const char *want) {
    if (failures++ >= MOST_REPORTS) return;
    printf("%s\n", what);
    describe_run();
    printf("  operand %d, item %" PRId64, k, element);
    for (int side = 0; got && side < 2; side++) {
        printf(side ? ", expected " : ": got ");
        for (int64_t byte = item_size(now.test->operand[k].type) - 1; byte >= 0; byte--)
            printf("%02x", (unsigned char)(side ? want : got)[byte]);
    }
    printf("\n");
    fflush(stdout);
}

/* Whether this processor's arithmetic propagates a NaN's payload. */
static int keeps_payloads(void) {
    volatile uint32_t word = 0x7FC01234;
    volatile float number, factor = 1.5f;
    memcpy((void *)&number, (const void *)&word, sizeof number);
    number *= factor;
    memcpy((void *)&word, (const void *)&number, sizeof number);
    return (word & 0xFFFF) == 0x1234;
}

static int any_nan_will_do(void) { return now.test->nan == ANY_NAN || (now.test->scale != 1 && !keeps_payloads()); }

static void compare(int k, const char *got, const char *want) {
    const operand *o = &now.test->operand[k];
    if (memcmp(got, want, (size_t)o->bytes) == 0) return;
    const int64_t item = item_size(o->type);
    for (int64_t i = 0; i < o->bytes; i += item) {
        if (memcmp(got + i, want + i, (size_t)item) == 0) continue;
        if (any_nan_will_do() && is_nan(o->type, got + i) && is_nan(o->type, want + i)) continue;
        report("WRONG", k, i / item, got + i, want + i);
        return;
    }
}

static void call(const fd_kernels *kernels, char *const at[]) {
    const test_case *t = now.test;
    const char *kernel = t->kernel;
    static const char *const names[FD_DTYPES] = {"float32", "float64", "float16", "bfloat16"};
    int dtype = 0;
    while (dtype < FD_DTYPES && strcmp(names[dtype], t->dtype) != 0) dtype++;
    fd_dropconnect connect = {.mask = t->mask, .scale = t->scale, .to = at[0]};
    connect.batch = t->shape[0], connect.outputs = t->shape[1], connect.inputs = t->shape[2];
    if (!strcmp(kernel, "keep_bits")) {
        fd_run_keep_bits(kernels, now.threads, t->mask, t->first_tile, (uint32_t *)(void *)at[0], t->shape[0]);
    } else if (!strcmp(kernel, "copy")) {
        fd_run_copy(kernels, now.threads, at[1], at[0], (fd_copy_kind)now.nontemporal, t->shape[0], 1);
    } else if (!strcmp(kernel, "elementwise")) {
        fd_elementwise e = {.mask = t->mask, .scale = t->scale, .shift = t->shift};
        e.nontemporal = now.nontemporal;
        e.operands = t->operands;
        e.ndim = t->ndim;
        e.first_bit = t->first_tile;
        memcpy(e.shape, t->shape, sizeof t->shape);
        memcpy(e.bit_stride, t->bit_stride, sizeof t->bit_stride);
        for (int k = 0; k < t->operands; k++) {
            e.data[k] = at[k];
            memcpy(e.stride[k], t->stride[k], sizeof t->stride[k]);
        }
        fd_run_elementwise(kernels, now.threads, (fd_dtype)dtype, t->operation, &e);
    } else if (!strcmp(kernel, "softmax")) {
        const fd_softmax softmax = {t->mask, t->scale, t->shape[0], t->shape[1], at[2], at[1], at[0]};
        fd_run_softmax(kernels, now.threads, (fd_dtype)dtype, &softmax);
    } else if (!strcmp(kernel, "gaussian")) { /* first_tile: a group of normal numbers */
        const fd_gaussian gaussian = {t->mask.draw, t->scale, t->first_tile, t->shape[0], at[1], at[0]};
        fd_run_gaussian(kernels, now.threads, (fd_dtype)dtype, &gaussian);
    } else if (!strcmp(kernel, "dropconnect_forward")) {
        connect.x = at[1], connect.weight = at[2], connect.bias = at[3];
        fd_run_dropconnect_forward(kernels, now.threads, (fd_dtype)dtype, &connect);
    } else if (!strcmp(kernel, "dropconnect_dx")) {
        connect.dy = at[1], connect.weight = at[2];
        fd_run_dropconnect_dx(kernels, now.threads, (fd_dtype)dtype, &connect);
    } else if (!strcmp(kernel, "dropconnect_dweight")) {
        connect.dy = at[1], connect.x = at[2];
        fd_run_dropconnect_dweight(kernels, now.threads, (fd_dtype)dtype, &connect);
    } else {
        fprintf(stderr, "unknown kernel %s\n", kernel);
        exit(2);
    }
}

static void fill(int k) {
    const operand *o = &now.test->operand[k];
    if (o->data >= 0) memcpy(now.at[k], blob + o->data, (size_t)o->bytes);
    if (o->data == FILLED) memset(now.at[k], UNSET, (size_t)o->bytes);
}

/* One call, with operands where they are. */
static void run(const fd_kernels *kernels, int threads, int nontemporal) {
    const test_case *t = now.test;
    char *at[FD_MAX_OPERANDS] = {0};
    now.isa = kernels->name, now.threads = threads, now.nontemporal = nontemporal;
    for (int k = 0; k < t->operands; k++) {
        const operand *o = &t->operand[k];
        if (o->expected >= 0) {
            fill(k);
            if (now.where != ON_HEAP) paint_margins(&arenas[k], now.at[k], o->bytes);
            at[k] = now.at[k] + o->first;
        } else if (o->data == SAME_AS_FIRST) {
            at[k] = at[0];
        } else if (o->data != ABSENT) {
            at[k] = read_only(&arenas[k], now.at[k]) + o->first;
        }
    }
    call(kernels, at);
    runs++;
    for (int k = 0; k < t->operands; k++) {
        const operand *o = &t->operand[k];
        if (o->expected < 0) continue;
        compare(k, now.at[k], blob + o->expected);
        const int64_t stray = now.where == ON_HEAP ? 0 : stray_write(&arenas[k], now.at[k], o->bytes);
        if (stray) report("WRITTEN OUTSIDE (the item is a byte)", k, stray, NULL, NULL);
    }
}

/* All kernels, thread numbers and kinds of stores on one placement. */
static void run_at(placement where, int64_t first, int64_t others, const fd_kernels *const *kernels) {
    const test_case *t = now.test;
    now.where = where;
    for (int k = 0; k < t->operands; k++) {
        const operand *o = &t->operand[k];
        const int64_t item = item_size(o->type);
        now.alignment[k] = k == 0 ? first : (others + (k - 1) * 3 * item) % 64 / item * item;
        now.at[k] = NULL;
        if (o->data == ABSENT || o->data == SAME_AS_FIRST) continue;
        now.at[k] = place(&arenas[k], where, o->bytes, now.alignment[k]);
        fill(k);
    }
    /* threads begin at whole tiles, so alignment makes no difference to them, and starting a team is slow */
    const int most_threads = where == AT_END || where == AT_BEGIN ? t->threads : 1;
    for (int i = 0; kernels[i]; i++)
        for (int threads = 1; threads <= most_threads; threads += 2)
            for (int store = 0; store < t->stores; store++) run(kernels[i], threads, store);
    for (int k = 0; k < t->operands; k++) release(&arenas[k], now.alignment[k]);
}

static void run_case(const test_case *t, const fd_kernels *const *kernels, int quick) {
    const int64_t item = item_size(t->operand[0].type);
    now.test = t;
    case_begins();
    run_at(AT_END, 0, 0, kernels);
    run_at(AT_BEGIN, 0, 0, kernels);
#if defined(WITH_ASAN)
    run_at(ON_HEAP, 0, 0, kernels);
    run_at(ON_HEAP, 3 * item % 64, 5 * item % 64, kernels);
#endif
    const int64_t step = quick && t->operand[0].bytes > 4096 ? 5 * item : item;
    for (int64_t first = 0; first < (t->sweep ? 64 : 1); first += step)
        if (t->sweep == 2 && !quick)
            for (int64_t others = 0; others < 64; others += item) run_at(ALIGNED, first, others, kernels);
        else
            run_at(ALIGNED, (first + 3 * item) % 64, (first * 7 + 5 * item) % 64, kernels);
}

static int read_case(FILE *file, test_case *t) {
    memset(t, 0, sizeof *t);
    if (fscanf(file, "%127s %23s %11s %d %d %d %d %d %d %" SCNu64 " %" SCNu64 " %" SCNu64 " %lf %lf %" SCNu64 " %d %d",
               t->name, t->kernel, t->dtype, &t->operation, &t->threads, &t->stores, &t->nan, &t->sweep, &t->large,
               &t->mask.draw.key, &t->mask.draw.call, &t->mask.threshold, &t->scale, &t->shift, &t->first_tile,
               &t->operands, &t->ndim) != 17)
        return 0;
    if (t->operands > FD_MAX_OPERANDS || t->ndim > MOST_AXES) exit(2);
    for (int k = 0; k < t->operands; k++) {
        operand *o = &t->operand[k];
        if (fscanf(file, "%11s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, o->type, &o->data, &o->bytes, &o->first,
                   &o->expected) != 5)
            exit(2);
    }
    for (int row = 0; row < t->operands + 2; row++)
        for (int axis = 0; axis < t->ndim; axis++) {
            int64_t *to = row == 0 ? t->shape : row == 1 ? t->bit_stride : t->stride[row - 2];
            if (fscanf(file, "%" SCNd64, &to[axis]) != 1) exit(2);
        }
    return 1;
}

static FILE *open_in(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) give_up(path);
    return file;
}

/* In pieces: WebAssembly's systems refuse to read much at once. */
static void read_blob(FILE *file, int64_t bytes) {
    const int64_t most = 1 << 20;
    blob = malloc((size_t)bytes);
    if (!blob) give_up("malloc");
    for (int64_t done = 0; done < bytes; done += most) {
        const size_t piece = (size_t)(bytes - done < most ? bytes - done : most);
        if (fread(blob + done, 1, piece, file) != piece) give_up("cases.bin");
    }
}

int main(int count, char **arguments) {
    const fd_kernels *only[2] = {NULL, NULL};
    const fd_kernels *const *kernels = fd_available();
    int quick = 0;
    if (count < 2) return 2;
    printf("available:");
    for (int i = 0; kernels[i]; i++) printf(" %s", kernels[i]->name);
    printf("\nopenmp: %d\n", fd_has_openmp());
    if (!strcmp(arguments[1], "--list")) return 0;
    for (int i = 2; i < count; i++) {
        if (!strcmp(arguments[i], "--quick")) quick = 1;
        if (strcmp(arguments[i], "--isa") != 0 || i + 1 == count) continue;
        for (int k = 0; kernels[k]; k++)
            if (!strcmp(kernels[k]->name, arguments[i + 1])) only[0] = kernels[k];
        if (!only[0]) return printf("%s is not available\n", arguments[i + 1]), 2;
    }
    if (only[0]) kernels = only;
    catch_crashes(crashed);
#if defined(WITH_ASAN)
    __sanitizer_set_death_callback(died);
#endif

    int64_t largest, bytes, cases = 0, left_out = 0;
    FILE *file = open_in(arguments[1], "cases.txt"), *data = open_in(arguments[1], "cases.bin");
    if (fscanf(file, "%" SCNd64 " %" SCNd64, &largest, &bytes) != 2) return 2;
    read_blob(data, bytes);
    for (int k = 0; k < FD_MAX_OPERANDS; k++) arenas[k] = make_arena(largest);
    static test_case test;
    while (read_case(file, &test)) {
        cases++;
        if (quick && test.large)
            left_out++;
        else
            run_case(&test, kernels, quick);
    }
    printf("ran:");
    for (int i = 0; kernels[i]; i++) printf(" %s", kernels[i]->name);
    printf("\n%" PRId64 " cases, %" PRId64 " left out, %" PRId64 " calls, %" PRId64 " failures\n", cases, left_out,
           runs, failures);
    fclose(file);
    fclose(data);
    free(blob);
    return failures > 0 || cases == 0;
}
