"""Record headers: which ones a handler sees, which it may add, and which are passed to the next stage."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.entry import MAX_FIELDS, has_room
from rsq_pipe.streams.headers import ATTEMPTS, DATA, PREFIX, RID, is_reserved


def whole(batch: Batch, place: int) -> dict[str, str]:
    """Return all headers of a record, including those that a batch has columns for."""
    headers = {RID: batch.rids[place], **batch.headers_at(place)}
    attempts = batch.attempts_at(place)
    if attempts:
        headers[ATTEMPTS] = str(attempts)
    return headers


def onward(headers: Mapping[int, Mapping[str, str]]) -> dict[int, Mapping[str, str]]:
    """Return the headers that are passed on, the user's and the trace's; the system's end here."""
    going = {place: _going(beside) for place, beside in headers.items()}
    return {place: beside for place, beside in going.items() if beside}


def added(stage: str, wish: Mapping[str, str], batch: Batch, place: int) -> Mapping[str, str]:
    """
    Merge the headers that a handler emits with those passed on with its record.

    Args:
        stage: The stage, for messages.
        wish: The headers that the handler emits.
        batch: The batch.
        place: The place of the record that the handler got.

    Raises:
        HandlerContractError: A header cannot be written, or a handler may not set it; or there are too many.
    """
    headers = dict(_going(batch.headers_at(place)))
    for name, value in wish.items():
        _check_text(stage, name, value)
        if not is_reserved(name):
            headers[name] = value
        # A record's own headers come from an entry: passing on `ctx.headers`, with one more, is legitimate.
        elif whole(batch, place).get(name) != value:
            raise HandlerContractError(
                f"stage {stage!r} emitted the header {name!r}, which is not a handler's to set: "
                f"{DATA!r} holds the record, and what begins with {PREFIX!r} is rsq-pipe's own; "
                "give it another name",
                stage=stage,
            )
    if len(headers) + 1 >= MAX_FIELDS and not has_room((DATA, RID, *headers)):
        raise HandlerContractError(
            f"stage {stage!r} emitted {len(headers) + 1:,} headers; the bound is {MAX_FIELDS - 1:,}",
            stage=stage,
        )
    return headers


def _going(beside: Mapping[str, str]) -> Mapping[str, str]:
    for name in beside:
        if name.startswith(PREFIX):
            return {name: value for name, value in beside.items() if not name.startswith(PREFIX)}
    return beside


def _check_text(stage: str, *items: str) -> None:
    for item in items:
        try:
            item.encode()
        except (AttributeError, UnicodeEncodeError) as exc:
            raise HandlerContractError(
                f"stage {stage!r} emitted a header that cannot be written: {item!a}; "
                "names and values are text",
                stage=stage,
            ) from exc
