"""Ask for a line of memory before it is needed."""

cdef extern from *:
    """
    /* GCC takes a function that does nothing but prefetch for one that does nothing, and
       leaves out its calls: the empty volatile statement makes it keep them. */
    #define replay_prefetch(pointer) \\
        do { __builtin_prefetch(pointer); __asm__ volatile (""); } while (0)
    """
    void prefetch "replay_prefetch"(const void *pointer) noexcept nogil
