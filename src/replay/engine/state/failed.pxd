"""Whether any part of a run's state could not grow."""

from libc.stdint cimport uint32_t

from replay.engine.state.lean cimport lean_failed
from replay.engine.state.pages cimport File
from replay.engine.state.sim cimport Sim
from replay.engine.structures.histogram cimport histograms_failed


cdef inline bint file_failed(const File *file) noexcept nogil:
    """Tell whether memory ran out."""
    return (
        file.failed
        or file.leaf_map.failed
        or file.node_map.failed
        or file.leaves.failed
        or file.nodes.failed
        or file.owners.failed
        or file.cache.failed
        or file.dirty_leaves.failed
    )


cdef inline bint out_of_memory(const Sim *sim) noexcept nogil:
    """Tell whether any part of the state could not grow."""
    cdef uint32_t i
    if (
        sim.heap.failed
        or sim.requests.failed
        or sim.outers.failed
        or sim.places.failed
        or sim.workers.failed
        or sim.stocked.failed
        or sim.waiting.failed
        or sim.waits.failed
        or sim.wait_map.failed
        or sim.accounts.failed
        or sim.account_map.failed
        or sim.bulk.tallies.failed
        or sim.charges.failed
        or sim.charge_map.failed
        or sim.blocks.failed
        or histograms_failed(&sim.histograms)
        or sim.failures.failed
        or sim.failure_map.failed
        or sim.kills.failed
        or sim.done.failed
        or sim.request_controls.failed
        or sim.links.failed
        or sim.timeline.rows.failed
        or lean_failed(&sim.lean)
    ):
        return True
    for i in range(sim.n_devices):
        if sim.devices[i].by_blkcg.failed or sim.devices[i].by_thread.failed:
            return True
        if file_failed(&sim.devices[i].file):
            return True
    return False
