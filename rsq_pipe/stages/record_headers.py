"""Record headers: what a handler sees of them, what it may add, and what goes on to the next stage."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.entry import MAX_FIELDS, has_room
from rsq_pipe.streams.headers import ATTEMPTS, DATA, PREFIX, RID, is_reserved


def whole(batch: Batch, place: int) -> dict[str, str]:
    """Spell all headers of a record, the ones that a batch has columns for among them."""
    headers = {RID: batch.rids[place], **batch.headers_at(place)}
    attempts = batch.attempts_at(place)
    if attempts:
        headers[ATTEMPTS] = str(attempts)
    return headers


def onward(headers: Mapping[int, Mapping[str, str]]) -> dict[int, Mapping[str, str]]:
    """Take from a batch's headers those that go on, the user's and the trace's; the system's end here."""
    going: dict[int, Mapping[str, str]] = {}
    for place, beside in headers.items():
        if any(name.startswith(PREFIX) for name in beside):
            own = {name: value for name, value in beside.items() if not name.startswith(PREFIX)}
            if own:
                going[place] = own
        elif beside:
            going[place] = beside
    return going


def added(
    stage: str, wish: Mapping[str, str], to: Mapping[str, str], came_with: Mapping[str, str]
) -> Mapping[str, str]:
    """
    Add the headers that a handler emits with a record.

    Args:
        stage: The stage, for messages.
        wish: What the handler emits.
        to: The headers that go on anyway.
        came_with: All headers of the record the handler got.

    Raises:
        HandlerContractError: One cannot be written, or is not a handler's to set; or they are too many.
    """
    headers = {**to, **_checked(stage, wish, came_with)}
    if len(headers) + 1 >= MAX_FIELDS and not has_room((DATA, RID, *headers)):
        raise HandlerContractError(
            f"stage {stage!r} emitted {len(headers) + 1:,} headers; the bound is {MAX_FIELDS - 1:,}",
            stage=stage,
        )
    return headers


def _checked(stage: str, wish: Mapping[str, str], came_with: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers a handler may add; a record's own come from an entry, and can be written."""
    for name, value in wish.items():
        for item in (name, value):
            try:
                item.encode()
            except (AttributeError, UnicodeEncodeError) as exc:
                raise HandlerContractError(
                    f"stage {stage!r} emitted a header that cannot be written: {item!a}; "
                    "names and values are text",
                    stage=stage,
                ) from exc
        # Who hands `ctx.headers` on, with one more, means no harm.
        if is_reserved(name) and came_with.get(name) != value:
            raise HandlerContractError(
                f"stage {stage!r} emitted the header {name!r}, which is not a handler's to set: "
                f"{DATA!r} holds the record, and what begins with {PREFIX!r} is rsq-pipe's own; "
                "give it another name",
                stage=stage,
            )
    return {name: value for name, value in wish.items() if not is_reserved(name)}
