"""The timeline's part of a run's state; `counting/timeline.pxd` fills it in."""

from libc.stdint cimport int64_t, uint32_t

from replay.engine.structures.arena cimport Arena

cdef enum:
    # replay.engine.raw.TIMELINE_CELLS, in its order
    CELL_IO = 0             # six, as IO_COLUMNS
    CELL_CHARGED = 6
    CELL_UNCHARGED = 7
    CELL_REFUSED = 8
    CELL_USAGE = 9
    CELL_REQUESTS = 10
    CELL_STAGES = 11        # ten, as Stage
    CELL_BLOCKED = 21
    CELL_HIGH = 22
    CELL_MAX = 23
    CELL_OOM = 24
    CELL_OOM_KILL = 25
    N_CELLS = 26

cdef struct TimelineRow:
    int64_t interval
    uint32_t cgroup
    int64_t cells[N_CELLS]

cdef struct Timeline:
    int64_t interval_ns     # 0: none is wanted
    int64_t cut_ns          # end of the present interval; beyond all times: none is wanted
    int64_t index           # number of the present interval
    int64_t n_cells_seen    # cgroups looked at so far
    int64_t *before         # n_cgroups x N_CELLS, at the last cut
    int64_t *now            # room for those of the next
    Arena rows
