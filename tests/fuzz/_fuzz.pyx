"""A fuzzer that learns, in one module with what it fuzzes.

gcc calls `__sanitizer_cov_trace_pc` at every branch of code compiled with
``-fsanitize-coverage=trace-pc``. Two calls in a row are an edge; how often each was
taken, in powers of two, is what an input does. An input that does something new is
kept, and changed further.

Here are the map, the mutations, and the decoder's target, which runs without Python: a
whole decoding is some microseconds. Other surfaces are targets in Python
(`surfaces.py`), which take the mutations alone.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from replay.trace.blktrace._decode cimport Decode, decode_run
from replay.trace.blktrace._source cimport Source, source_open
from replay.trace.pairing.facts cimport CgroupTally, Facts, ProcessTally
from replay.trace.pairing.grow cimport decode_free, decode_grow, decode_start
from replay.trace.pairing.merge cimport Loser, merge_start
from replay.trace.pairing.rows cimport (
    STOP_BATCH_FULL, STOP_END, STOP_NEED_ROOM, STOP_NONE, rows_write
)

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define FUZZ_MAP 16384
    #define FUZZ_QUIET __attribute__((no_sanitize_coverage))

    static uint8_t fuzz_map[FUZZ_MAP];
    static uint8_t fuzz_seen[FUZZ_MAP];
    static uintptr_t fuzz_last;
    static int fuzz_on;

    /* other modules that are built so call this one */
    __attribute__((visibility("default"))) FUZZ_QUIET
    void __sanitizer_cov_trace_pc(void)
    {
        uintptr_t here;
        if (!fuzz_on)
            return;
        here = (uintptr_t) __builtin_return_address(0);
        here = (here >> 2) ^ (here >> 17);
        fuzz_map[(here ^ fuzz_last) & (FUZZ_MAP - 1)]++;
        fuzz_last = here >> 1;
    }

    static FUZZ_QUIET void fuzz_map_reset(int on)
    {
        memset(fuzz_map, 0, sizeof(fuzz_map));
        fuzz_last = 0;
        fuzz_on = on;
    }

    /* Counts what was never seen before, and remembers it. */
    static FUZZ_QUIET int fuzz_map_news(void)
    {
        int news = 0;
        fuzz_on = 0;
        for (int i = 0; i < FUZZ_MAP; i += 8) {
            uint64_t word;
            memcpy(&word, fuzz_map + i, 8);
            if (!word)
                continue;
            for (int j = i; j < i + 8; j++) {
                uint8_t n = fuzz_map[j], bit;
                if (!n)
                    continue;
                bit = n > 127 ? 128 : n > 31 ? 64 : n > 15 ? 32 : n > 7 ? 16
                    : n > 3 ? 8 : n > 2 ? 4 : n > 1 ? 2 : 1;
                if (!(fuzz_seen[j] & bit)) {
                    fuzz_seen[j] |= bit;
                    news++;
                }
            }
        }
        return news;
    }

    static FUZZ_QUIET int fuzz_edges(void)
    {
        int edges = 0;
        for (int i = 0; i < FUZZ_MAP; i++)
            edges += fuzz_seen[i] != 0;
        return edges;
    }

    static FUZZ_QUIET uint64_t fuzz_random(uint64_t *state)
    {
        uint64_t x = *state;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *state = x;
        return x * 0x2545F4914F6CDD1DULL;
    }
    """
    void fuzz_map_reset(int on) noexcept nogil
    int fuzz_map_news() noexcept nogil
    int fuzz_edges() noexcept nogil
    const int FUZZ_MAP
    const uint8_t* fuzz_map
    uint64_t fuzz_random(uint64_t* state) noexcept nogil

cdef enum:
    MAX_INPUT = 0x600
    ROWS = 64
    #: Of `Failure`.
    GOOD = 0
    BAD_COUNTS = 1
    BAD_BYTES = 2
    BAD_ORDER = 3
    NO_END = 4

cdef uint64_t[24] EXTREMES = [
    0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
    0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
    0x65617407, 0x65617408, 0x07746165,
    0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff8, 0xffffffffffffffff,
]


def map_reset(on: bool = True) -> None:
    """Begin an execution: nothing was taken yet."""
    fuzz_map_reset(on)


def map_news() -> int:
    """End an execution: how much of what it did was never seen before."""
    return fuzz_map_news()


def map_taken() -> list[int]:
    """Return the edges that this execution took, before it ends."""
    cdef list[int] found = []
    cdef int place
    for place in range(FUZZ_MAP):
        if fuzz_map[place]:
            found.append(place)
    return found


def edges() -> int:
    """Edges that any input took."""
    return fuzz_edges()


cdef size_t mutate(
    uint8_t* data,
    size_t n,
    size_t room,
    const uint8_t* other,
    size_t n_other,
    uint64_t* state,
) noexcept nogil:
    """Give an input some blows; return its new length, within the room there is."""
    cdef uint64_t blows = 1 + fuzz_random(state) % 4
    cdef uint64_t kind, value, at, width, count, source
    while blows:
        blows -= 1
        kind = fuzz_random(state) % 10
        if n == 0:
            kind = 8
        at = fuzz_random(state) % n if n else 0
        if kind == 0:
            data[at] ^= <uint8_t>(1 << fuzz_random(state) % 8)
        elif kind == 1:
            data[at] = <uint8_t>fuzz_random(state)
        elif kind <= 4:
            # a field, mostly where fields stand
            width = <uint64_t>1 << fuzz_random(state) % 4
            if kind > 2:
                at &= ~(width - 1)
            value = EXTREMES[fuzz_random(state) % 24]
            if fuzz_random(state) % 4 == 0:
                value = fuzz_random(state) >> fuzz_random(state) % 64
            if at + width <= n:
                memcpy(data + at, &value, width)
        elif kind == 5:
            # take some away
            count = fuzz_random(state) % 64 if fuzz_random(state) % 4 else n - at
            count = min(count, n - at)
            memmove(data + at, data + at + count, n - at - count)
            n -= count
        elif kind == 6:
            # say some twice
            count = min(1 + fuzz_random(state) % 128, n - at)
            count = min(count, <uint64_t>room - n)
            memmove(data + at + count, data + at, n - at)
            n += count
        elif kind == 7:
            # add a little to a field
            width = <uint64_t>4 << fuzz_random(state) % 2
            if at + width <= n:
                value = 0
                memcpy(&value, data + at, width)
                value += fuzz_random(state) % 17 - 8
                memcpy(data + at, &value, width)
        elif n_other:
            # a piece of another input
            source = fuzz_random(state) % n_other
            count = min(1 + fuzz_random(state) % 256, n_other - source)
            count = min(count, <uint64_t>room - n)
            if kind == 9:
                count = min(count, n - at)
                memcpy(data + at, other + source, count)
            else:
                memmove(data + at + count, data + at, n - at)
                memcpy(data + at, other + source, count)
                n += count
    return n


def mutated(data: bytes, other: bytes, seed: int) -> bytes:
    """Give an input some blows, for targets in Python."""
    cdef const uint8_t* start = other
    cdef uint64_t state = seed | 1
    cdef size_t n = len(data)
    cdef size_t room = n + MAX_INPUT
    cdef uint8_t* buffer = <uint8_t*>malloc(room)
    if buffer == NULL:
        raise MemoryError
    try:
        memcpy(buffer, <const uint8_t*>data, n)
        n = mutate(buffer, n, room, start, len(other), &state)
        return PyBytes_FromStringAndSize(<const char*>buffer, n)
    finally:
        free(buffer)


cdef class DecoderTarget:
    """Decodes inputs, whole, in two sources or in one, and checks what comes out."""

    cdef Decode base
    cdef Source sources[2]
    cdef Loser losers[2]
    cdef int64_t times[4][ROWS]
    cdef uint64_t wide[2][ROWS]
    cdef uint32_t narrow[6][ROWS]
    cdef object columns
    cdef readonly int failure
    cdef readonly object failed

    def __cinit__(self) -> None:
        self.prepare()

    def __dealloc__(self) -> None:
        decode_free(&self.base)

    cdef int prepare(self) except -1:
        """Make the tables that every decoding begins with."""
        cdef uint64_t[6] seeds
        memset(&self.base, 0, sizeof(Decode))
        memset(seeds, 7, sizeof(seeds))
        decode_start(&self.base, 16, seeds)
        decode_grow(&self.base)
        return 0

    cdef void empty(self) noexcept nogil:
        """Empty the tables again, as far as a decoding that grew none has filled them."""
        cdef Facts* facts = &self.base.facts
        memset(
            self.base.pair.table.places,
            0,
            (<size_t>self.base.pair.table.mask + 1) * sizeof(uint64_t),
        )
        memset(facts.devices.places, 0, (<size_t>facts.devices.mask + 1) * 4)
        memset(facts.cgroups.places, 0, (<size_t>facts.cgroups.mask + 1) * 4)
        memset(facts.processes.places, 0, (<size_t>facts.processes.mask + 1) * 4)
        memset(facts.tracked.places, 0, (<size_t>facts.tracked.mask + 1) * 4)
        memset(facts.device_requests, 0, facts.devices.capacity * sizeof(uint64_t))
        memset(facts.cgroup_tally, 0, facts.cgroups.capacity * sizeof(CgroupTally))
        memset(facts.process_tally, 0, facts.processes.capacity * sizeof(ProcessTally))

    cdef int once(self, const uint8_t* data, size_t n, bint two) except -1:
        """Decode one input; return what is wrong."""
        cdef Decode decode
        cdef int failure
        memcpy(&decode, &self.base, sizeof(Decode))
        failure = self.checked(&decode, data, n, two)
        if (
            decode.pair.slots != self.base.pair.slots
            or decode.pair.table.places != self.base.pair.table.places
            or decode.facts.devices.places != self.base.facts.devices.places
            or decode.facts.cgroups.places != self.base.facts.cgroups.places
            or decode.facts.processes.places != self.base.facts.processes.places
            or decode.facts.tracked.places != self.base.facts.tracked.places
        ):
            # what grew has left the tables of the base
            decode.merge.losers = NULL
            decode_free(&decode)
            self.prepare()
        else:
            self.empty()
        return failure

    cdef int checked(
        self, Decode* decode, const uint8_t* data, size_t n, bint two
    ) except -1:
        cdef uint32_t n_sources = 2 if two else 1
        cdef uint64_t n_events = 0
        cdef uint64_t n_rows = 0
        cdef uint64_t refused = 0
        cdef uint64_t turns = 0
        cdef int64_t last = -1
        cdef int64_t now
        cdef size_t half = n // 2
        cdef uint32_t index
        cdef int stop
        cdef int64_t row
        memset(self.sources, 0, sizeof(self.sources))
        memset(self.losers, 0, sizeof(self.losers))
        decode.merge.sources = self.sources
        decode.merge.n_sources = n_sources
        decode.merge.losers = self.losers
        self.sources[0].data = data
        self.sources[0].size = half if two else n
        if two:
            self.sources[1].data = data + half
            self.sources[1].size = n - half
        for index in range(n_sources):
            if not source_open(&self.sources[index]):
                return GOOD
        merge_start(&decode.merge)
        decode.columns.queue_ns = self.times[0]
        decode.columns.issue_ns = self.times[1]
        decode.columns.complete_ns = self.times[2]
        decode.columns.last_issue_ns = self.times[3]
        decode.columns.sector = self.wide[0]
        decode.columns.cgroup = self.wide[1]
        decode.columns.device = self.narrow[0]
        decode.columns.nbytes = self.narrow[1]
        decode.columns.n_bios = self.narrow[2]
        decode.columns.pid = <int32_t*>self.narrow[3]
        decode.columns.error = <int32_t*>self.narrow[4]
        decode.columns.op = <int8_t*>self.narrow[5]
        decode.columns.flags = <uint16_t*>self.narrow[5] + ROWS // 2
        decode.columns.cpu = <uint16_t*>self.narrow[5] + ROWS // 2
        decode.columns.capacity = ROWS // 2
        while True:
            turns += 1
            # each turn takes a batch, grows a table or ends
            if turns > 64 + n:
                return NO_END
            stop = decode_run(decode, 1 << 18)
            if stop == STOP_END:
                stop = rows_write(
                    &decode.pair, &decode.columns, &decode.facts, True
                )
            if stop == STOP_BATCH_FULL or stop == STOP_NONE:
                for row in range(<int64_t>decode.columns.n_rows):
                    now = self.times[1][row]
                    if now < 0:
                        now = self.times[0][row]
                    if now < last:
                        return BAD_ORDER
                    last = now
                n_rows += decode.columns.n_rows
                decode.columns.n_rows = 0
                decode.columns.n_null_queue = decode.columns.n_null_issue = 0
                decode.columns.n_null_complete = 0
                decode.columns.n_null_last_issue = 0
            if stop == STOP_NONE:
                break
            if stop == STOP_NEED_ROOM:
                decode_grow(decode)
        for index in range(20):
            n_events += decode.facts.letters[index]
        for index in range(3):
            n_events += decode.facts.n_notes[index]
        if n_events + decode.facts.n_unknown != decode.n_records:
            return BAD_COUNTS
        for index in range(n_sources):
            refused += self.sources[index].refused_bytes
            refused += self.sources[index].truncated_bytes
        if refused + 48 * decode.n_records > n:
            return BAD_BYTES
        if n_rows > decode.n_records:
            return BAD_COUNTS
        return GOOD

    def one(self, data: bytes) -> int:
        """Decode one input; return what is wrong with it, 0 for nothing."""
        cdef const uint8_t* start = data
        return self.once(start, len(data), False) or self.once(start, len(data), True)

    def run(
        self, corpus: list[bytes], n: int, seed: int, learns: bool = True
    ) -> list[bytes]:
        """Decode changed inputs; return those that do something new.

        These are changed further, where it learns. Stops at the first that is wrong:
        `failure` says how, `failed` is the input.
        """
        cdef uint8_t[MAX_INPUT] buffer
        cdef uint64_t state = seed | 1
        cdef uint64_t left = n
        cdef size_t length
        cdef bytes base, other
        cdef list found = []
        while left:
            left -= 1
            base = corpus[fuzz_random(&state) % len(corpus)]
            other = corpus[fuzz_random(&state) % len(corpus)]
            length = min(len(base), MAX_INPUT)
            memcpy(buffer, <const uint8_t*>base, length)
            length = mutate(
                buffer,
                length,
                MAX_INPUT,
                <const uint8_t*>other,
                min(len(other), MAX_INPUT),
                &state,
            )
            fuzz_map_reset(True)
            self.failure = self.once(buffer, length, fuzz_random(&state) % 8 == 0)
            if fuzz_map_news() and length and learns:
                base = PyBytes_FromStringAndSize(<const char*>buffer, length)
                found.append(base)
                corpus.append(base)
            if self.failure:
                self.failed = PyBytes_FromStringAndSize(<const char*>buffer, length)
                break
        return found
