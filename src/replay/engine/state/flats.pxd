"""Which flat histograms the first accounts have: see `shortcuts/flats.pxd`."""

cdef enum:
    # the service of requests that did not wait; three stages of those that did
    FLAT_NO_WAIT = 0
    FLAT_DEVICE = 1
    FLAT_PRIOR = 2
    FLAT_DISPATCH = 3
    FLAT_TOTAL = 4
    N_FLATS = 5
    # accounts that have such histograms, for reads and for writes
    FLAT_ACCOUNTS = 64
