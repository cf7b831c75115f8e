"""Copy a setup's policies into a run's state."""

from libc.stdint cimport uint32_t

from replay.engine.state.sim cimport (
    POLICY_BACKCHARGE,
    POLICY_INSTANCE,
    POLICY_PASS_THROUGH,
    POLICY_PER_CGROUP,
    POLICY_SYNCHRONOUS,
    PolicyKind,
    Sim,
)

cdef enum:
    NO_LIMIT = 0xFFFFFFFFU


cdef inline int policies_load(Sim *sim, object setup) except -1:
    """Set the switches; the state need not be open."""
    sim.set.policy = <PolicyKind> <int> setup.policy
    sim.set.by_thread = sim.set.policy == POLICY_SYNCHRONOUS
    sim.set.pass_through = sim.set.policy == POLICY_PASS_THROUGH
    sim.set.backcharges = sim.set.policy == POLICY_BACKCHARGE
    if not -1 <= setup.nested < <int> sim.n_devices or (
        setup.nested >= 0 and sim.n_devices < 2
    ):
        raise ValueError("setup: a device to lie on beyond the last, or nothing on it")
    sim.set.nested = setup.nested >= 0
    if sim.set.nested:
        sim.set.inner = setup.nested
    sim.set.root_has_worker = setup.root_has_worker
    sim.set.keeps_idle = setup.keeps_idle
    sim.set.leaks_css = setup.leaks_css
    return 0


cdef inline int devices_load(Sim *sim, object setup) except -1:
    """Set what differs between devices; the state is open."""
    cdef const uint32_t[::1] bound = setup.instance_cgroup
    cdef const uint32_t[::1] most = setup.max_active
    cdef bint binds = sim.set.policy == POLICY_INSTANCE
    cdef bint limits = sim.set.policy == POLICY_PER_CGROUP and len(most) > 0
    cdef uint32_t i
    stages, loops = setup.prior_stages, setup.are_loops
    if binds and len(bound) != sim.n_devices:
        raise ValueError("setup: a cgroup for each device is wanted")
    if limits and len(most) != sim.n_devices:
        raise ValueError("setup: a limit of workers for each device is wanted")
    for i in range(sim.n_devices):
        sim.devices[i].prior_stage = stages[i]
        sim.devices[i].is_loop = loops[i]
        sim.devices[i].aborted_ns = -1
        if binds:
            if bound[i] >= sim.n_cgroups:
                raise ValueError("setup: a device bound to a cgroup beyond the last")
            sim.devices[i].instance = bound[i]
        if limits:
            sim.devices[i].active.capacity = most[i] if most[i] > 0 else NO_LIMIT
            sim.set.limits_active |= most[i] > 0
    return 0
