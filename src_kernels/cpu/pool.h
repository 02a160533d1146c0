/* Memory for large results that is used again. The C library gives it back to the system on every free, and the system
 * clears each page anew when it is next written. */
#ifndef FASTDROP_POOL_H
#define FASTDROP_POOL_H

#include <stddef.h>

/* From here on glibc always asks the system (its DEFAULT_MMAP_THRESHOLD_MAX). */
#define FD_POOL_SMALLEST ((size_t)1 << 25)

/* Before anything else; returns 0, or -1 where there is no memory. */
int fd_pool_start(void);

/* The functions of a NumPy memory handler (NEP 49), for blocks of any size; only those of FD_POOL_SMALLEST bytes and
 * more are kept when they are freed. Any number of threads may call them. */
void *fd_pool_malloc(void *context, size_t size);
void *fd_pool_calloc(void *context, size_t count, size_t size);
void *fd_pool_realloc(void *context, void *data, size_t size);
void fd_pool_free(void *context, void *data, size_t size);

/* Whether a block of this size would be kept. */
int fd_pool_keeps(size_t size);
/* The most unused bytes that are kept; 0 at first. */
void fd_pool_set_limit(size_t bytes);
size_t fd_pool_limit(void);
/* The bytes that are kept: those of freed blocks. */
size_t fd_pool_free_bytes(void);
/* Gives all of them back to the system. */
void fd_pool_empty(void);

#endif
