"""Passage: one record that came to a stage, and its results there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from rsq_pipe.spec.graph import Stage

PassageOutcome = Literal["emitted", "dropped", "failed", "stored", "written"]


class Made(Struct, frozen=True):
    """
    Hold one record that a stage emits.

    Args:
        port: The port; empty for the plain output.
        rid: Its id.
        record: The record as the next stage reads it.
        headers: Its headers.
    """

    port: str
    rid: str
    record: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class Passage(Struct, frozen=True):
    """
    Describe what became of one record.

    Args:
        rid: Its id.
        before: The record as it came; None if a source could not read it.
        outcome: What became of it.
        why: Why it was dropped, or failed.
        made: The records made from it.
        raw: The bytes that a source could not read.
        reason: If it failed, the cause as one word, as in a dead letter.
        error: If it failed, the exception, or why it was rejected.
    """

    rid: str
    before: dict[str, Any] | None
    outcome: PassageOutcome
    why: str = ""
    made: Sequence[Made] = ()
    raw: bytes = b""
    reason: str = ""
    error: str = ""


class StagePreview(Struct):
    """
    Hold the results of a stage for its records.

    Args:
        stage: The stage.
        passages: The results, one for each record.
        left: Records that left its state when all input had ended: results of groups, unmatched records.
        note: Results that could not be determined, or why it stopped.
        stopped: Why it stopped, if not because of a record; empty if it did not.
    """

    stage: Stage
    passages: list[Passage] = field(default_factory=list)
    left: list[Made] = field(default_factory=list)
    note: str = ""
    stopped: str = ""
