"""Why a store of objects cannot be reached from where a job runs."""

import os
import socket
from typing import Final

#: What clients of such stores say that find no keys, or wrong ones: without any they
#: ask a host of the cloud for some, which is not there.
_SAID: Final = (
    *("resolve host", "could not connect", "no credentials", "unable to locate"),
    *("access denied", "access_denied", "forbidden", "curlcode: 28"),
)
_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")


def missing_keys(text: str) -> str:
    """Name the cause where a store's keys are not in a process's environment.

    Parameters
    ----------
    text : str
        What its client said.

    Returns
    -------
    str
        Which process lacks which, to be put behind the text; empty if that is not it.
    """
    said = text.lower()
    if "aws" not in said and "s3" not in said:
        return ""
    if not any(one in said for one in _SAID) or any(os.environ.get(k) for k in _KEYS):
        return ""
    return (
        f" (on {socket.gethostname()}, process {os.getpid()}: its environment has none "
        f"of {', '.join(_KEYS)}; a store's keys are taken from each worker's own)"
    )
