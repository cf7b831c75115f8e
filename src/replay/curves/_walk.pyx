"""Goes through rows: whose pages they use, and which of these stand on the disk."""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from replay.curves._disk cimport Disk, disk_close, disk_has, disk_open, disk_set
from replay.engine.state.rows cimport NOT_REPLAYED
from replay.curves._stack cimport (
    NO_MEMORY,
    LruStack,
    Stack,
    stack_drop,
    stack_use,
)

cdef enum:
    SECTORS = 8             # of a page
    PAGE_BYTES = 4096
    DEVICE_SHIFT = 52
    # pages between two looks at signals: some 20 ms
    PAGES_AT_ONCE = 1 << 17

# what a row does, as the caller says for each operation
cdef enum:
    READS = 1
    WRITES = 2
    FREES = 3


cdef class Walk:
    """Feeds every cgroup's stack, and its ancestors', with the pages it uses.

    Parameters
    ----------
    css : const uint32_t[::1], shape (n_cgroups,)
        The cgroup that pays for each one's pages.
    parent : const int32_t[::1], shape (n_cgroups,)
        Of each cgroup, below it; -1 for the root.
    kinds : const uint8_t[::1], shape (128,)
        By operation: 1 reads, 2 writes, 3 frees, 0 uses no pages.
    threshold : int
        As of `Stack`.
    laid_out : bool
        The files' pages stand on the disk from the start.
    """

    cdef const uint32_t[::1] css
    cdef const int32_t[::1] parent
    cdef const uint8_t[::1] kinds
    cdef LruStack **at          # by cgroup, NULL: it used no page yet
    cdef LruStack **made        # those that there are
    cdef uint32_t n_made
    cdef Disk disk
    cdef object threshold
    cdef bint has_holes
    cdef dict stacks_made       # by cgroup

    def __cinit__(self, css, parent, kinds, threshold, laid_out):
        self.css = css
        self.parent = parent
        self.kinds = kinds
        self.threshold = threshold
        self.stacks_made = {}
        if len(parent) != len(css) or len(kinds) != 128:
            raise ValueError("css, parent and kinds differ in length")
        self.at = <LruStack **> calloc(len(css) + 1, sizeof(LruStack *))
        self.made = <LruStack **> calloc(len(css) + 1, sizeof(LruStack *))
        if not disk_open(&self.disk, laid_out) or self.at == NULL or self.made == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.at)
        free(self.made)
        disk_close(&self.disk)

    @property
    def stacks(self):
        """Stack of each cgroup that used a page, by its number, in the order made."""
        return self.stacks_made

    @property
    def holes(self):
        """Whether a read found pages that stand nowhere."""
        return self.has_holes

    def is_on_disk(self, uint16_t device, uint64_t page):
        """Return True if a page of a device's file stands on the disk."""
        return disk_has(&self.disk, page | <uint64_t> device << DEVICE_SHIFT)

    def add(
        self,
        const uint16_t[::1] device,
        const int8_t[::1] op,
        const uint64_t[::1] sector,
        const uint32_t[::1] nbytes,
        const uint32_t[::1] issuer,
    ):
        """Use the pages of rows.

        Parameters
        ----------
        device, op, sector, nbytes, issuer : arrays, shape (n_rows,)
            Columns as the engine takes them.

        Raises
        ------
        MemoryError
        BaseException
            What the handler of a signal raised; the walk is not to be gone on with.
        """
        cdef Py_ssize_t n = device.shape[0]
        cdef Py_ssize_t row = 0
        cdef uint64_t n_pages
        cdef uint8_t kind
        cdef bint fits = True
        if not n == op.shape[0] == sector.shape[0] == nbytes.shape[0]:
            raise ValueError("columns differ in length")
        if issuer.shape[0] != n:
            raise ValueError("columns differ in length")
        while row < n:
            n_pages = 0
            with nogil:
                while row < n and n_pages < PAGES_AT_ONCE and fits:
                    kind = 0
                    if device[row] != NOT_REPLAYED and nbytes[row] and op[row] >= 0:
                        kind = self.kinds[op[row]]
                    if kind == FREES:
                        fits = self._free(device[row], sector[row], nbytes[row])
                    elif kind != 0:
                        fits = self._use(
                            device[row],
                            sector[row],
                            nbytes[row],
                            self.css[issuer[row]],
                            kind == READS,
                        )
                    n_pages += 1 + nbytes[row] // PAGE_BYTES
                    row += 1
            if not fits:
                raise MemoryError("the stacks of pages cannot grow")
            PyErr_CheckSignals()

    cdef bint _free(
        self, uint16_t device, uint64_t sector, uint32_t nbytes
    ) noexcept nogil:
        """Drop the pages that lie wholly inside; return False if memory ran out."""
        cdef uint64_t skipped = (SECTORS - sector % SECTORS) % SECTORS
        cdef uint64_t first = sector // SECTORS + (skipped != 0)
        cdef uint64_t n_pages
        cdef uint32_t i
        if nbytes < skipped * 512 + PAGE_BYTES:
            return True
        n_pages = (nbytes - skipped * 512) // PAGE_BYTES
        first |= <uint64_t> device << DEVICE_SHIFT
        for i in range(self.n_made):
            stack_drop(self.made[i], first, n_pages)
        return disk_set(&self.disk, first, first + n_pages - 1, False)

    cdef bint _use(
        self,
        uint16_t device,
        uint64_t sector,
        uint32_t nbytes,
        uint32_t payer,
        bint reads,
    ) noexcept nogil:
        """Read or write pages; return False if memory ran out.

        What a write leaves of a page has to be there first.
        """
        cdef uint64_t head = sector % SECTORS * 512
        cdef uint64_t length = head + nbytes
        cdef uint64_t first = sector // SECTORS | <uint64_t> device << DEVICE_SHIFT
        cdef uint64_t last = first + (length - 1) // PAGE_BYTES
        cdef uint64_t page
        cdef int32_t cgroup
        cdef bint needed, there
        for page in range(first, last + 1):
            needed = reads or (page == first and head != 0) or (
                page == last and length % PAGE_BYTES != 0
            )
            there = needed and disk_has(&self.disk, page)
            if reads and not there:
                self.has_holes = True
            cgroup = <int32_t> payer
            while cgroup > 0:
                if self.at[cgroup] == NULL:
                    with gil:
                        try:
                            self._make(cgroup)
                        except MemoryError:
                            return False
                if stack_use(self.at[cgroup], page, needed, there) == NO_MEMORY:
                    return False
                cgroup = self.parent[cgroup]
        return reads or disk_set(&self.disk, first, last, True)

    cdef int _make(self, int32_t cgroup) except -1:
        """Begin the stack of a cgroup."""
        cdef Stack one = Stack(self.threshold)
        self.stacks_made[cgroup] = one
        self.at[cgroup] = &one.stack
        self.made[self.n_made] = &one.stack
        self.n_made += 1
        return 0
