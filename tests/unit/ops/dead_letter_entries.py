"""Dead letters made by hand, for tests without a server."""

from __future__ import annotations

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.streams.entry import RawEntry

_OURS = ("rid", "attempts", "replay-link", "dlq-")

ID = "1700000000000-5"


def letter(
    data: bytes | None = b"{}", *, stage: str = "price", entry_id: str = ID, **headers: str
) -> DeadLetter:
    """Make a dead letter; `dlq_reason="x"` is the header `rsq-dlq-reason`."""
    fields: list[bytes] = [] if data is None else [b"data", data]
    for name, value in headers.items():
        plain = name.replace("_", "-")
        fields += ((f"rsq-{plain}" if plain.startswith(_OURS) else plain).encode(), value.encode())
    return DeadLetter(stage, RawEntry(f"{{shop}}:{stage}:dlq", entry_id, fields))


def failed(message: str, *, stage: str = "price", at: float = 1.0, entry_id: str = ID) -> DeadLetter:
    """Make a dead letter that a ValueError made."""
    return letter(
        stage=stage,
        entry_id=entry_id,
        dlq_reason="handler_error",
        dlq_error=f"ValueError: {message}",
        dlq_traceback=f"Traceback ...\nValueError: {message}",
        dlq_at=f"{at:.3f}",
    )
