"""One blktrace record: its layout, and the only way to read it.

A record is read through a (pointer, bytes left) pair and nothing in it is believed
before it was checked. Both layouts have the same fields::

            v7, 48 bytes                      v8, 64 bytes (Linux 6.19 and later)
     0  u32 magic 0x65617407             0  u32 magic 0x65617408
     4  u32 sequence                     4  u32 sequence
     8  u64 time, ns, monotonic          8  u64 time
    16  u64 sector, 512 B               16  u64 sector
    24  u32 bytes                       24  u32 bytes
    28  u32 action                      28  u32 pid
    32  u32 pid                         32  u64 action
    36  u32 device                      40  u32 device
    40  u32 cpu                         44  u32 cpu
    44  u16 error, u16 payload length   48  u16 error, u16 payload length
                                        52  12 bytes of padding

    action   63 / 31 ......... 16 | 15 ....... 9 |  8   | 7 ......... 0
             category bits        |              | id   | letter or kind of note

With the id bit set the payload begins with the u64 cgroup id. Example: action
0x001a0101 in v7 has the categories write (17), sync (19) and queue (20), an id, and
letter 1: a Q of a synchronous write that carries its cgroup.

Source: include/uapi/linux/blktrace_api.h and kernel/trace/blktrace.c, v6.12.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* memcpy: records lie at any address; the swap is of the file's byte order
       against this machine's, whatever either is. */
    static inline uint16_t load_u16(const uint8_t *at, int swap) {
        uint16_t value;
        memcpy(&value, at, sizeof value);
        return swap ? __builtin_bswap16(value) : value;
    }
    static inline uint32_t load_u32(const uint8_t *at, int swap) {
        uint32_t value;
        memcpy(&value, at, sizeof value);
        return swap ? __builtin_bswap32(value) : value;
    }
    static inline uint64_t load_u64(const uint8_t *at, int swap) {
        uint64_t value;
        memcpy(&value, at, sizeof value);
        return swap ? __builtin_bswap64(value) : value;
    }
    static inline uint64_t load_be64(const uint8_t *at) {
        uint64_t value = 0;
        for (int i = 0; i < 8; i++) value = value << 8 | at[i];
        return value;
    }
    """
    uint16_t load_u16(const uint8_t* at, int swap) noexcept nogil
    uint32_t load_u32(const uint8_t* at, int swap) noexcept nogil
    uint64_t load_u64(const uint8_t* at, int swap) noexcept nogil
    uint64_t load_be64(const uint8_t* at) noexcept nogil


cdef enum:
    MAGIC_V7 = 0x65617407
    MAGIC_V8 = 0x65617408
    HEADER_V7 = 48
    HEADER_V8 = 64
    ID_BIT = 0x100
    #: The column ``cpu`` is 16 bits wide; no kernel has more CPUs.
    MAX_CPUS = 0x10000
    N_LETTERS = 20


# Letters: the low byte of the action of an event.
cdef enum:
    LETTER_Q = 1
    LETTER_M = 2
    LETTER_F = 3
    LETTER_G = 4
    LETTER_S = 5
    LETTER_R = 6
    LETTER_D = 7
    LETTER_C = 8
    LETTER_I = 12
    LETTER_X = 13
    LETTER_A = 15


# What a record is, after its category was looked at.
cdef enum:
    KIND_EVENT = 0
    KIND_PROCESS = 1
    KIND_TIMESTAMP = 2
    KIND_MESSAGE = 3
    KIND_UNKNOWN = 4


# Category bits, counted from bit 16 of the action. Literals: Cython 3.3 cannot
# translate a shift in an enum where overflow is checked.
cdef enum:
    CAT_WRITE = 0x2
    CAT_FLUSH = 0x4
    CAT_SYNC = 0x8
    CAT_PASSTHROUGH = 0x200
    CAT_NOTIFY = 0x400
    CAT_AHEAD = 0x800
    CAT_META = 0x1000
    CAT_DISCARD = 0x2000
    CAT_FUA = 0x8000
    CAT_ZONE = 0x3f0000
    CAT_WRITE_ZEROES = 0x400000


# Result of reading at an offset.
cdef enum:
    READ_OK = 0
    #: No record begins here, or one whose fields cannot be.
    READ_BAD = 1
    #: A record begins here and the data ends before it does.
    READ_SHORT = 2


# Operations; the first seven are the ``op`` column's codes (``schema.OPS``).
cdef enum:
    OP_READ = 0
    OP_WRITE = 1
    OP_DISCARD = 2
    OP_FLUSH = 3
    OP_WRITE_ZEROES = 4
    OP_ZONE = 5
    OP_PASSTHROUGH = 6
    #: An empty flush bio. It waits for the device's flush but is never issued
    #: itself, so it must not be taken for one: a class of its own.
    OP_FLUSH_BIO = 7


# Bits of the ``flags`` column (``schema.FLAGS``).
cdef enum:
    FLAG_SYNC = 1
    FLAG_META = 2
    FLAG_FUA = 4
    FLAG_PREFLUSH = 8
    FLAG_READAHEAD = 16


ctypedef struct Format:
    #: Byte order and layout of one source, found from its magic.
    uint32_t magic
    int swap


ctypedef struct Record:
    # as version 7 has it in the file, so that one copy reads it; nobody looks at
    # magic, action and whole_payload_bytes
    uint32_t magic
    uint32_t sequence
    uint64_t time_ns
    uint64_t sector
    uint32_t nbytes
    uint32_t action
    uint32_t pid
    uint32_t device
    uint32_t cpu
    uint16_t error
    uint16_t whole_payload_bytes
    # what follows from it
    uint64_t category
    #: Id at the head of the payload, or 0.
    uint64_t cgroup
    #: What follows the id.
    const uint8_t* payload
    uint32_t payload_bytes
    uint8_t kind
    uint8_t letter


cdef inline size_t header_bytes(const Format* format) noexcept nogil:
    """Length of a record without its payload."""
    return HEADER_V7 if format.magic == <uint32_t>MAGIC_V7 else HEADER_V8


cdef inline bint format_detect(const uint8_t* at, Format* format_out) noexcept nogil:
    """Find version and byte order from the magic; 4 bytes must be readable."""
    cdef uint32_t magic
    cdef int swap
    for swap in range(2):
        magic = load_u32(at, swap)
        if magic == <uint32_t>MAGIC_V7 or magic == <uint32_t>MAGIC_V8:
            format_out.magic = magic
            format_out.swap = swap
            return True
    return False


cdef inline uint8_t record_kind(uint64_t category, uint32_t letter) noexcept nogil:
    """Tell events, notes and what no known kernel writes apart."""
    if category & CAT_NOTIFY:
        if letter > 2:
            return KIND_UNKNOWN
        return <uint8_t>(KIND_PROCESS + letter)
    return KIND_EVENT if 0 < letter < N_LETTERS else KIND_UNKNOWN


cdef inline int record_read(
    const uint8_t* at,
    size_t left,
    const Format* format,
    Record* record_out,
    size_t* length_out,
) noexcept nogil:
    """Read the record at the head of ``left`` bytes.

    Parameters
    ----------
    at : const uint8_t*
        First byte; unaligned.
    left : size_t
        Bytes that may be read.
    format : const Format*
        Version and byte order of the source.
    record_out : Record*
        Filled if the result is ``READ_OK``; its payload points into the data.
    length_out : size_t*
        Length with payload if the header could be read (``READ_OK``, and
        ``READ_BAD`` with the right magic), else 0.

    Returns
    -------
    int
        ``READ_OK``, ``READ_BAD`` or ``READ_SHORT``.

    Notes
    -----
    Refused as impossible: a CPU of 65536 and more, a time of 2**63 ns and more, and
    an id bit without room for the id.
    """
    cdef int swap = format.swap
    cdef size_t header = header_bytes(format)
    cdef uint64_t action
    cdef const uint8_t* tail
    length_out[0] = 0
    if left < 4 or load_u32(at, swap) != format.magic:
        return READ_BAD
    if left < header:
        return READ_SHORT
    record_out.sequence = load_u32(at + 4, swap)
    record_out.time_ns = load_u64(at + 8, swap)
    record_out.sector = load_u64(at + 16, swap)
    record_out.nbytes = load_u32(at + 24, swap)
    if header == HEADER_V7:
        action = load_u32(at + 28, swap)
        record_out.pid = load_u32(at + 32, swap)
        tail = at + 36
    else:
        record_out.pid = load_u32(at + 28, swap)
        action = load_u64(at + 32, swap)
        tail = at + 40
    record_out.device = load_u32(tail, swap)
    record_out.cpu = load_u32(tail + 4, swap)
    record_out.error = load_u16(tail + 8, swap)
    record_out.payload_bytes = load_u16(tail + 10, swap)
    if left - header < record_out.payload_bytes:
        return READ_SHORT
    length_out[0] = header + record_out.payload_bytes
    record_out.payload = at + header
    record_out.cgroup = 0
    if action & ID_BIT:
        if record_out.payload_bytes < 8:
            return READ_BAD
        record_out.cgroup = load_u64(at + header, swap)
        record_out.payload += 8
        record_out.payload_bytes -= 8
    if record_out.cpu >= <uint32_t>MAX_CPUS or record_out.time_ns >> 63:
        return READ_BAD
    record_out.category = action >> 16
    record_out.letter = <uint8_t>min(action & 0xfeff, <uint64_t>0xff)
    record_out.kind = record_kind(record_out.category, record_out.letter)
    return READ_OK


cdef inline uint8_t record_op(const Record* record) noexcept nogil:
    """Operation of an event, one of the ``OP_`` codes.

    Notes
    -----
    The order matters: a discard has the write bit too, and a flush without data is
    no write. Version 7 does not tell write-zeroes from write.
    Source: kernel/trace/blktrace.c, __blk_add_trace() and MASK_TC_BIT, v6.12.
    """
    cdef uint64_t category = record.category
    if category & (
        <uint64_t>(CAT_PASSTHROUGH | CAT_DISCARD | CAT_FLUSH | CAT_ZONE | CAT_WRITE_ZEROES)
    ):
        if category & CAT_PASSTHROUGH:
            return OP_PASSTHROUGH
        if category & CAT_ZONE:
            return OP_ZONE
        if category & CAT_DISCARD:
            return OP_DISCARD
        if category & CAT_WRITE_ZEROES:
            return OP_WRITE_ZEROES
        if record.nbytes == 0:
            return OP_FLUSH
    return OP_WRITE if category & CAT_WRITE else OP_READ


cdef inline uint16_t record_flags(const Record* record) noexcept nogil:
    """The ``flags`` column's bits of an event."""
    cdef uint64_t category = record.category
    return <uint16_t>(
        (FLAG_SYNC if category & CAT_SYNC else 0)
        | (FLAG_META if category & CAT_META else 0)
        | (FLAG_FUA if category & CAT_FUA else 0)
        | (FLAG_PREFLUSH if category & CAT_FLUSH else 0)
        | (FLAG_READAHEAD if category & CAT_AHEAD else 0)
    )
