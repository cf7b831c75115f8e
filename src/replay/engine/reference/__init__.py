"""The rules once more, in plain Python, one function each.

Slow on purpose: no batch operations, no tricks, a dictionary entry a page. It shares
nothing with the compiled engine but `Setup` and `Columns`, and must agree with it
exactly, event by event.
"""

from replay.engine.reference.run.loop import Reference

__all__ = ["Reference"]
