"""Files that are cut short while they are mapped into memory.

To read what a mapped file no longer has raises SIGBUS, which ends the process. For a
part of memory that is *watched* it reads as zeros instead, and `cut` tells so: whoever
reads asks when it is done, and takes nothing that was read for a trace's.
"""

from libc.stdint cimport uintptr_t

cdef extern from *:
    """
    #include <signal.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <unistd.h>

    #define REPLAY_WATCHED 4096

    /* Written with the interpreter's lock held; the handler only reads the bounds. The
       end is written last and cleared first, so that no half of a range is seen. */
    static struct {
        volatile uintptr_t start;
        volatile uintptr_t end;
        volatile sig_atomic_t cut;
    } replay_watched[REPLAY_WATCHED];
    static struct sigaction replay_bus_before;
    static int replay_bus_installed;

    static void replay_on_bus(int number, siginfo_t *info, void *context)
    {
        uintptr_t page_bytes = (uintptr_t) sysconf(_SC_PAGESIZE);
        uintptr_t at = (uintptr_t) info->si_addr;
        uintptr_t page = at & ~(page_bytes - 1);
        for (int i = 0; i < REPLAY_WATCHED; i++) {
            uintptr_t end = replay_watched[i].end;
            if (end == 0 || at < replay_watched[i].start || at >= end)
                continue;
            end = (end + page_bytes - 1) & ~(page_bytes - 1);
            /* all that lies behind is gone as well */
            if (mmap((void *) page, end - page, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0)
                == MAP_FAILED)
                break;
            replay_watched[i].cut = 1;
            return;
        }
        /* none of ours: as if this handler were not there */
        if (replay_bus_before.sa_flags & SA_SIGINFO) {
            replay_bus_before.sa_sigaction(number, info, context);
        } else if (replay_bus_before.sa_handler != SIG_DFL
                   && replay_bus_before.sa_handler != SIG_IGN) {
            replay_bus_before.sa_handler(number);
        } else {
            sigaction(SIGBUS, &replay_bus_before, NULL);
        }
    }

    static int replay_watch(uintptr_t start, uintptr_t n_bytes)
    {
        if (!replay_bus_installed) {
            struct sigaction action;
            memset(&action, 0, sizeof(action));
            action.sa_sigaction = replay_on_bus;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
            sigemptyset(&action.sa_mask);
            if (sigaction(SIGBUS, &action, &replay_bus_before) != 0)
                return -1;
            replay_bus_installed = 1;
        }
        for (int i = 0; i < REPLAY_WATCHED; i++) {
            if (replay_watched[i].end != 0)
                continue;
            replay_watched[i].cut = 0;
            replay_watched[i].start = start;
            replay_watched[i].end = start + n_bytes;
            return i;
        }
        return -1;
    }

    static void replay_unwatch(int i)
    {
        replay_watched[i].end = 0;
    }

    static int replay_cut(int i)
    {
        return replay_watched[i].cut;
    }
    """
    int replay_watch(uintptr_t start, uintptr_t n_bytes)
    void replay_unwatch(int number)
    bint replay_cut(int number)


cdef class Watched:
    """Memory that a file is mapped into, watched until this is let go of.

    The mapping has to last as long. Of more than 4,096 at once the others are not
    watched.

    Parameters
    ----------
    data : buffer
        The memory; it is not held.
    """

    cdef int number

    def __cinit__(self, data):
        cdef const unsigned char[::1] view = memoryview(data).cast("B")
        self.number = -1
        if view.shape[0] > 0:
            self.number = replay_watch(<uintptr_t> &view[0], view.shape[0])

    def __dealloc__(self):
        self.close()

    def close(self):
        """Stop watching it."""
        if self.number >= 0:
            replay_unwatch(self.number)
        self.number = -1

    @property
    def cut(self):
        """Whether the file was found to be shorter than the memory."""
        return self.number >= 0 and replay_cut(self.number)
