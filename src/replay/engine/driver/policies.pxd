"""Who serves and who pays under policies that no loop driver has had.

`driver/workers.pxd` holds those that one had. Source of the policies: the review of the
series, 2020; what each changes stands in `replay.scenario.keys.policies`.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.driver.workers cimport root_worker, worker_add
from replay.engine.state.entries cimport worker_at
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport (
    OP_FLUSH,
    POLICY_BACKCHARGE,
    POLICY_INSTANCE,
    POLICY_SYNCHRONOUS,
    WORKER_THREAD,
    Device,
    Request,
    Sim,
    Worker,
)
from replay.engine.structures.arena cimport keymap_get, keymap_set


cdef inline bint is_kernel_pid(const Sim *sim, int32_t pid) noexcept nogil:
    """Return True if a process is a thread of the kernel."""
    cdef int64_t low = 0
    cdef int64_t high = sim.n_kernel_pids
    cdef int64_t middle
    while low < high:
        middle = (low + high) // 2
        if sim.kernel_pids[middle] < pid:
            low = middle + 1
        else:
            high = middle
    return low < sim.n_kernel_pids and sim.kernel_pids[low] == pid


cdef inline uint32_t thread_of(
    Sim *sim, const Request *request, int64_t now
) noexcept nogil:
    """Return the caller's thread as a server; makes it.

    Where the trace names no process each issuer is taken for one.
    """
    cdef Device *device = &sim.devices[request.device]
    cdef uint64_t key = <uint32_t> request.pid
    cdef uint32_t index
    cdef Worker *worker
    if request.pid == 0:
        key = <uint64_t> 1 << 32 | request.issuer
    index = keymap_get(&device.by_thread, key)
    if index == 0:
        index = worker_add(sim, request.device, request.issuer, WORKER_THREAD, now)
        worker = worker_at(sim, index)
        worker.is_kernel = is_kernel_pid(sim, request.pid)
        if index != 0:
            keymap_set(&device.by_thread, key, index)
    return index


cdef inline uint32_t policy_pick(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Choose the server of a request, and with it who pays.

    `synchronous`: the caller's thread, and its own cgroup; a kernel thread has neither
    a memory nor a block cgroup, so the root pays for it. `instance`: one queue for each
    device, and the cgroup that it is bound to. `pass-through`: nobody serves, the
    bio goes on below in the name of who submitted it. `backcharge`: one queue, as the
    root; pages become the issuer's, and so does the debt of the I/O (`controllers/backcharge.pxd`).
    """
    cdef Request *request = request_at(sim, slot)
    cdef Device *device = &sim.devices[request.device]
    cdef uint32_t index
    request.io_payer = sim.blkcg[request.issuer]
    request.memory_payer = sim.memory_css[request.issuer]
    if sim.set.policy == POLICY_SYNCHRONOUS:
        index = thread_of(sim, request, now)
        if request.op == OP_FLUSH or worker_at(sim, index).is_kernel:
            request.io_payer = request.memory_payer = 0
    elif sim.set.policy == POLICY_INSTANCE:
        index = root_worker(sim, request.device, device.instance, now)
        request.io_payer = sim.blkcg[device.instance]
        request.memory_payer = sim.memory_css[device.instance]
    else:
        index = root_worker(sim, request.device, 0, now)
        if sim.set.policy == POLICY_BACKCHARGE:
            request.memory_payer = sim.memory_css[request.io_payer]
            request.io_payer = 0
            if request.op == OP_FLUSH:
                request.memory_payer = 0
    worker_at(sim, index).commands += 1
    request.worker = index
    return index
