# What a stream consists of: draws, and the counter that they are taken from.


def philox(counter, key):
    """The four words of one Philox4x32-10 counter, for the known-answer test and for keys of spawned streams."""
    cdef fd_words words
    for i in range(4):
        words.w[i] = counter[i]
    words = fd_philox4x32_10(words, key[0], key[1])
    return tuple(words.w[i] for i in range(4))


@cython.final
cdef class Draw:
    """What a stream hands out, one for each mask: its key and a call number. It decides all random bits of the call."""
    cdef fd_draw numbers

    def __init__(self, uint64_t key, uint64_t call):
        self.numbers.key = key
        self.numbers.call = call

    @property
    def key(self):
        return self.numbers.key

    @property
    def call(self):
        return self.numbers.call

    def __eq__(self, other):
        return (self.key, self.call) == (other.key, other.call) if isinstance(other, Draw) else NotImplemented

    def __hash__(self):
        return hash((self.key, self.call))

    def __repr__(self):
        return f"Draw(key={self.key}, call={self.call})"

    def __reduce__(self):
        return Draw, (self.key, self.call)


cdef Draw new_draw(uint64_t key, uint64_t call):
    cdef Draw draw = Draw.__new__(Draw)
    draw.numbers.key = key
    draw.numbers.call = call
    return draw


cdef class Calls:
    """A key, and how many draws and spawned streams have come from it. Several Python threads may share one."""
    cdef uint64_t _key
    cdef uint64_t _calls
    cdef uint64_t _spawned

    def draw(self):
        """Take the next call number; returns the draw."""
        return take_draw(self)

    def _give_back(self, uint64_t call, uint64_t count):
        """Undo the last `count` draws, the first of which had this number, unless others have followed."""
        with cython.critical_section(self):
            if FD_FAULT(given_back_late, self._calls == call + count, 1):
                self._calls = call

    def _next_children(self, uint64_t count):
        """Take the next `count` numbers of children; returns the key, and the first number."""
        with cython.critical_section(self):
            first = self._spawned
            self._spawned += <uint64_t> FD_FAULT(children_repeat, count, 0)
            return self._key, first

    def _get(self):
        """Key, calls and children so far."""
        with cython.critical_section(self):
            return self._key, self._calls, self._spawned

    def _set(self, uint64_t key, uint64_t calls, uint64_t spawned):
        with cython.critical_section(self):
            self._key = key
            self._calls = calls
            self._spawned = spawned


cdef Draw take_draw(Calls calls):
    cdef uint64_t key, call
    with cython.critical_section(calls):
        key = calls._key
        call = calls._calls
        calls._calls += <uint64_t> FD_FAULT(call_stays, 1, 0)
    return new_draw(key, call)
