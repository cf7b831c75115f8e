"""A batch of rows as the engine reads them."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t

cdef enum:
    NOT_REPLAYED = 0xFFFF   # in `device`: the row is of a device that is not replayed

cdef struct Columns:
    # One batch; see replay.engine.columns.Columns for units and meaning.
    const int64_t *row
    const int64_t *queue_ns
    const int64_t *issue_ns
    const int64_t *complete_ns
    const uint64_t *sector
    const uint32_t *nbytes
    const uint32_t *n_bios
    const uint16_t *flags
    const int8_t *op
    const int32_t *pid
    const uint32_t *issuer
    const uint32_t *recorded
    const uint16_t *device
    const int32_t *task
    const int64_t *service_ns
    int64_t n_rows
