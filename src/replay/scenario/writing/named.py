"""What a cgroup's path says of who runs in it: containers, pods, machines."""

import re
from typing import Final

_ID: Final = r"([0-9a-f]{12})[0-9a-f]{52}"
_UID: Final = r"([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})"
#: The last part of a path, and what it says.
_FORMS: Final = tuple(
    (re.compile(form), said)
    for form, said in (
        (rf"docker-{_ID}\.scope", "container {} of Docker"),
        (rf"cri-containerd-{_ID}\.scope", "container {} of containerd"),
        (rf"crio-{_ID}\.scope", "container {} of CRI-O"),
        (rf"libpod-{_ID}\.scope", "container {} of Podman"),
        (_ID, "container {}"),
        (rf"kubepods(?:-[a-z]+)?-pod{_UID}\.slice", "pod {}"),
        (rf"pod{_UID}", "pod {}"),
        (r"lxc\.payload\.(.+)", "container {} of LXC"),
        (r"machine-(?:qemu\\x2d\d+\\x2d)?(.+)\.scope", "machine {}"),
        (r"user-(\d+)\.slice", "user {}"),
    )
)
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


def who_runs(path: str) -> str | None:
    """Return what the last part of a cgroup's path says of who runs there.

    Parameters
    ----------
    path : str

    Returns
    -------
    str or None
        For example ``container 0123456789ab of Docker``; None if it says nothing.
    """
    last = path.rpartition("/")[2]
    for form, said in _FORMS:
        if match := form.fullmatch(last):
            name = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), match[1])
            return said.format(name.replace("_", "-") if "pod" in said else name)
    return None
