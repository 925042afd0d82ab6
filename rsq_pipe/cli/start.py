"""Start: the entry point of `rsq-pipe`: handles SIGTERM and Ctrl-C while the rest is being imported."""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""The exit code after Ctrl-C: the same as later, but nothing may be imported for it here."""

_CALLS_HANDLERS = ("run", "test", "dev")


class EarlyStop:
    """Whether a run was stopped before it could handle signals."""

    requested = False


def main() -> None:
    """Run the command line; a `run` that is stopped while it starts stops as cleanly as later."""
    # Imports create many objects that stay, and no garbage among them: docs/adr/0011 has figures.
    gc.set_threshold(400_000, 50, 100)
    # A KeyboardInterrupt would print the traceback of the import it comes in; there is nothing to close yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words[:1] == ["run"]:
        signal.signal(signal.SIGTERM, _note)
    try:
        from rsq_pipe.cli.main import main as command_line  # noqa: PLC0415  it takes a while
    except KeyboardInterrupt:  # nothing has begun
        sys.exit(INTERRUPTED)

    try:
        command_line()
    finally:
        # The interpreter looks at all objects for garbage before it ends, which takes 15% of a short command.
        # Not after handlers: only if their unreachable objects are found are the files in them closed.
        if not words or words[0] not in _CALLS_HANDLERS:
            gc.freeze()


def _note(number: int, _: FrameType | None) -> None:
    EarlyStop.requested = True
    signal.signal(number, signal.SIG_DFL)  # a second one does not wait
