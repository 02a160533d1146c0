/* How a call is split over threads; without OpenMP there is one. */
#ifdef _OPENMP
#include <omp.h>
#ifdef __linux__
#include <sched.h>
#include <unistd.h>
#endif
#endif

namespace {

int concurrent_calls; /* those that asked for more than one thread */

#ifdef _OPENMP
/* ---- the thread that a call comes from: the core that it runs on, and the cores that it may run on ---- */

#ifdef __linux__
struct caller {
    int core = -1; /* -1: unknown, or OpenMP binds its threads to cores */
    cpu_set_t allowed;
};

/* Fills in the caller; returns how many threads its call gets: a caller that is pinned to fewer cores gets no more. */
int team_of(int threads, caller &c) {
    if (threads <= 1 || omp_get_proc_bind() != omp_proc_bind_false) return threads;
    if (sched_getaffinity(0, sizeof c.allowed, &c.allowed) != 0) return threads; /* over 1024 cores */
    c.core = sched_getcpu();
    const int cores = CPU_COUNT(&c.allowed);
    return threads < cores ? threads : cores;
}

/* A worker that is woken on its caller's core runs after it, not beside it, call after call, where the system does not
 * look for idle cores (seen in a virtual machine: two threads took 60 microseconds longer than one). It moves to any
 * other core that its caller may use, and may no longer wake on this one. */
void place_worker(const caller &c) {
    const int core = sched_getcpu();
    if (c.core < 0 || core < 0 || (core != c.core && CPU_ISSET(core, &c.allowed))) return;
    cpu_set_t others = c.allowed;
    CPU_CLR(c.core, &others);
    if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others); /* where that fails, it stays */
}
#else
struct caller {};
int team_of(int threads, caller &) { return threads; }
void place_worker(const caller &) {}
#endif

/* ---- calls that run at the same time ---- */

/* Counts a call while it runs. Concurrent calls share the cores: else each of Dask's threads, say, would have a team as
 * large as if it were alone. The first ones keep a larger team until they end. */
class counted_call {
    const bool counts;

public:
    int team; /* how many threads it gets */

    counted_call(int threads, caller &c) : counts(threads > 1), team(team_of(threads, c)) {
        if (!counts) return;
        const int calls = __atomic_add_fetch(&concurrent_calls, 1, __ATOMIC_RELAXED);
        if (calls > 1) team = fd_team_size(team, calls, omp_get_num_procs());
    }
    ~counted_call() {
        if (counts) __atomic_sub_fetch(&concurrent_calls, 1, __ATOMIC_RELAXED);
    }
};
#endif

/* ---- ranges ---- */

/* Slice t of n nearly equal slices of [0, count), in whole units. */
struct range {
    int64_t begin, end;
    range(int64_t count, int64_t unit, int n, int t) {
        const int64_t units = (count + unit - 1) / unit;
        begin = units * t / n * unit;
        end = units * (t + 1) / n * unit;
        end += FD_FAULT(slices_gap, 0, -(t + 1 < n)) + FD_FAULT(slices_overlap, 0, t + 1 < n);
        if (end > count) end = count;
    }
};

/* Calls work(begin, end) for `pieces` slices of [0, count), on up to `threads` threads. OpenMP is not called for one
 * thread: in a child made by fork() the team's threads are gone. */
template <typename Work>
void split_into(int pieces, bool dynamic, int threads, int64_t count, int64_t unit, Work work) {
#ifdef _OPENMP
    caller c;
    const counted_call call(threads, c);
    const auto piece = [&](int t) {
        if (omp_get_thread_num() > 0) place_worker(c);
        const range r(count, unit, pieces, t);
        if (r.begin < r.end) work(r.begin, r.end);
    };
    if (call.team > 1 && dynamic) {
#pragma omp parallel for num_threads(call.team) schedule(dynamic, 1)
        for (int t = 0; t < pieces; t++) piece(t);
        return;
    }
    if (call.team > 1) {
#pragma omp parallel for num_threads(call.team) schedule(static, 1)
        for (int t = 0; t < pieces; t++) piece(t);
        return;
    }
#else
    (void)pieces, (void)dynamic, (void)threads, (void)unit;
#endif
    work((int64_t)0, count);
}

/* One slice for each thread, the same one call after call: its caches may still hold it. */
template <typename Work>
void split(int threads, int64_t count, int64_t unit, Work work) {
    split_into(threads, false, threads, count, unit, work);
}

/* For what takes milliseconds: more slices, scheduled dynamically, since a thread may get half a core: BLAS's idle
 * threads spin for 0.1 s (seen: 8 ms instead of 4.5). */
template <typename Work>
void split_long(int threads, int64_t count, int64_t unit, Work work) {
    split_into(8 * threads, true, threads, count, unit, work);
}

constexpr int64_t LONG = (int64_t)1 << 22; /* elements: from there on no cache of a core holds its slice */

} // namespace
