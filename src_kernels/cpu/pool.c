/* A bounded pool of freed blocks, from the oldest to the newest. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* MAP_ANONYMOUS and madvise */
#endif
#include "cpu/pool.h"

#include "shared/faults.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

/* A mutex, not a spin lock: a thread that loses its core while it holds the lock would let the others spin. It is held
 * while the list is read or changed, and not while the system takes or gives memory. */
#ifdef _WIN32
static SRWLOCK mutex = SRWLOCK_INIT;
static void lock(void) { AcquireSRWLockExclusive(&mutex); }
static void unlock(void) { ReleaseSRWLockExclusive(&mutex); }
int fd_pool_start(void) { return 0; }
#else
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }
/* A fork finds the list whole, and its child the lock free. */
int fd_pool_start(void) { return pthread_atfork(lock, unlock, unlock) == 0 ? 0 : -1; }
#endif

/* Describes a block; it is in front of the data, at their address - FD_HEAD. */
typedef struct fd_pool_block {
    struct fd_pool_block *older, *newer; /* while it is kept */
    void *start;                         /* what the system gave, */
    size_t mapped;                       /* bytes that mmap gave, or 0: it is malloc's */
    size_t capacity;                     /* of the data */
} fd_pool_block;

#define FD_HEAD ((size_t)64)
_Static_assert(sizeof(fd_pool_block) <= FD_HEAD, "the description fits in front of the data");
#define FD_HUGE_PAGE ((size_t)1 << 21)

static fd_pool_block *oldest, *newest;
static size_t limit, kept_bytes;

static char *data_of(fd_pool_block *block) { return (char *)block + FD_HEAD; }
static fd_pool_block *block_of(void *data) { return (fd_pool_block *)((char *)data - FD_HEAD); }

static char *align_up(char *address, size_t unit) { return address + ((0 - (uintptr_t)address) & (unit - 1)); }

/* Puts the block's description in front of its data. */
static fd_pool_block *describe(char *data, void *start, size_t mapped, size_t capacity) {
    fd_pool_block *block = block_of(data);
    block->older = block->newer = NULL;
    block->start = start;
    block->mapped = mapped;
    block->capacity = capacity;
    return block;
}

/* A new block, or NULL. Large ones get huge pages, as NumPy asks for them, from their first byte on; the description
 * has a small page in front of them. */
static fd_pool_block *obtain(size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
#ifdef __linux__
    if (size >= FD_POOL_SMALLEST) {
        const size_t capacity = (size + FD_HUGE_PAGE - 1) & ~(FD_HUGE_PAGE - 1), mapped = capacity + FD_HUGE_PAGE;
        char *start = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED) return NULL;
        char *data = align_up(start + sysconf(_SC_PAGESIZE), FD_HUGE_PAGE);
#ifdef MADV_HUGEPAGE
        madvise(data, capacity, MADV_HUGEPAGE); /* fails where the system has none */
#endif
        return describe(data, start, mapped, capacity);
    }
#endif
    char *start = malloc(size + 2 * FD_HEAD);
    return start ? describe(align_up(start + FD_HEAD, FD_HEAD), start, 0, size) : NULL;
}

static void give_back(fd_pool_block *block) {
#ifdef __linux__
    if (block->mapped) {
        munmap(block->start, block->mapped);
        return;
    }
#endif
    free(block->start);
}

static void give_all_back(fd_pool_block *block) {
    while (block) {
        fd_pool_block *next = block->newer;
        give_back(block);
        block = next;
    }
}

/* The next three are called under the lock. */

static void append(fd_pool_block *block) {
    block->older = newest;
    block->newer = NULL;
    *(newest ? &newest->newer : &oldest) = block;
    newest = block;
    kept_bytes += block->capacity;
}

static void take_out(fd_pool_block *block) {
    *(block->older ? &block->older->newer : &oldest) = block->newer;
    *(block->newer ? &block->newer->older : &newest) = block->older;
    block->older = block->newer = NULL;
    kept_bytes -= block->capacity;
}

/* Takes the oldest blocks out until no more than `most` bytes are kept; returns them as a list, to be given back. */
static fd_pool_block *cut(size_t most) {
    fd_pool_block *list = NULL;
    while (kept_bytes > most) {
        fd_pool_block *block = oldest;
        take_out(block);
        block->newer = list;
        list = block;
    }
    return list;
}

/* Whether a block may serve a request of this size: it fits, and uses four fifths of the block. */
static int suits(const fd_pool_block *block, size_t size) {
    size -= FD_FAULT(pool_too_small, 0, size / 8);
    return block->capacity >= size && FD_FAULT(pool_wasteful, block->capacity - size <= size / 4, 1);
}

static fd_pool_block *reuse(size_t size) {
    fd_pool_block *best = NULL;
    lock();
    for (fd_pool_block *block = newest; block;
         block = block->older) /* of equal ones the newest: caches may hold some of it */
        if (suits(block, size) && (!best || FD_FAULT(pool_first_fit, block->capacity < best->capacity, 0)))
            best = block;
    if (best) take_out(best);
    unlock();
    return best;
}

static void keep(fd_pool_block *block) {
#if defined(__linux__) && defined(MADV_FREE)
    /* Under pressure the system may have the pages; before others can see the block, or it would take what they write.
     */
    madvise(data_of(block), block->capacity, MADV_FREE);
#endif
    lock();
    fd_pool_block *surplus = block;
    if (block->capacity <= limit) {
        surplus = cut(limit - FD_FAULT(pool_bound, block->capacity, 0));
        append(block);
    }
    unlock();
    give_all_back(surplus);
}

void *fd_pool_malloc(void *context, size_t size) {
    (void)context;
    fd_pool_block *block = size >= FD_POOL_SMALLEST ? reuse(size) : NULL;
    if (!block) block = obtain(size);
    if (!block) {
        fd_pool_empty();
        block = obtain(size);
    }
    return block ? data_of(block) : NULL;
}

void *fd_pool_calloc(void *context, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    void *data = fd_pool_malloc(context, count * size);
    return data ? memset(data, FD_FAULT(pool_calloc, 0, 0x55), count * size) : NULL;
}

void *fd_pool_realloc(void *context, void *data, size_t size) {
    if (!data) return fd_pool_malloc(context, size);
    const size_t capacity = block_of(data)->capacity;
    if (suits(block_of(data), size)) return data;
    void *moved = fd_pool_malloc(context, size);
    if (!moved) return NULL;
    memcpy(moved, data, FD_FAULT(pool_realloc, size < capacity ? size : capacity, FD_POOL_SMALLEST / 2));
    fd_pool_free(context, data, capacity);
    return moved;
}

/* The size that NumPy gives is the array's; the block knows its own. */
void fd_pool_free(void *context, void *data, size_t size) {
    (void)context, (void)size;
    if (!data) return;
    fd_pool_block *block = block_of(data);
    if (fd_pool_keeps(block->capacity))
        keep(block);
    else
        give_back(block);
}

int fd_pool_keeps(size_t size) { return size >= FD_POOL_SMALLEST && size <= fd_pool_limit(); }

void fd_pool_set_limit(size_t bytes) {
    lock();
    limit = bytes;
    fd_pool_block *surplus = cut(limit);
    unlock();
    give_all_back(surplus);
}

size_t fd_pool_limit(void) {
    lock();
    const size_t bytes = limit;
    unlock();
    return bytes;
}

size_t fd_pool_free_bytes(void) {
    lock();
    const size_t bytes = kept_bytes;
    unlock();
    return bytes;
}

void fd_pool_empty(void) {
    lock();
    fd_pool_block *surplus = cut(0);
    unlock();
    give_all_back(surplus);
}
