"""What a slice of a trace learned, added to what was learned before it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from replay.trace.blktrace._decode cimport Decode
from replay.trace.blktrace._source cimport Source
from replay.trace.pairing.facts cimport (
    CgroupTally,
    Facts,
    IdMap,
    MAX_CGROUPS,
    MAX_DEVICES,
    MAX_LAYERS as MAX_FACTS_LAYERS,
    MAX_MESSAGES,
    MAX_NAMES,
    MAX_TRACKED,
    ProcessTally,
    idmap_get,
    sequence_step,
)
from replay.trace.pairing.grow cimport decode_grow
from replay.trace.pairing.layers cimport layer_of
from replay.trace.pairing.open_requests cimport NIL
from replay.trace.pairing.pair cimport MAX_LAYERS, PairCounts, Pairing


cdef inline void idmap_clear(IdMap* ids) noexcept nogil:
    """Forget all ids; the room stays."""
    if ids.places != NULL:
        memset(ids.places, 0, (<size_t>ids.mask + 1) * sizeof(uint32_t))
    ids.n = 0


cdef inline void decode_recount(Decode* decode) noexcept nogil:
    """Count anew from here on; open requests and clocks stay.

    Parameters
    ----------
    decode : Decode*
        No room is needed anywhere.
    """
    cdef Facts* facts = &decode.facts
    cdef Source* source
    cdef uint32_t index
    memset(facts.letters, 0, sizeof(facts.letters))
    memset(facts.n_notes, 0, sizeof(facts.n_notes))
    memset(facts.errors, 0, sizeof(facts.errors))
    facts.n_unknown = facts.n_out_of_order = facts.n_damaged = 0
    facts.n_processes_dropped = facts.n_names_dropped = 0
    facts.n_names = facts.n_messages = facts.n_layers = 0
    facts.seen_wall = False
    memset(facts.device_requests, 0, facts.devices.n * sizeof(uint64_t))
    memset(facts.cgroup_tally, 0, facts.cgroups.n * sizeof(CgroupTally))
    memset(facts.process_tally, 0, facts.processes.n * sizeof(ProcessTally))
    idmap_clear(&facts.devices)
    idmap_clear(&facts.cgroups)
    idmap_clear(&facts.processes)
    idmap_clear(&facts.tracked)
    memset(&decode.pair.counts, 0, sizeof(PairCounts))
    for index in range(decode.pair.n_layers):
        decode.pair.layers[index].n_requests = 0
        decode.pair.layers[index].n_done = 0
        decode.pair.layers[index].took_ns = 0
    for index in range(decode.merge.n_sources):
        source = &decode.merge.sources[index]
        source.tracked_id = 0
        source.refused_bytes = source.truncated_bytes = source.first_refused = 0
        source.n_spikes = source.n_turns = 0
    decode.n_records = 0


cdef inline bint decode_fits(const Decode* decode, const Decode* part) noexcept nogil:
    """Return True if a slice's counts can be added to those of what was before it.

    Not if they are near a limit, or if bytes were refused, in which missing events may
    have been: then its records have to be read after those before.
    """
    cdef const Facts* facts = &decode.facts
    cdef const Facts* more = &part.facts
    cdef uint32_t index
    for index in range(part.merge.n_sources):
        if (
            part.merge.sources[index].refused_bytes
            or part.merge.sources[index].data != decode.merge.sources[index].data
        ):
            return False
    return (
        facts.devices.n + more.devices.n < <uint32_t>MAX_DEVICES
        and facts.cgroups.n + more.cgroups.n < <uint32_t>MAX_CGROUPS
        and facts.tracked.n + more.tracked.n < <uint32_t>MAX_TRACKED
        and more.n_processes_dropped == 0
        and decode.pair.n_layers + part.pair.n_layers < <uint32_t>MAX_LAYERS
    )


cdef inline uint32_t place_of(Decode* decode, IdMap* ids, uint64_t id) except? 0xffffffff:
    """Dense index of an id, made if new; ``NIL`` if there may be no more."""
    cdef uint32_t index = idmap_get(ids, id)
    if index == <uint32_t>NIL:
        decode_grow(decode)
        index = idmap_get(ids, id)
    return index


cdef inline int join_ids(Decode* decode, const Facts* more) except -1:
    """Add the tallies of devices, cgroups, processes and sequence numbers."""
    cdef Facts* facts = &decode.facts
    cdef const CgroupTally* cgroup
    cdef const ProcessTally* process
    cdef ProcessTally* known
    cdef uint32_t index
    cdef uint32_t place
    cdef uint32_t step
    cdef uint32_t n_before
    for index in range(more.devices.n):
        place = place_of(decode, &facts.devices, more.devices.ids[index])
        facts.device_requests[place] += more.device_requests[index]
    for index in range(more.cgroups.n):
        place = place_of(decode, &facts.cgroups, more.cgroups.ids[index])
        cgroup = &more.cgroup_tally[index]
        facts.cgroup_tally[place].n_requests += cgroup.n_requests
        facts.cgroup_tally[place].n_bios += cgroup.n_bios
        facts.cgroup_tally[place].nbytes += cgroup.nbytes
    for index in range(more.processes.n):
        place = place_of(decode, &facts.processes, more.processes.ids[index])
        process = &more.process_tally[index]
        if place == <uint32_t>NIL:
            facts.n_processes_dropped += process.n_requests
            continue
        known = &facts.process_tally[place]
        if known.n_requests == 0:
            known[0] = process[0]
            continue
        known.n_requests += process.n_requests
        known.first_ns = min(known.first_ns, process.first_ns)
        known.last_ns = max(known.last_ns, process.last_ns)
    for index in range(more.tracked.n):
        n_before = facts.tracked.n
        place = place_of(decode, &facts.tracked, more.tracked.ids[index])
        if facts.tracked.n != n_before:
            facts.track_first[place] = more.track_first[index]
            facts.track_lost[place] = 0
        else:
            # as `facts_sequence` does; no bytes were refused
            step = sequence_step(facts.track_sequence[place], more.track_first[index])
            if 1 < step < <uint32_t>0x80000000:
                facts.track_lost[place] += step - 1
        facts.track_lost[place] += more.track_lost[index]
        facts.track_sequence[place] = more.track_sequence[index]
    return 0


cdef inline void join_facts(Facts* facts, const Facts* more) noexcept nogil:
    """Add everything else."""
    cdef uint32_t index
    cdef uint32_t known
    for index in range(<uint32_t>(sizeof(facts.letters) // sizeof(uint64_t))):
        facts.letters[index] += more.letters[index]
    for index in range(<uint32_t>(sizeof(facts.n_notes) // sizeof(uint64_t))):
        facts.n_notes[index] += more.n_notes[index]
    for index in range(<uint32_t>(sizeof(facts.errors) // sizeof(uint64_t))):
        facts.errors[index] += more.errors[index]
    facts.n_unknown += more.n_unknown
    facts.n_out_of_order += more.n_out_of_order
    facts.n_damaged += more.n_damaged
    facts.n_names_dropped += more.n_names_dropped
    for index in range(more.n_names):
        if facts.n_names == <uint32_t>MAX_NAMES:
            facts.n_names_dropped += 1
        else:
            facts.names[facts.n_names] = more.names[index]
            facts.n_names += 1
    for index in range(more.n_messages):
        if facts.n_messages < <uint32_t>MAX_MESSAGES:
            facts.messages[facts.n_messages] = more.messages[index]
            facts.n_messages += 1
    if more.seen_wall and not facts.seen_wall:
        facts.seen_wall = True
        facts.wall_ns = more.wall_ns
        facts.wall_note_ns = more.wall_note_ns
    for index in range(more.n_layers):
        known = 0
        while known < facts.n_layers and facts.layers[known] != more.layers[index]:
            known += 1
        if known == facts.n_layers and known < <uint32_t>MAX_FACTS_LAYERS:
            facts.layers[known] = more.layers[index]
            facts.n_layers += 1


cdef inline void join_pairing(Pairing* pair, Pairing* part) noexcept nogil:
    """Let a slice's open requests be those from now on; counts are added."""
    cdef Pairing before = pair[0]
    cdef uint64_t* counts = <uint64_t*>&pair.counts
    cdef const uint64_t* counts_before = <const uint64_t*>&before.counts
    cdef uint8_t[64] numbers
    cdef uint32_t index
    cdef uint32_t number
    free(pair.slots)
    free(pair.table.places)
    pair[0] = part[0]
    part.slots = NULL
    part.table.places = NULL
    for index in range(<uint32_t>(sizeof(PairCounts) // sizeof(uint64_t))):
        counts[index] += counts_before[index]
    memcpy(pair.layers, before.layers, sizeof(before.layers))
    pair.n_layers = before.n_layers
    for index in range(part.n_layers):
        number = layer_of(pair, part.layers[index].above, part.layers[index].below)
        numbers[index] = <uint8_t>number
        pair.layers[number - 1].n_requests += part.layers[index].n_requests
        pair.layers[number - 1].n_done += part.layers[index].n_done
        pair.layers[number - 1].took_ns += part.layers[index].took_ns
    number = pair.fifo_head
    while number != <uint32_t>NIL:
        if pair.slots[number].layer:
            pair.slots[number].layer = numbers[pair.slots[number].layer - 1]
        number = pair.slots[number].after
    number = pair.queued.head
    while number != <uint32_t>NIL:
        if pair.slots[number].layer:
            pair.slots[number].layer = numbers[pair.slots[number].layer - 1]
        number = pair.slots[number].in_list.next


cdef inline void join_sources(Decode* decode, const Decode* part) noexcept nogil:
    """Go on reading where a slice has ended."""
    cdef Source before
    cdef Source* source
    cdef uint32_t index
    for index in range(decode.merge.n_sources):
        source = &decode.merge.sources[index]
        before = source[0]
        source[0] = part.merge.sources[index]
        source.refused_bytes = before.refused_bytes
        source.first_refused = before.first_refused
        source.truncated_bytes += before.truncated_bytes
        source.n_spikes += before.n_spikes
        source.n_turns += before.n_turns
        source.look_at = before.look_at
        source.halted = before.halted
        source.tracked_id = 0
        decode.merge.losers[index] = part.merge.losers[index]
    decode.merge.first = part.merge.first
    decode.merge.n_live = part.merge.n_live


cdef inline int decode_join(Decode* decode, Decode* part) except -1:
    """Take over what a slice has come to; its memory is the whole's from now on.

    Parameters
    ----------
    decode : Decode*
        Where the slice began to count it was in the same state.
    part : Decode*
        It fits (`decode_fits`); all that is left of it is to be freed.
    """
    # what can fail comes first, and changes no more than counts of what is given up
    join_ids(decode, &part.facts)
    join_facts(&decode.facts, &part.facts)
    join_pairing(&decode.pair, &part.pair)
    join_sources(decode, part)
    decode.end_ns = part.end_ns
    decode.n_records += part.n_records
    # maps may have become full
    decode.facts.need_room = True
    return 0
