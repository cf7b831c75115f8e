"""Loop devices of a machine, as they were found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop device that is set up.

    Attributes
    ----------
    name : str
        ``loop0``.
    file : str
        Its backing file.
    direct_io : bool
    filesystem : str or None
        Type of the file system that the file lies on, ``raw`` for a block device;
        None where the file is not to be seen from here.
    device : str or None
        ``MAJOR:MINOR`` of the disk below; None if there is none.
    size : int or None
        Bytes of a tmpfs.
    """

    name: str
    file: str
    direct_io: bool
    filesystem: str | None = None
    device: str | None = None
    size: int | None = None
