"""Sizes that memory is counted in."""

cdef enum:
    PAGE_BYTES = 4096
    PAGE_SHIFT = 12
    # memcg counts 576 bytes and the object's own pointer for one node of the page tree
    NODE_BYTES = 584
