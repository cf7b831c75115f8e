"""Records as rows, one for one: the columns of ``event_rows.EVENT_SCHEMA``.

The arrays belong to the caller; bitmaps have a bit set where a value is no null. Text
is ASCII: any other byte is written as ``\\xNN``, so that every reader takes it.
"""

from libc.stdint cimport (
    int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
)
from libc.stdio cimport snprintf

from replay.trace.blktrace._record cimport (
    KIND_EVENT,
    KIND_PROCESS,
    KIND_TIMESTAMP,
    KIND_UNKNOWN,
    LETTER_X,
    N_LETTERS,
    Record,
    load_be64,
    load_u32,
    record_flags,
    record_op,
)


cdef enum:
    LETTER_A = 15
    #: Bytes of a payload that are shown; the kernel's messages have 128.
    SHOWN_BYTES = 256
    #: Room that a row's text may need.
    TEXT_BYTES = 4 * SHOWN_BYTES


ctypedef struct EventFields:
    int64_t* time_ns
    int8_t* action
    uint32_t* device
    uint64_t* sector
    uint32_t* nbytes
    int8_t* op
    uint16_t* flags
    uint64_t* cgroup
    int32_t* pid
    uint16_t* cpu
    uint32_t* sequence
    int32_t* error
    uint64_t* other_sector
    uint32_t* other_device
    #: One more than there are rows.
    int32_t* text_ends
    uint8_t* text
    uint8_t* is_event
    uint8_t* has_sector
    uint8_t* has_device


cdef inline void bit_set(uint8_t* bits, size_t row) noexcept nogil:
    """Mark a row's value as seen."""
    bits[row >> 3] |= <uint8_t>(1 << (row & 7))


cdef inline int32_t text_write(
    uint8_t* to, const Record* record, int swap
) noexcept nogil:
    """Write a note's payload as text; return its length, at most ``TEXT_BYTES``."""
    cdef uint32_t n_bytes = min(record.payload_bytes, <uint32_t>SHOWN_BYTES)
    cdef uint32_t index
    cdef uint8_t byte
    cdef int32_t length = 0
    if record.kind == KIND_UNKNOWN:
        return 0
    if record.kind == KIND_TIMESTAMP:
        if n_bytes < 8:
            return 0
        return snprintf(
            <char*>to,
            TEXT_BYTES,
            "%u.%09u",
            <unsigned int>load_u32(record.payload, swap),
            <unsigned int>load_u32(record.payload + 4, swap),
        )
    for index in range(n_bytes):
        byte = record.payload[index]
        if byte == 0:
            break
        if byte == c"\n" and index + 1 == n_bytes:
            break
        if 0x20 <= byte < 0x7f:
            to[length] = byte
            length += 1
        else:
            to[length] = c"\\"
            to[length + 1] = c"x"
            to[length + 2] = b"0123456789abcdef"[byte >> 4]
            to[length + 3] = b"0123456789abcdef"[byte & 15]
            length += 4
    return length


cdef inline void event_write(
    EventFields* to, size_t row, const Record* record, int64_t time_ns, int swap
) noexcept nogil:
    """Write one record as a row.

    Parameters
    ----------
    to : EventFields*
        With room for the row and ``TEXT_BYTES`` of text; bits and what is null are 0.
    row : size_t
    record : const Record*
    time_ns : int64_t
        Since the trace's start.
    swap : int
        Of the record's source.
    """
    cdef int32_t end = to.text_ends[row]
    to.time_ns[row] = time_ns
    to.device[row] = record.device
    to.cgroup[row] = record.cgroup
    to.pid[row] = <int32_t>record.pid
    to.cpu[row] = <uint16_t>(record.cpu & 0xffff)
    to.text_ends[row + 1] = end
    if record.kind != KIND_EVENT:
        # all else in a note is what the kernel found in its memory
        to.action[row] = <int8_t>(N_LETTERS + record.kind - KIND_PROCESS)
        to.text_ends[row + 1] += text_write(to.text + end, record, swap)
        return
    to.action[row] = <int8_t>record.letter
    to.sector[row] = record.sector
    to.nbytes[row] = record.nbytes
    to.op[row] = <int8_t>record_op(record)
    to.flags[row] = record_flags(record)
    to.sequence[row] = record.sequence
    # errors are negative, in 16 bits
    to.error[row] = <int32_t>record.error - (0x10000 if record.error >> 15 else 0)
    bit_set(to.is_event, row)
    if record.letter == LETTER_X and record.payload_bytes >= 8:
        to.other_sector[row] = load_be64(record.payload)
        bit_set(to.has_sector, row)
    elif record.letter == LETTER_A and record.payload_bytes >= 16:
        to.other_device[row] = <uint32_t>(load_be64(record.payload) >> 32)
        to.other_sector[row] = load_be64(record.payload + 8)
        bit_set(to.has_sector, row)
        bit_set(to.has_device, row)
