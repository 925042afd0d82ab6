"""Errors: messages and exit codes of the command line."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.cli.output.printable import printable
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import (
    LoginError,
    RsqPipeError,
    ServerStartError,
    ServerUnavailableError,
    SpecError,
    SpecValidationError,
)

if TYPE_CHECKING:  # commands that read no pipeline file need not import the spec
    from rsq_pipe.spec.graph import Graph

DONE = 0
FAILED = 1
WRONG_SPEC = 2
NO_SERVER = 3
DEAD_LETTERS = 4
OUR_FAULT = 70

_PACKAGE = Path(__file__).parents[1]
_NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP)
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def exit_code(error: RsqPipeError) -> int:
    """Return the exit code for an error: 2 spec, 3 server not reachable, 1 everything else."""
    if isinstance(error, SpecError):
        return WRONG_SPEC
    if isinstance(error, ServerUnavailableError | ServerStartError | LoginError):
        return NO_SERVER
    return FAILED


@contextmanager
def placing(graph: Graph) -> Iterator[None]:
    """Add the stage's place in the pipeline file to errors of a stage that are raised inside."""
    try:
        yield
    except RsqPipeError as exc:
        exc.place = exc.place or graph.places.get(getattr(exc, "stage", ""), "")
        raise


def report(error: RsqPipeError) -> None:
    """Print an error, without a traceback; a spec's problems already begin with their place."""
    prefix = "" if isinstance(error, SpecError) else "rsq-pipe: "
    sys.stderr.write(f"{prefix}{printable(str(error))}\n")
    if error.place:
        sys.stderr.write(f"  at {printable(error.place)}\n")
    if isinstance(error, SpecValidationError):
        count = len(error.problems)
        sys.stderr.write(f"rsq-pipe: {count} {'mistake' if count == 1 else 'mistakes'}; nothing was run\n")


def unwritable(error: Exception) -> str:
    """Return why output cannot be written, if that is the error."""
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return f"{error.filename or 'output'} cannot be written: {error.strerror}"
    # Our own code encodes only UTF-8: any other encoding is that of standard output.
    if isinstance(error, UnicodeEncodeError) and not error.encoding.startswith("utf"):
        what = error.object[error.start]
        return (
            f"standard output cannot take {what!a}: its encoding is {sys.stdout.encoding}; "
            "set PYTHONIOENCODING=utf-8"
        )
    return ""


def unusable_name(error: Exception) -> str:
    """Return a message if a file name is invalid, or relative to a folder that no longer exists."""
    if isinstance(error, FileNotFoundError) and error.filename is None and not _has_folder():
        return "the current folder was removed; change to another one"
    if isinstance(error, OSError) and error.errno in _NO_NAME:
        name, most = str(error.filename or ""), 100
        shown = name if len(name) <= most else f"{name[:most]}..."
        return f"{shown}: {error.strerror}; check the name"
    return ""


def _has_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _lacking(error: Exception) -> str:
    """Return what this process may have no more of, and what gives it more; empty for other errors."""
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return (
            "this process may start no more threads; raise `ulimit -u`, or the container's limit of processes"
        )
    if isinstance(error, MemoryError):
        return "this process may have no more memory; raise its limit, or make `batch: {size: ...}` smaller"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "this process may open no more files; raise `ulimit -n`"
    return ""


def _where(error: Exception) -> str:
    """Name the last line of our own code in a traceback: what happens once in a night cannot be run again."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    return f" (at {Path(ours[-1].filename).relative_to(_PACKAGE.parent)}:{ours[-1].lineno})" if ours else ""


def report_fault(error: Exception, *, debug: bool) -> int:
    """Report an error that is a bug of rsq-pipe, or a machine that has no more of what a process needs."""
    what = printable(full_text(error))
    lacking = _lacking(error)
    where = "" if lacking else _where(error)
    sys.stderr.write(f"rsq-pipe: {lacking or 'this is a fault of rsq-pipe'}: {what}{where}\n")
    if debug:
        sys.stderr.write(printable("".join(traceback.format_exception(error))))
    elif not lacking:
        sys.stderr.write("Run it again with RSQ_DEBUG=1 for the traceback, and please report that.\n")
    return OUR_FAULT
