"""Dead letter text: one dead letter, complete, for `dlq show` and `top`; and a payload, for `peek`, too."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.text import Text

from rsq_pipe.cli.output.console import moment
from rsq_pipe.cli.output.printable import escaped, printable
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.redaction import redact


def dead_letter_text(letter: DeadLetter, payloads: Payloads, ui: str = "") -> Text:
    """
    Format a dead letter: where and why it failed, headers, payload, traceback.

    Args:
        letter: The dead letter.
        payloads: Decodes payloads.
        ui: Where traces can be viewed; empty if not configured.
    """
    text = Text()
    for part in _parts(letter, payloads, ui):
        text.append(part)
    return text


def _parts(letter: DeadLetter, payloads: Payloads, ui: str) -> Iterator[Text]:
    yield Text(f"{letter.name}\n", style="bold")
    facts = {
        "record": letter.rid,
        "failed": f"{moment(letter.at)}, attempts: {letter.attempts}",
        "reason": letter.reason,
        "error": letter.error,
        "entry": letter.failed_entry,
        "trace": _trace(letter, ui),
    }
    for name, value in facts.items():
        if value:
            yield Text.assemble((f"  {name:<8}", "dim"), f"{_indented(printable(value), 10)}\n")
    yield from _section("headers", "\n".join(f"{name}: {value}" for name, value in letter.headers.items()))
    yield from _section("payload", payload_text(letter.raw, payloads, indent=2))
    yield from _section("traceback", redact(letter.traceback.rstrip()))


def _section(title: str, body: str) -> Iterator[Text]:
    if body:
        yield Text(f"{title}\n", style="bold")
        yield Text(f"  {_indented(escaped(body), 2)}\n")


def _indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


def payload_text(raw: bytes, payloads: Payloads, *, indent: int | None = None) -> str:
    """Write a record as JSON, or bytes that are not one as text."""
    record = payloads.decode(raw)
    if record is not None:
        try:
            return json.dumps(record, indent=indent, ensure_ascii=False, default=repr)
        except (TypeError, ValueError, RecursionError):  # keys of any type, endless digits
            pass
    return raw.decode(errors="backslashreplace") or "(no bytes)"


def _trace(letter: DeadLetter, ui: str) -> str:
    if not ui or not letter.trace_id:
        return letter.trace_id
    return f"{letter.trace_id}  {ui.rstrip('/')}/trace/{letter.trace_id}"
