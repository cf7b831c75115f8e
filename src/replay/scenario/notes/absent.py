"""A kind of note: what a result tells of itself and a command has to say aloud."""


class Absent(str):
    """A note on a limit of a cgroup or a device of which the trace has nothing.

    Written or put together with other words it is a text as all notes.
    """

    __slots__ = ()
