/* Guard pages, and the handlers that report an access to one, for POSIX, Windows and WebAssembly.
 *
 * WebAssembly has neither such pages nor signals: there an operand's margins show a stray write, and nothing shows
 * a stray read.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_SECONDS 100 /* for one case, POSIX alone: so that a hang is reported */

/* Called with what happened, and the address that was touched: NULL where that is not known. */
typedef void crash_handler(const char *what, const char *address);

static void give_up(const char *what) {
    perror(what);
    exit(2);
}

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static crash_handler *on_crash;

static LONG CALLBACK exception(EXCEPTION_POINTERS *found) {
    const EXCEPTION_RECORD *record = found->ExceptionRecord;
    char what[32];
    snprintf(what, sizeof what, "exception %08lx", record->ExceptionCode);
    if (record->ExceptionCode == EXCEPTION_ACCESS_VIOLATION)
        on_crash(what, (const char *)record->ExceptionInformation[1]);
    if (record->ExceptionCode >= 0xC0000000) on_crash(what, NULL); /* errors; other exceptions go to their handlers */
    return EXCEPTION_CONTINUE_SEARCH;
}

static void catch_crashes(crash_handler *handler) {
    on_crash = handler;
    AddVectoredExceptionHandler(1, exception);
}

static void case_begins(void) {}

static int64_t page_size(void) {
    SYSTEM_INFO found;
    GetSystemInfo(&found);
    return found.dwPageSize;
}

static char *map_guarded(HANDLE file, int64_t size, DWORD access, int64_t page) {
    char *all = MapViewOfFile(file, access, 0, 0, 0);
    DWORD before;
    if (!all || !VirtualProtect(all, (size_t)page, PAGE_NOACCESS, &before)) give_up("MapViewOfFile");
    if (!VirtualProtect(all + page + size, (size_t)page, PAGE_NOACCESS, &before)) give_up("VirtualProtect");
    return all + page;
}

static void map_twice(int64_t size, char **writable, char **readable) {
    const int64_t page = page_size(), all = size + 2 * page;
    HANDLE file = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)(all >> 32), (DWORD)all, NULL);
    if (!file) give_up("CreateFileMapping");
    *writable = map_guarded(file, size, FILE_MAP_READ | FILE_MAP_WRITE, page);
    *readable = map_guarded(file, size, FILE_MAP_READ, page);
}

#elif defined(__wasm__)
static void catch_crashes(crash_handler *handler) { (void)handler; }

static void case_begins(void) {}

static int64_t page_size(void) { return 4096; }

static void map_twice(int64_t size, char **writable, char **readable) {
    *writable = *readable = aligned_alloc(4096, (size_t)size);
    if (!*writable) give_up("aligned_alloc");
}

#else
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static crash_handler *on_crash;

static void signalled(int number, siginfo_t *info, void *context) {
    (void)context;
    char what[32];
    snprintf(what, sizeof what, "signal %d", number);
    on_crash(what, number == SIGALRM ? NULL : info->si_addr);
}

static void catch_crashes(crash_handler *handler) {
    on_crash = handler;
    struct sigaction action = {.sa_sigaction = signalled, .sa_flags = SA_SIGINFO};
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM};
    for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);
}

static void case_begins(void) { alarm(MOST_SECONDS); }

static int64_t page_size(void) { return sysconf(_SC_PAGESIZE); }

static char *map_guarded(int file, int64_t size, int protection, int64_t page) {
    char *all = mmap(NULL, (size_t)(size + 2 * page), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) give_up("mmap");
    if (mmap(all + page, (size_t)size, protection, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) give_up("mmap");
    return all + page;
}

static void map_twice(int64_t size, char **writable, char **readable) {
    FILE *file = tmpfile();
    if (!file || ftruncate(fileno(file), size) != 0) give_up("tmpfile");
    *writable = map_guarded(fileno(file), size, PROT_READ | PROT_WRITE, page_size());
    *readable = map_guarded(fileno(file), size, PROT_READ, page_size());
    fclose(file);
}
#endif
