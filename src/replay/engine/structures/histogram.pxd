"""Log-linear histograms: 64 buckets an octave, exact below 64 ns.

A histogram keeps only values above 0; zeros follow from the number of requests, and most
stages of most requests take no time at all. The first few values stand in it one by one,
so that one of a cgroup that did little is a single line of the cache. With more of them
it is spread over counts, of the octaves that occur alone: six in a row are found from the
histogram itself, others (64 times as long, or shorter) from one table more.

    bucket of 1000:  octave of 1000 is 2**9, 64 buckets of 8 ns: (9 - 6 + 1) * 64 + 61
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from replay.engine.structures.arena cimport (
    Arena,
    Failed,
    arena_add,
    arena_close,
    arena_open,
    index_in,
)

cdef extern from *:
    """
    #define replay_log2(value) (63 - __builtin_clzll(value))
    """
    int log2_floor "replay_log2"(uint64_t value) noexcept nogil

cdef enum:
    SUB_BITS = 6
    SUB = 64
    N_OCTAVES = 58
    # values that are not spread yet, and octaves found without a table: they share room
    FEW = 14
    NEAR = 6
    MOST = 255
    WIDE = 1 << 31

cdef struct Octave:
    uint8_t counts[SUB]

cdef struct WideOctave:
    # instead of an octave of which a bucket has MOST values
    uint64_t counts[SUB]

cdef struct OctaveTable:
    uint32_t octaves[N_OCTAVES]     # as Histogram.words

cdef struct Histogram:
    int64_t count       # of values above 0
    int64_t sum_ns
    int64_t min_ns
    int64_t max_ns
    uint8_t is_spread
    uint8_t base        # octave that stands in words[0], once it is spread
    # FEW buckets of 16 bits; or indices of NEAR octaves, and of the table of the others.
    # An octave's index has WIDE added if it is a wide one, 0 is none.
    uint32_t words[NEAR + 1]

cdef struct Histograms:
    Arena heads         # Histogram
    Arena octaves       # Octave
    Arena wide          # WideOctave
    Arena others        # OctaveTable

cdef struct Places:
    # where they lie, until one is added
    Histogram *heads
    Octave *octaves
    WideOctave *wide

cdef struct Sample:
    # a request's time in a stage, not yet counted
    int64_t value_ns
    uint32_t account
    uint8_t op
    uint8_t stage


cdef inline void histograms_open(Histograms *all, Failed *failed) noexcept nogil:
    """Make room for histograms; sets `failed` if memory ran out."""
    arena_open(&all.heads, sizeof(Histogram), failed)
    arena_open(&all.octaves, sizeof(Octave), failed)
    arena_open(&all.wide, sizeof(WideOctave), failed)
    arena_open(&all.others, sizeof(OctaveTable), failed)
    if all.heads.data != NULL:
        # the scratch entry takes no value: `histogram_count` finds no place in it
        (<Histogram *> all.heads.data).is_spread = True


cdef inline void histograms_close(Histograms *all) noexcept nogil:
    """Give the memory back."""
    arena_close(&all.heads)
    arena_close(&all.octaves)
    arena_close(&all.wide)
    arena_close(&all.others)


cdef inline Histogram *histogram_at(const Histograms *all, uint32_t index) noexcept nogil:
    """Return a histogram; the scratch entry, which is empty, for 0."""
    return (<Histogram *> all.heads.data) + index_in(&all.heads, index)


cdef inline uint32_t bucket_of(uint64_t value) noexcept nogil:
    """Return the bucket of a value; buckets are in the order of their values."""
    # values below 64 count to the octave of 64, without a branch
    cdef int shift = log2_floor(value | SUB) - SUB_BITS
    return <uint32_t> (shift * SUB + <int> (value >> shift))


cdef inline int64_t bucket_midpoint(uint32_t bucket) noexcept nogil:
    """Return the value that stands for a bucket: the middle of its range."""
    cdef uint32_t shift
    if bucket < SUB:
        return bucket
    shift = bucket // SUB - 1
    return (<int64_t> (SUB + bucket % SUB) << shift) + ((<int64_t> 1 << shift) - 1) // 2


cdef inline Places places_of(const Histograms *all) noexcept nogil:
    """Return where they lie."""
    return Places(
        <Histogram *> all.heads.data,
        <Octave *> all.octaves.data,
        <WideOctave *> all.wide.data,
    )


cdef inline bint histogram_count(
    const Places *places, uint32_t index, int64_t value
) noexcept nogil:
    """Count a value above 0 if it has a bucket; return True if it has one."""
    cdef Histogram *one = &places.heads[index]
    cdef uint32_t bucket = bucket_of(<uint64_t> value)
    cdef uint32_t near, octave
    if one.is_spread:
        near = bucket // SUB - one.base
        if near >= NEAR:
            return False
        octave = one.words[near]
        if octave & WIDE:
            places.wide[octave - WIDE].counts[bucket % SUB] += 1
        elif octave != 0 and places.octaves[octave].counts[bucket % SUB] < MOST:
            places.octaves[octave].counts[bucket % SUB] += 1
        else:
            return False
    elif one.count < FEW:
        (<uint16_t *> one.words)[one.count] = <uint16_t> bucket
    else:
        return False
    one.count += 1
    one.sum_ns += value
    one.min_ns = min(one.min_ns, value)
    one.max_ns = max(one.max_ns, value)
    return True


cdef inline uint32_t octave_of(
    const Histograms *all, const Histogram *one, uint32_t octave
) noexcept nogil:
    """Return the index of a spread histogram's octave, 0 for none."""
    if octave - one.base < NEAR:
        return one.words[octave - one.base]
    return ((<const OctaveTable *> all.others.data) + index_in(&all.others, one.words[NEAR])).octaves[octave]


cdef inline void bucket_add(
    Histograms *all, Histogram *one, uint32_t bucket, uint32_t n
) noexcept nogil:
    """Count values of a bucket of a spread histogram; makes its octave."""
    cdef uint32_t octave = bucket // SUB
    cdef uint32_t *place
    cdef Octave *small
    cdef WideOctave *wide
    if octave - one.base < NEAR:
        place = &one.words[octave - one.base]
    else:
        if one.words[NEAR] == 0:
            one.words[NEAR] = arena_add(&all.others)
        place = &((<OctaveTable *> all.others.data) + index_in(&all.others, one.words[NEAR])).octaves[octave]
    if place[0] == 0:
        place[0] = arena_add(&all.octaves)
    if not place[0] & WIDE:
        small = (<Octave *> all.octaves.data) + index_in(&all.octaves, place[0])
        if n <= MOST - small.counts[bucket % SUB]:
            small.counts[bucket % SUB] += <uint8_t> n
            return
        place[0] = octave_widen(all, small)
    wide = (<WideOctave *> all.wide.data) + index_in(&all.wide, place[0] - WIDE)
    wide.counts[bucket % SUB] += n


cdef inline uint32_t octave_widen(Histograms *all, const Octave *small) noexcept nogil:
    """Make a wide octave of a small one; return its index."""
    cdef uint32_t index = arena_add(&all.wide)
    cdef WideOctave *wide = (<WideOctave *> all.wide.data) + index_in(&all.wide, index)
    cdef int i
    for i in range(SUB):
        wide.counts[i] = small.counts[i]
    return index + WIDE


cdef inline void histogram_spread(Histograms *all, Histogram *one) noexcept nogil:
    """Spread the few values that stand in it, to make room for more."""
    cdef uint16_t few[FEW]
    cdef uint32_t lowest = bucket_of(<uint64_t> one.min_ns) // SUB
    cdef int i
    memcpy(few, one.words, sizeof(few))
    memset(one.words, 0, sizeof(one.words))
    # lower values than the first ones are rare
    one.base = <uint8_t> (lowest - (lowest > 0))
    one.is_spread = True
    for i in range(<int> one.count):
        bucket_add(all, one, few[i], 1)


cdef inline void histogram_add(
    Histograms *all, uint32_t *index, int64_t value
) noexcept nogil:
    """Count a value above 0 in the histogram at an index; 0 there makes a new one."""
    cdef Histogram *one
    cdef Places places
    if index[0] == 0:
        index[0] = arena_add(&all.heads)
        histogram_at(all, index[0]).min_ns = value
    one = histogram_at(all, index[0])
    places = places_of(all)
    if histogram_count(&places, index[0], value):
        return
    if not one.is_spread:
        histogram_spread(all, one)
    bucket_add(all, one, bucket_of(<uint64_t> value), 1)
    one.count += 1
    one.sum_ns += value
    one.min_ns = min(one.min_ns, value)
    one.max_ns = max(one.max_ns, value)
