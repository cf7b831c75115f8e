"""Whether a signal has come: asked by compiled code, which must not run for long.

A signal's handler runs when Python looks for it. A loop that does not return to Python
within 100 ms asks here, between two pieces of work, and ends when it is told to.
"""

cdef extern from *:
    """
    #include <Python.h>

    /* Runs the handlers of signals that have come; where one raised, its exception
       stays set in this thread. Only Python's first thread runs handlers. */
    static inline int replay_signal_raised(void)
    {
        PyGILState_STATE state = PyGILState_Ensure();
        int raised = PyErr_Occurred() != NULL || PyErr_CheckSignals() != 0;
        PyGILState_Release(state);
        return raised;
    }
    """
    # With or without the interpreter's lock. Where it is true nothing of Python may be
    # done but to return the exception.
    bint signal_raised "replay_signal_raised" () noexcept nogil
