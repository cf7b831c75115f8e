"""The start of the ``replay`` command; imports so little that no signal is missed.

Until the command minds them itself, a signal ends the process at once: nothing was made
yet, and a shell sees the same exit code.
"""

import signal


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from replay.cli.main import main as run

    run()
