"""Devices that a setup's tables have entries for, each one at most."""

from libc.stdint cimport int32_t

from replay.engine.state.sim cimport Sim


cdef inline int place_take(
    const Sim *sim, void **at, int32_t place, void *entry, str what
) except -1:
    """Have a device's entry found by its place plus one: -1 is the device below.

    Raises ValueError if there is no such device, or it has an entry.
    """
    if not -1 <= place < <int32_t> sim.n_devices:
        raise ValueError(f"setup: {what} of a device beyond the last")
    if at[place + 1] != NULL:
        raise ValueError(f"setup: {what} of one device stand twice")
    at[place + 1] = entry
    return 0
