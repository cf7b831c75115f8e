"""Which of two devices, one on the other, a request is on."""

from replay.engine.reference.state.requests import Request
from replay.engine.setup import Setup


def is_outer(setup: Setup, request: Request) -> bool:
    """Return True if a request is on a device that lies on another one."""
    return setup.nested >= 0 and request.device != setup.nested
