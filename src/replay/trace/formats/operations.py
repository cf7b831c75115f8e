"""What an operation is called in tables of others."""

from typing import Final

#: What an operation is called where the user does not say.
OPERATIONS: Final = {
    "r": "read",
    "read": "read",
    "rs": "read",
    "ra": "read",
    "w": "write",
    "write": "write",
    "ws": "write",
    "d": "discard",
    "discard": "discard",
    "trim": "discard",
    "unmap": "discard",
    "f": "flush",
    "flush": "flush",
    "sync": "flush",
}
