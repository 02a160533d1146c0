# Which kernels run, and how: instruction set, threads, what large arrays ask of memory.

cdef const fd_kernels *_kernels = fd_available()[0]

cdef fd_prefetch _prefetch = fd_prefetch(FD_NO_PREFETCH, 0)
cdef int64_t _nontemporal_above = 1 << 25

HINTS = ("none", "first level", "second level", "non-temporal")  # by number, as fd_hint has them


def set_large_arrays(str hint not None, int64_t ahead, int64_t above):
    """How calls that touch more than `above` bytes, which write past the caches, ask for memory: the cache that it goes
    to, one of HINTS, and how many bytes ahead."""
    global _prefetch, _nontemporal_above
    if hint not in HINTS:
        raise ValueError(f"hint is one of {', '.join(HINTS)}; got {hint!r}")
    cdef int number = HINTS.index(hint)
    _prefetch = fd_prefetch(<fd_hint> number, ahead)
    _nontemporal_above = above


def large_arrays():
    """What `set_large_arrays` set."""
    return HINTS[<int> _prefetch.hint], _prefetch.ahead, _nontemporal_above


def processor():
    """The processor as it describes itself, (vendor, family, model): ("", 0, 0) where there is no CPUID."""
    cdef fd_processor found = fd_processor_here()
    return found.vendor.decode("ascii", "replace"), found.family, found.model


def available_isas():
    """Names of the instruction sets that this build has and this processor runs, best first."""
    cdef const fd_kernels *const *table = fd_available()
    cdef int i = 0
    names = []
    while table[i] != NULL:
        names.append(table[i].name.decode())
        i += 1
    return names


def use_isa(str name not None):
    """Run every later call with this instruction set."""
    global _kernels
    cdef const fd_kernels *const *table = fd_available()
    cdef int i = 0
    while table[i] != NULL:
        if table[i].name.decode() == name:
            _kernels = table[i]
            return
        i += 1
    raise ValueError(f"instruction set {name!r} is not available here; available: {', '.join(available_isas())}")


def current_isa():
    return _kernels.name.decode()


def max_threads():
    return fd_max_threads()


def concurrent_calls():
    """How many calls run at this moment that asked for more than one thread: they share the cores."""
    return fd_concurrent_calls()


def team_size(int threads, int calls, int cores):
    """How many threads a call gets of these cores while `calls` run; alone it would have `threads`."""
    return fd_team_size(threads, calls, cores)


def has_openmp():
    return bool(fd_has_openmp())
