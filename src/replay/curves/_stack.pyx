"""LRU stack distances for Python: what a walk found, and how tests reach it."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t


cdef class Stack:
    """The pages that one cgroup uses, in the order of their last use.

    Parameters
    ----------
    threshold : int
        Pages whose hash is below it are looked at: 2**64 - 1 is every page.
    """

    def __cinit__(self, threshold):
        if not stack_open(&self.stack, threshold):
            raise MemoryError

    def __dealloc__(self):
        stack_close(&self.stack)

    def use(self, uint64_t key, int64_t n_pages, bint needed, bint on_disk=False):
        """Use pages one after the other.

        Parameters
        ----------
        key : int
            Of the first page; the others have the next keys.
        n_pages : int
        needed : bool
            What stands in them is read, so that a page that is gone is read again.
        on_disk : bool
            It stands on the disk, where it is read then: a hole is nowhere.

        Returns
        -------
        int
            Distance of the last one; 0: it was not there; -1: it is not looked at.

        Raises
        ------
        MemoryError
            It cannot grow.
        """
        cdef int64_t i
        cdef int64_t distance = NOT_SAMPLED
        with nogil:
            for i in range(n_pages):
                distance = stack_use(&self.stack, key + <uint64_t> i, needed, on_disk)
                if distance == NO_MEMORY:
                    break
        if distance == NO_MEMORY:
            raise MemoryError("the stack of pages cannot grow")
        return distance

    def drop(self, uint64_t key, uint64_t n_pages):
        """Forget pages: they were discarded.

        Parameters
        ----------
        key : int
            Of the first page; the others have the next keys.
        n_pages : int
            May be far more than there are.
        """
        with nogil:
            stack_drop(&self.stack, key, n_pages)

    def distances(self):
        """Count the needed uses by distance.

        Returns
        -------
        bytes
            int64, by distance from 0, which counts pages that were not there.
        """
        return self._bytes(self.stack.counts)

    def distances_on_disk(self):
        """Count those of them whose pages stand on the disk, likewise."""
        return self._bytes(self.stack.on_disk)

    cdef bytes _bytes(self, const int64_t *counts):
        if self.stack.n_counts == 0:
            return b""
        return PyBytes_FromStringAndSize(
            <const char *> counts,
            <Py_ssize_t> (<size_t> self.stack.n_counts * sizeof(int64_t)),
        )

    @property
    def n_needed(self):
        """Needed uses of all pages, those too that are not looked at."""
        return self.stack.n_needed

    @property
    def n_pages(self):
        """Pages that were ever used."""
        return self.stack.map.length
