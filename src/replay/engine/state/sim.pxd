"""The state of a run: one struct, plain arrays, dense ids.

    Sim
     ├─ requests   slots of the requests in flight, reused        Request
     ├─ heap       pending events                                  Event
     ├─ accounts   one for each (issuer, device) seen              Account
     │   └─ latency blocks by operation ── histograms ── octaves
     ├─ charges    one for each (device, issuer, payer) seen       Charge
     ├─ devices    per traced device: workers, lock, tags, file    Device
     │   └─ file   leaves of 2 MiB and the page tree's nodes       Leaf, Word, Node
     ├─ workers    every worker that was ever made                 Worker
     ├─ groups     memory counters by cgroup                       Group
     └─ waits      who waited for whom                             Wait
"""

from libc.stdint cimport (
    int8_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
)

from replay.engine.state.bfq cimport BfqDisk
from replay.engine.state.bulk cimport Bulk
from replay.engine.state.counts cimport Counts
from replay.engine.state.disk cimport Disk
from replay.engine.state.iocost cimport IocostDevice
from replay.engine.state.iolatency cimport IolatencyDevice
from replay.engine.state.iomax cimport IomaxGroup, QueueNode
from replay.engine.state.lean cimport Lean
from replay.engine.structures.flat_histogram cimport Flat
from replay.engine.state.pages cimport DirtySettings, File, Lrugen, PageLists, Protection
from replay.engine.state.queues cimport Server, SharedLock, WaitCell
from replay.engine.state.rows cimport Columns
from replay.engine.state.stream_types cimport Stream
from replay.engine.state.timeline cimport Timeline
from replay.engine.state.victims cimport Victims
from replay.engine.structures.arena cimport Arena, Failed, KeyMap
from replay.engine.structures.heap cimport Heap
from replay.engine.structures.histogram cimport Histograms
from replay.engine.structures.log cimport Log

cdef enum:
    # positions in replay.trace.file.schema.OPS
    OP_READ = 0
    OP_WRITE = 1
    OP_DISCARD = 2
    OP_FLUSH = 3
    OP_WRITE_ZEROES = 4
    N_OPS = 8

cdef enum:
    # replay.trace.file.schema.FLAGS
    FLAG_META = 2
    # replay.engine.columns.FAILED
    FLAG_FAILED = 1 << 15

cdef enum PolicyKind:
    # replay.engine.setup.Policy
    POLICY_ROOT = 0
    POLICY_NAIVE = 1
    POLICY_PER_CGROUP = 2
    # what stands behind is chosen in driver/policies.pxd
    POLICY_SYNCHRONOUS = 3
    POLICY_INSTANCE = 4
    POLICY_PASS_THROUGH = 5
    POLICY_BACKCHARGE = 6

cdef enum ShortcutKind:
    # replay.engine.shortcuts.Shortcut, which says what each is and when it is taken
    SHORTCUT_NONE = 0
    SHORTCUT_LEAN = 1       # shortcuts/lean.pxd
    SHORTCUT_EARLY = 2      # the end of direct I/O is no event, see run/stages.pxd
    SHORTCUT_BULK = 3       # and it is counted with others, see shortcuts/bulk.pxd

cdef enum WorkerKind:
    WORKER_IDLES = 0        # and is freed after a minute of that
    WORKER_STAYS = 1        # the root list's, or an instance's
    WORKER_THREAD = 2       # the caller's own thread: no worker of the driver
    WORKER_BURST = 3        # freed as soon as it has no command

cdef enum:
    # replay.engine.setup.Stage
    STAGE_THROTTLE = 0
    STAGE_QUEUE = 1
    STAGE_TAG = 2
    STAGE_DISPATCH = 3
    STAGE_LOCK = 4
    STAGE_MEMORY = 5
    STAGE_BACKING = 6
    STAGE_DEBT = 7
    STAGE_DEVICE = 8
    STAGE_TOTAL = 9
    N_STAGES = 10
    # Most requests wait for nothing: their device time is their total, and is counted
    # once, as STAGE_DEVICE. The device time of those that waited stands here.
    STAGE_DEVICE_WAITED = 10
    N_HISTOGRAMS = 11

cdef enum:
    # replay.engine.setup.Resource
    RESOURCE_TAG = 0
    RESOURCE_WORKER = 1
    RESOURCE_LOCK = 2
    RESOURCE_DEVICE = 3
    RESOURCE_THROTTLE = 4
    RESOURCE_MEMORY = 5
    RESOURCE_QUEUE = 6
    N_RESOURCES = 7

cdef enum:
    # rank of events at the same time
    EVENT_COMPLETE = 0
    EVENT_ENDED = 1         # a stream's request, of which all else is counted
    EVENT_MEMORY = 2
    EVENT_LOCK = 3
    EVENT_IOMAX = 4
    EVENT_WOKEN = 5         # those whom a cost model let go
    EVENT_IOCOST = 6
    EVENT_PERIOD = 7
    EVENT_IOLATENCY = 8
    EVENT_TIMER = 9
    EVENT_RELEASE = 10
    EVENT_ARRIVE = 11
    EVENT_SERVED = 12       # a disk is done with a request
    EVENT_QUEUE = 13        # a disk may issue again what it refused

cdef enum SimStatus:
    SIM_OK = 0
    SIM_NO_MEMORY = 1
    SIM_TIME_RANGE = 2      # a recorded time beyond max_time_ns()
    SIM_ID_RANGE = 3        # a dense id beyond the setup's tables
    SIM_ORDER = 4           # arrivals that are not sorted
    SIM_END_RANGE = 5       # a replayed time beyond max_event_ns()
    SIM_SUM_RANGE = 6       # latencies that add up to 2**62 ns
    SIM_TIMELINE = 7        # more intervals than a timeline may have
    SIM_CHECK = 8           # a check failed, in builds with checks
    SIM_SECTOR_RANGE = 9    # a page beyond the largest file
    SIM_HALTED = 10         # a signal's handler raised an exception, which is still set

cdef enum:
    NO_TASK = -1

cdef enum:
    # replay.engine.raw.IO_COLUMNS
    IO_RBYTES = 0
    IO_WBYTES = 1
    IO_RIOS = 2
    IO_WIOS = 3
    IO_DBYTES = 4
    IO_DIOS = 5
    N_IO = 6

cdef struct Bio:
    # a task's bio, whole or split by the block layer: its parts that have arrived
    int64_t nbytes
    uint32_t in_flight
    uint32_t next_free

cdef struct Shelf:
    # what a CPU holds charged in advance for several cgroups; the slot in use stands in
    # the worker
    uint32_t cgroup[7]
    int64_t pages[7]
    uint32_t at
    uint32_t next_out

cdef struct Request:
    # three lines of the cache; while it waits for its turn only the first is looked at
    int64_t row
    int64_t arrival_ns
    int64_t tag_ns          # past the traced device's queue
    int64_t throttled_from_ns
    # where touching goes on after a sleep; of direct I/O: passes of io.max below
    uint64_t next_page
    uint32_t nbytes
    uint32_t n_bios
    uint32_t issuer
    uint32_t account
    uint32_t next           # behind it in a queue, or the next free slot
    uint16_t device
    uint8_t op
    uint8_t is_meta         # with limits alone
    # --
    uint64_t sector
    int64_t service_ns
    int64_t dispatch_ns     # with a tag
    int64_t start_ns        # with its worker; -1 before
    int64_t lock_ns         # with the file's lock
    int64_t device_ns       # past the limits of the device below
    uint32_t memory_payer
    uint32_t io_payer
    uint32_t worker         # index in Sim.workers, 0 = none
    uint32_t place          # its cgroup's: in the queue it waits in, in a shared lock
    # --
    int64_t served_ns       # by the device; its pages are touched from now on
    int64_t memory_ns       # slept while they are
    int64_t prior_ns        # from its Q to its last D, as recorded
    int64_t debt_ns         # slept before its Q, for what its cgroup owed
    uint32_t oom_rounds     # that the present charge has failed
    uint32_t blocking       # cgroup whose limit the present sleep is for
    int32_t stream
    int32_t task
    int32_t error
    int32_t pid             # with policy `synchronous` alone
    uint32_t starts         # I/Os of its stream that begin with it
    # above and below: of the device while it waits, then of its group's own time
    int64_t cost[2]
    uint8_t known
    uint8_t counts_early    # when it is served, without an event: see SHORTCUT_EARLY
    uint8_t holds_lock
    uint8_t shares_lock
    uint8_t holds_worker    # while it waits below for its cgroup's budget
    int64_t queued_ns       # past the traced device's limits
    uint8_t failed          # by the kernel that was recorded
    uint8_t bytes_paid      # they count in the group where it waits for I/Os now
    uint32_t bio            # that it is a part of, if it is a task's

cdef struct Worker:
    Server server
    uint32_t cgroup
    uint32_t index          # number on its device
    uint16_t device
    uint8_t kind            # WorkerKind
    bint is_kernel          # a thread of the kernel: it has no memory of its own
    uint32_t next           # the device's next worker that lives
    int64_t idle_since_ns   # -1: it has commands
    int64_t created_ns
    int64_t reaped_ns
    int64_t busy_ns
    int64_t commands
    # the CPU it runs on, as the memory controller sees it
    uint32_t stock_cgroup   # for whom pages are charged in advance
    int64_t stock_pages
    uint32_t shelf          # index of a Shelf, 0 = it holds one cgroup's alone
    int64_t over_high       # pages charged above memory.high since it last slept for it
    bint in_stocked         # it stands in Sim.stocked

cdef struct Device:
    Server tags
    Server active           # places of the workqueue, if `limits_active`
    Server lock
    Server device
    SharedLock shared
    File file
    KeyMap by_blkcg
    KeyMap by_thread        # with policy `synchronous` alone
    uint32_t root_worker
    uint32_t instance       # cgroup that the device is bound to
    uint32_t n_workers
    uint32_t workers        # first worker that lives
    uint8_t prior_stage     # that Request.prior_ns counts for
    bint is_loop            # its driver has workers, which wait for a flush
    int64_t aborted_ns      # its file system's journal did; -1: it did not
    int64_t timer_ns        # -1: not armed

cdef struct LatencyBlock:
    int64_t count
    uint32_t stages[N_HISTOGRAMS]   # index of a Histogram, 0 = no value above 0

cdef struct Account:
    # all that one issuer did on one device
    uint32_t issuer
    uint16_t device
    uint8_t lane                # in the last queue of several cgroups, a cache
    uint8_t lock_place          # where it stood last in the device's shared lock
    uint32_t latency[N_OPS]     # index of a LatencyBlock
    uint32_t worker             # that served it last, a cache
    uint32_t charge             # the last charge, a cache
    uint32_t charge_payer
    uint32_t first_charge       # the others stand in Sim.charge_map
    uint32_t first_payer
    int64_t unissued[N_IO]      # what the driver never saw; the rest stands in charges
    # replayed waits for tags, in the stage beside recorded ones, of AS_QUEUED
    int64_t replayed_ns
    int64_t replayed
    # recorded waits for tags that are told as waits behind the own cgroup
    int64_t own_ns
    int64_t own

cdef struct Charge:
    uint16_t device
    uint32_t issuer
    uint32_t payer
    int64_t io[N_IO]
    int64_t charged_bytes
    int64_t uncharged_bytes
    int64_t refused_bytes

cdef struct Group:
    int64_t limit           # memory.max, pages, -1 = none
    int64_t high            # memory.high, likewise
    int64_t usage           # pages, with descendants
    int64_t peak
    int64_t shmem           # pages, own
    int64_t file
    int64_t kernel_bytes
    int64_t rss
    int64_t high_events     # with descendants, as memory.events
    int64_t max_events      # with descendants, as memory.events
    int64_t oom
    int64_t oom_kill
    int64_t oom_group_kill
    int64_t low_events
    int32_t parent
    int32_t limited         # nearest cgroup with a limit, itself included; -1 = none
    int32_t highs           # nearest cgroup with memory.high, likewise
    bint oom_group          # memory.oom.group
    # tasks
    int64_t last_kill_ns
    uint32_t n_alive
    uint32_t n_killable     # with descendants

cdef struct Task:
    uint32_t cgroup
    bint kernel
    bint started
    bint ended
    int64_t rss
    int64_t adj             # oom_score_adj
    int64_t requests_left
    int64_t killed_ns       # -1 = lives
    int64_t reap_ns         # when the reaper comes to it, -1 = it came or never will
    int64_t in_flight_bytes
    int64_t resident
    # of its last request: the bio, and where and when one more part would begin
    uint32_t bio
    uint16_t bio_device
    uint8_t bio_op
    int64_t bio_queue_ns
    uint64_t bio_end
    uint32_t next_dying     # task + 1, see memcg/victims.pxd

cdef struct Done:
    # a row of the `requests` table
    int64_t row
    int64_t arrival_ns
    int64_t start_ns
    int64_t completion_ns
    int64_t stage_ns[STAGE_TOTAL]
    uint32_t issuer
    uint32_t payer
    uint32_t worker
    int32_t error
    uint16_t device

cdef struct Settings:
    PolicyKind policy
    bint direct_io
    bint by_thread          # policy `synchronous`
    bint limits_active      # `per-cgroup` as it was posted: see replay.scenario.keys.policies
    bint backcharges        # policy `backcharge`
    bint root_has_worker
    bint keeps_idle
    bint leaks_css
    bint pass_through       # policy `pass-through`
    bint nested             # all devices but `inner` lie on that one
    uint16_t inner
    bint dependent          # arrivals follow completions
    bint by_queue           # arrivals by Q and through the tags, not by D
    bint as_queued          # by D, and what lies between Q and D is counted
    bint lock_on
    bint lock_shared
    bint lock_parallel      # it holds others up for sleeps alone
    bint device_on
    bint places_are_processors  # and no disk's, which bfq may give
    bint pages_on           # the backing file lies on tmpfs
    bint cache_on           # on a disk, and goes through the page cache
    bint laid_out
    bint reclaim_lru
    int mglru               # replay.engine.setup.Mglru
    DirtySettings dirty
    bint page_at_once       # up to 6.14 every page is a read call of its own
    int64_t readahead_pages
    bint readahead_by_marks
    bint readahead_stops
    bint readahead_rounds
    bint large_folios
    bint share_floor
    int64_t max_sectors     # of the largest request of the device below
    int64_t max_bytes
    int64_t file_pages
    bint backing_device
    bint want_requests
    ShortcutKind shortcut
    bint has_tables         # by device and cgroup
    uint64_t alloc_fail_threshold   # of 63 bits
    uint64_t alloc_fail_seed
    int64_t fs_pages
    int64_t laid_out_by
    bint oom_kills
    int64_t charge_batch    # pages that are charged at once
    uint32_t stock_slots    # cgroups that a CPU holds pages for
    bint high_in_charge
    bint hole_reads_charge
    int huge                # replay.engine.setup.Huge
    int huge_orders
    bint refusals_count
    int32_t write_errno
    int32_t enospc_errno
    bint short_writes
    bint recursive_protection
    uint32_t tags
    uint32_t parallel
    int64_t hz
    int64_t boot_ns
    bint waits_for_io
    bint wants_meta         # what is META may pass a limit, owe, or end a journal
    bint journaled          # a file system with a journal lies on the devices
    bint meta_debt          # by io.max too
    bint iomax_keeps_slice
    bint iomax_two_queues
    bint iomax_splits_late
    bint iocost_flush_costs
    bint iocost_min_holds
    bint issue_controllers       # io.weight or io.latency is on

cdef struct Sim:
    Settings set
    SimStatus status
    Failed failed           # of all structures
    int64_t checked_ns      # time of the last event, in builds with checks
    int64_t work_left       # before the next look at signals
    int64_t error_row
    uint32_t n_cgroups
    uint32_t n_devices
    uint32_t n_tasks
    uint32_t n_dying        # tasks the reaper has still to come to
    int64_t n_streams
    int64_t n_fail_rows
    int64_t n_kernel_pids
    const uint32_t *blkcg
    const uint32_t *memory_css
    const int64_t *fail_rows
    const int32_t *kernel_pids
    Group *groups
    Task *tasks
    Victims victims
    Device *devices
    int64_t *backing_io     # n_cgroups x N_IO, or NULL
    Protection *protection  # of each cgroup, or NULL: none has any
    PageLists *lists        # of each cgroup, or NULL
    Lrugen *lrugens         # of each cgroup, or NULL: by an inactive and an active list
    uint32_t *preorder      # cgroups, each before its children
    uint32_t *preorder_at   # where a cgroup stands there, and where its last child
    uint32_t *preorder_end
    Arena links
    uint64_t uses
    int64_t written         # pages written back
    IomaxGroup *iomax
    int32_t **iomax_of      # by device + 1 (0: the one below), then cgroup; or NULL
    QueueNode *queue_nodes  # four for each limit, behind an unused one
    int64_t jiffy           # of the last time that was asked for
    int64_t jiffy_from_ns
    int64_t jiffy_end_ns
    uint32_t passed_first   # requests that a dispatch let through the last limit
    uint32_t passed_last
    Disk *disks             # of each device, or NULL: none is a plain disk
    Arena places            # Place by the request's slot
    BfqDisk *bfq            # of each device, or NULL: the disk does not run it
    IocostDevice *iocosts
    IocostDevice **iocost_at    # by device + 1 (0: the one below), or NULL
    uint32_t n_iocosts
    IolatencyDevice *iolatencies
    IolatencyDevice **iolatency_at      # likewise
    uint32_t n_iolatencies
    Arena request_controls     # RequestControls by the request's slot
    uint32_t woken_first    # requests that a cost model let go
    uint32_t woken_last
    Arena outers            # Outer by the request's slot
    Arena requests
    uint32_t free_request
    Arena workers
    Arena stocked           # uint32_t, workers that may have a stock
    Arena shelves           # Shelf
    Arena bios              # Bio
    uint32_t free_bio
    Arena waiting           # Waiting, in blocks: a queue's stand side by side
    Arena waits
    KeyMap wait_map
    WaitCell *wait_cells    # see counting/waits.pxd; NULL where there are too many cgroups
    uint8_t *wait_rows      # which rows of them have changed
    Arena accounts
    KeyMap account_map
    # by device and issuer: twice the account's index, 1 more if it is ready for bulk;
    # likewise the workers by device and cgroup; NULL where there are too many
    uint32_t *account_table
    uint32_t *worker_table
    Bulk bulk
    int64_t max_told        # requests that counts of 32 bits may hold, there and in flats
    Arena charges
    KeyMap charge_map
    Log samples             # Sample
    Arena blocks
    Histograms histograms
    Arena failures
    KeyMap failure_map
    Arena kills
    Arena done
    Heap heap
    Lean lean
    Flat *flats             # N_FLATS for each op of each account, of LEAN and BULK
    int64_t pending         # events that a request waits for
    int64_t changes         # counts what may change how much is dirty
    int64_t next_row_ns     # when the next row arrives, if the batch holds one
    uint64_t attempts
    int64_t fs_used
    int64_t end_ns
    int64_t total_ns        # of all requests: no sum of waits is larger
    int64_t last_ns
    Counts counts
    Timeline timeline
    # dependent arrivals
    Stream *streams
    const int64_t *order
    const int64_t *think_ns
    const int64_t *needs
    const uint32_t *starts
    const Columns *parts    # all batches, in the order of their rows
    const int64_t *part_start
    int64_t n_parts
    bint never_busy         # no row of them keeps a worker of direct I/O
    int64_t last_part       # where the last row that was asked for stood
