"""Dead letters: a failed record's original bytes and headers, and why it failed."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable

import msgpack

from rsq_pipe.error_text import full_text
from rsq_pipe.streams.entry import MAX_TOTAL_FIELDS, RawEntry
from rsq_pipe.streams.headers import WHY
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Output

MAX_TRACEBACK = 4_096
"""How many characters of a traceback are kept: its end, where the cause is."""

MAX_ERROR = 4_096
"""How many characters of an error message are kept."""


def dead_letter(
    target: str,
    failed: StreamMessage | RawEntry,
    *,
    reason: str,
    stage: str,
    error: BaseException | str = "",
    attempts: int = 0,
    redact: Callable[[str], str] = str,
) -> Output:
    """
    Make the dead letter of a record.

    Args:
        target: The key of the dead-letter stream.
        failed: The record; its bytes and headers are kept as they came.
        reason: A word for the cause: `decode_error`, `max_deliveries`, `handler_error` ...
        stage: The stage, or group, that it failed in.
        error: The exception, or a sentence.
        attempts: How many handler calls failed.
        redact: Removes secrets from the error and its traceback.
    """
    surplus: list[str | bytes] = []
    if isinstance(failed, RawEntry):
        fields: list[str | bytes] = list(failed.fields[: 2 * MAX_TOTAL_FIELDS])
        if len(failed.fields) > len(fields):
            # More fields than a script can write: the last ones are kept too, in one field of their own.
            rest = failed.fields[len(fields) :]
            surplus = [f"{WHY}surplus", msgpack.packb(rest, use_bin_type=True)]
    else:
        fields = ["data", failed.raw]
        for pair in failed.headers.items():
            fields += pair
    why = explain(reason, error, redact)
    why |= {
        f"{WHY}stage": stage,
        f"{WHY}attempts": str(attempts),
        f"{WHY}entry": f"{failed.stream}/{failed.id}",
        f"{WHY}at": f"{time.time():.3f}",
    }
    # A dead letter that fails again in a stage that reads the DLQ gets the reason of the new failure.
    kept = [
        item
        for name, value in zip(fields[::2], fields[1::2], strict=True)
        if (name.decode(errors="replace") if isinstance(name, bytes) else name) not in why
        for item in (name, value)
    ]
    for pair in why.items():
        kept += pair
    return Output(target, kept + surplus)


def explain(reason: str, error: BaseException | str, redact: Callable[[str], str] = str) -> dict[str, str]:
    """Build the headers that give the reason, so that any error text can be written."""
    # Redacted before truncation: half of a truncated secret would not be recognised.
    message, lines = full_text(error), ""
    if not isinstance(error, str):
        # User code: an exception's own __str__ may raise anything.
        with contextlib.suppress(BaseException):
            lines = "".join(traceback.format_exception(error))
    return {
        f"{WHY}reason": reason,
        f"{WHY}error": writable(redact(message))[:MAX_ERROR],
        f"{WHY}traceback": writable(redact(lines))[-MAX_TRACEBACK:],
    }


def writable(text: str) -> str:
    """Escape what UTF-8 cannot encode, such as half of a surrogate pair from a careless decoder."""
    return text.encode("utf-8", "backslashreplace").decode()
