/* Memory for the operands of a case: no byte before the first or after the last one may be accessed.
 *
 * Each operand has an arena, a file's pages mapped twice: once writable, once read-only, which is how kernels get what
 * they only read. Both mappings have a page before and a page behind that nobody may touch.
 */
#include <string.h>

#include "pages.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN
#endif
#if defined(WITH_ASAN)
#include <sanitizer/asan_interface.h>
#endif

#define MARGIN 256  /* bytes around a written operand that are checked afterwards */
#define UNSET 0xA5  /* fill of the margins, and of outputs before the call */
#define INSIDE 4096 /* where an operand with a given alignment begins: room for a margin on both sides */

/* Touching a guard page: behind the operand, before it. An alignment from 0 to 63 bytes, with a margin. A block from
 * malloc of just the right size, for AddressSanitizer. */
typedef enum { AT_END, AT_BEGIN, ALIGNED, ON_HEAP } placement;
static const char *const placement_name[] = {"end at guard page", "begin at guard page", "aligned", "heap"};

typedef struct {
    char *writable, *readable;
    int64_t size;
    char *block; /* from malloc */
} arena;

static arena make_arena(int64_t bytes) {
    const int64_t page = page_size();
    arena a = {0};
    a.size = (bytes + 2 * INSIDE + page - 1) / page * page;
    map_twice(a.size, &a.writable, &a.readable);
    memset(a.writable, UNSET, (size_t)a.size);
    return a;
}

/* The writable address of an operand of this many bytes, where the test fills it. */
static char *place(arena *a, placement where, int64_t bytes, int64_t alignment) {
    if (where == AT_END) return a->writable + a->size - bytes;
    if (where == AT_BEGIN) return a->writable;
    if (where == ALIGNED) return a->writable + INSIDE + alignment;
#if defined(WITH_ASAN)
    if (posix_memalign((void **)&a->block, 64, (size_t)(alignment + bytes)) != 0) give_up("malloc");
    ASAN_POISON_MEMORY_REGION(a->block, (size_t)alignment);
#endif
    return a->block + alignment;
}

static void release(arena *a, int64_t alignment) {
    (void)alignment;
    if (!a->block) return;
#if defined(WITH_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(a->block, (size_t)alignment);
#endif
    free(a->block);
    a->block = NULL;
}

/* The read-only address of the same operand, for a kernel that must not write it. */
static char *read_only(const arena *a, char *at) { return a->block ? at : a->readable + (at - a->writable); }

/* The margins around an operand, cut off at the guard pages. */
static void margins(const arena *a, const char *at, int64_t bytes, int64_t *before, int64_t *behind) {
    const int64_t left = at - a->writable, right = a->size - left - bytes;
    *before = a->block ? 0 : left < MARGIN ? left : MARGIN;
    *behind = a->block ? 0 : right < MARGIN ? right : MARGIN;
}

static void paint_margins(const arena *a, char *at, int64_t bytes) {
    int64_t before, behind;
    margins(a, at, bytes, &before, &behind);
    memset(at - before, UNSET, (size_t)before);
    memset(at + bytes, UNSET, (size_t)behind);
}

/* Offset from the operand's first byte to the first byte written outside the operand; 0: none. */
static int64_t stray_write(const arena *a, const char *at, int64_t bytes) {
    int64_t before, behind;
    margins(a, at, bytes, &before, &behind);
    for (int64_t i = -before; i < bytes + behind; i++) {
        if (i == 0) i = bytes;
        if (i < bytes + behind && (unsigned char)at[i] != UNSET) return i;
    }
    return 0;
}
