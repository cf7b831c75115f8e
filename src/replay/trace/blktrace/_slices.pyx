"""Cut a capture into slices of time, and join what was made of them.

A slice begins with no open request. After its first part, when the requests that were
open at the seam have come to their end, it is mostly in the very state in which reading
from the start would be: where files stand, open requests, clocks. Whether it is, is
seen by comparing the two, word by word; then the slice's rows and counts from there on
are those of one pass.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free

from replay.trace.blktrace._decode cimport Decode
from replay.trace.blktrace._decoder cimport Decoder
from replay.trace.blktrace._record cimport KIND_EVENT
from replay.trace.blktrace._seek cimport source_seek, source_time
from replay.trace.blktrace._source cimport Source
from replay.trace.pairing.grow cimport zeroed
from replay.trace.pairing.join cimport decode_fits, decode_join, decode_recount
from replay.trace.pairing.merge cimport NOBODY, merge_play, source_ended
from replay.trace.pairing.state cimport PAIR_WORDS, SLOT_WORDS, pairing_tell

cdef enum:
    #: Of each source, and of the clocks.
    SOURCE_WORDS = 16
    CLOCK_WORDS = 3


def time_ahead(decoder: Decoder, n_bytes: int) -> int | None:
    """Find the time at which about so many bytes more will have been read.

    Parameters
    ----------
    decoder : Decoder
    n_bytes : int
        Of all sources together.

    Returns
    -------
    int or None
        ns; None if the data ends before, or no record is found there.
    """
    cdef Source* most = NULL
    cdef Source* source
    cdef size_t left = 0
    cdef size_t step = n_bytes
    cdef size_t at = 0
    cdef uint64_t found_ns = 0
    cdef uint32_t index
    cdef bint found
    for index in range(decoder.n_sources):
        source = &decoder.sources[index]
        if not source.live:
            continue
        left += source.size - source.offset
        if most == NULL or source.size - source.offset > most.size - most.offset:
            most = source
    if most == NULL or left <= step:
        return None
    # the sources are read side by side
    at = most.offset + <size_t>(<double>step * (most.size - most.offset) / left)
    with nogil:
        found = source_time(most, at, &at, &found_ns)
    return found_ns if found else None


def seek(
    decoder: Decoder, time_ns: int, start_ns: int, begins: list[int]
) -> list[int] | None:
    """Let a new decoder begin at a time, with no open request.

    Parameters
    ----------
    decoder : Decoder
        Nothing was decoded yet.
    time_ns : int
        ns, on the common clock.
    start_ns : int
        The trace's start.
    begins : list of int
        By source, the offset of a record that is before that time, or 0.

    Returns
    -------
    list of int or None
        Such offsets, nearer to that time. None if it cannot be found.
    """
    cdef Decode* decode = &decoder.decode
    cdef uint64_t wanted_ns = time_ns
    cdef size_t begin
    cdef uint32_t index
    cdef bint found
    nearer = []
    decode.merge.n_live = decoder.n_sources
    for index in range(decoder.n_sources):
        decode.merge.losers[index].sort_ns = 0
        decode.merge.losers[index].number = NOBODY
    for index in range(decoder.n_sources):
        begin = begins[index]
        with nogil:
            found = source_seek(&decoder.sources[index], &begin, wanted_ns)
            if found:
                if not decoder.sources[index].live:
                    source_ended(&decode.merge, &decoder.sources[index])
                merge_play(&decode.merge, index)
        decoder.check_halted()
        if not found:
            return None
        nearer.append(begin)
    decode.facts.seen_event = True
    decode.start_ns = decode.end_ns = start_ns
    return nearer


def stop_at(decoder: Decoder, until_ns: int | None, *, is_slice: bool) -> None:
    """Say how far `Decoder.fill` goes.

    Parameters
    ----------
    decoder : Decoder
    until_ns : int or None
        Up to the first record that is not before it; None is the end.
    is_slice : bool
        At the end no row leaves that waits for more.
    """
    decoder.decode.until_ns = <uint64_t>0 - 1 if until_ns is None else until_ns
    decoder.is_slice = is_slice


cdef void source_tell(const Source* source, uint64_t* to) noexcept nogil:
    """Write where a source stands."""
    to[0] = source.offset
    to[1] = source.live
    if not source.live:
        return
    to[2] = source.sort_ns
    to[3] = source.last_ns
    to[4] = source.head.cpu if source.head.kind == KIND_EVENT else source.last_cpu
    to[5] = <uint64_t>source.seen_event << 1 | source.is_plain
    to[6] = source.head.time_ns
    to[7] = source.head.sector
    to[8] = source.head.category
    to[9] = source.head.cgroup
    to[10] = <uint64_t>source.head.sequence << 32 | source.head.nbytes
    to[11] = <uint64_t>source.head.pid << 32 | source.head.device
    to[12] = <uint64_t>source.head.cpu << 32 | source.head.error
    to[13] = <uint64_t>(source.head.payload - source.data)
    to[14] = source.head.payload_bytes
    to[15] = <uint64_t>source.head.kind << 8 | source.head.letter


def state_of(decoder: Decoder) -> bytes | None:
    """Tell the state of which everything that comes depends.

    Parameters
    ----------
    decoder : Decoder
        `Decoder.fill` has come to where it is to stop.

    Returns
    -------
    bytes or None
        Equal for two that go on alike. None if it cannot be told.
    """
    cdef Decode* decode = &decoder.decode
    cdef size_t n = CLOCK_WORDS + <size_t>SOURCE_WORDS * decoder.n_sources
    cdef size_t n_pair
    cdef uint32_t index
    cdef uint64_t* words
    cdef uint32_t* names = NULL
    for index in range(decoder.n_sources):
        if decoder.sources[index].unclaimed_bytes:
            return None
    words = <uint64_t*>zeroed(
        n + PAIR_WORDS + <size_t>SLOT_WORDS * decode.pair.n_used, sizeof(uint64_t)
    )
    try:
        names = <uint32_t*>zeroed(decode.pair.n_fresh, sizeof(uint32_t))
        with nogil:
            words[0] = decode.start_ns
            words[1] = decode.end_ns
            words[2] = decode.facts.seen_event
            for index in range(decoder.n_sources):
                source_tell(
                    &decoder.sources[index],
                    words + CLOCK_WORDS + <size_t>SOURCE_WORDS * index,
                )
            n_pair = pairing_tell(&decode.pair, names, words + n)
        if n_pair == 0:
            return None
        return PyBytes_FromStringAndSize(
            <const char*>words, <Py_ssize_t>((n + n_pair) * sizeof(uint64_t))
        )
    finally:
        free(words)
        free(names)


def recount(decoder: Decoder) -> None:
    """Count anew from here on.

    Parameters
    ----------
    decoder : Decoder
        `Decoder.fill` has come to where it is to stop.
    """
    decoder.make_room()
    decode_recount(&decoder.decode)


def join(decoder: Decoder, part: Decoder) -> bool:
    """Go on from where a slice has ended, with its counts added.

    Parameters
    ----------
    decoder : Decoder
        In the state in which the slice was when it began to count anew.
    part : Decoder
        The slice's, which is at its end. Nothing can be done with it afterwards.

    Returns
    -------
    bool
        False if its counts cannot be added: then nothing has changed.
    """
    if not decode_fits(&decoder.decode, &part.decode):
        return False
    decode_join(&decoder.decode, &part.decode)
    part.close()
    return True
