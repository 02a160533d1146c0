/* The pool of src_kernels/cpu/pool.c from several threads at once, and with requests that NumPy seldom makes. Prints
 * "right". */
#include "cpu/pool.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB ((size_t)1 << 20)
#define THREADS 4
#define HELD 4
#define ROUNDS 500

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s\n", __LINE__, #condition);                                                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void *allocate(size_t size) { return fd_pool_malloc(NULL, size); }
static void release(void *data) { fd_pool_free(NULL, data, 1); }

/* Marks both ends of a block, which no other thread may write to. */
static void mark(unsigned char *data, size_t size, int number) { data[0] = data[size - 1] = (unsigned char)number; }
static int is_marked(const unsigned char *data, size_t size, int number) {
    return data[0] == (unsigned char)number && data[size - 1] == (unsigned char)number;
}

static void *stress(void *argument) {
    const int number = (int)(intptr_t)argument;
    unsigned random = (unsigned)number;
    unsigned char *held[HELD] = {0};
    size_t sizes[HELD] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        const int k = rand_r(&random) % HELD;
        if (held[k]) CHECK(is_marked(held[k], sizes[k], number));
        const size_t size = rand_r(&random) % 4 ? (30 + (size_t)rand_r(&random) % 20) * MB - 3 : 100;
        switch (rand_r(&random) % 8) {
        case 0:
            fd_pool_empty();
            break;
        case 1:
            fd_pool_set_limit((20 + (size_t)rand_r(&random) % 180) * MB);
            break;
        case 2: {
            unsigned char *resized = fd_pool_realloc(NULL, held[k], size);
            CHECK(resized);
            if (held[k]) CHECK(resized[0] == (unsigned char)number);
            held[k] = resized;
            sizes[k] = size;
            mark(resized, size, number);
            break;
        }
        default:
            release(held[k]);
            held[k] = allocate(size);
            CHECK(held[k]);
            sizes[k] = size;
            mark(held[k], size, number);
        }
        CHECK(fd_pool_free_bytes() <= 200 * MB);
    }
    for (int k = 0; k < HELD; k++) release(held[k]);
    return NULL;
}

static void forks(void) {
    for (int round = 0; round < 50; round++) {
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            fd_pool_empty();
            fd_pool_set_limit(64 * MB);
            unsigned char *data = allocate(32 * MB);
            mark(data, 32 * MB, 1);
            release(data);
            _exit(fd_pool_free_bytes() == 32 * MB ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
}

static void rare_requests(void) {
    fd_pool_set_limit(128 * MB);
    release(NULL);
    void *nothing = allocate(0);
    CHECK(nothing);
    release(fd_pool_realloc(NULL, nothing, 0));
    release(fd_pool_realloc(NULL, NULL, 8));
    void *kept = allocate(33 * MB + 1);
    memset(kept, 7, 33 * MB + 1);
    CHECK((uintptr_t)kept % 64 == 0);
    release(kept);
    CHECK(fd_pool_free_bytes() >= 33 * MB + 1);
    unsigned char *zeros = fd_pool_calloc(NULL, 33, MB); /* the same memory */
    CHECK(zeros == kept);
    for (size_t k = 0; k < 33 * MB; k++) CHECK(zeros[k] == 0);
    CHECK(!fd_pool_realloc(NULL, zeros, SIZE_MAX) && zeros[0] == 0);
    CHECK(!allocate(SIZE_MAX) && !allocate(SIZE_MAX / 2 + 1) && !allocate(SIZE_MAX - 100) && !allocate(SIZE_MAX / 4));
    CHECK(!fd_pool_calloc(NULL, SIZE_MAX / 2, 3) && !fd_pool_calloc(NULL, 3, SIZE_MAX / 2));
    unsigned char *none = fd_pool_calloc(NULL, 0, 8);
    CHECK(none);
    release(none);
    release(zeros);
    fd_pool_set_limit(SIZE_MAX);
    CHECK(fd_pool_keeps(SIZE_MAX) && !fd_pool_keeps(FD_POOL_SMALLEST - 1));
    release(allocate(500 * MB));
    CHECK(fd_pool_free_bytes() >= 500 * MB);
    fd_pool_set_limit(0);
    CHECK(fd_pool_free_bytes() == 0 && !fd_pool_keeps(FD_POOL_SMALLEST));
    release(allocate(64 * MB));
    CHECK(fd_pool_free_bytes() == 0);
}

int main(int count, char **arguments) {
    CHECK(fd_pool_start() == 0 && fd_pool_limit() == 0);
    rare_requests();
    fd_pool_set_limit(150 * MB);
    pthread_t threads[THREADS];
    for (intptr_t k = 0; k < THREADS; k++) CHECK(pthread_create(&threads[k], NULL, stress, (void *)k) == 0);
    if (count < 2 || strcmp(arguments[1], "--no-fork") != 0) forks();
    for (int k = 0; k < THREADS; k++) CHECK(pthread_join(threads[k], NULL) == 0);
    release(allocate(32 * MB)); /* something is kept at the end */
    printf("right\n");
    return 0;
}
