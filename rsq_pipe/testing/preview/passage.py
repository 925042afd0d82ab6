"""Passage: one record before a stage, and what became of it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rsq_pipe.spec.graph import Stage

Fate = Literal["emitted", "dropped", "failed", "stored", "written"]


@dataclass(frozen=True, slots=True)
class Made:
    """
    Hold one record that a stage sends on.

    Args:
        port: By which of its ports; empty for the one output.
        rid: Its id.
        record: As the next stage reads it.
        headers: What it carries beside.
    """

    port: str
    rid: str
    record: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """
    Say what became of one record.

    Args:
        rid: Its id.
        before: It as it came; None where a source could not read it.
        fate: What became of it.
        why: Why it was dropped, or failed.
        made: What it became.
        raw: The bytes that a source could not read.
        reason: Of one that failed: a word for the cause, as a dead letter has it.
        error: Of one that failed: what was raised, or why it was rejected.
    """

    rid: str
    before: dict[str, Any] | None
    fate: Fate
    why: str = ""
    made: Sequence[Made] = ()
    raw: bytes = b""
    reason: str = ""
    error: str = ""


@dataclass(slots=True)
class StagePreview:
    """
    Say what a stage did with the records it got.

    Args:
        stage: The stage.
        passages: What became of each.
        left: What left its state when all input had ended: results of groups, records that found no other.
        note: What could not be had, or why it stopped.
        stopped: Why it stopped, for no record's sake; empty if it did not.
    """

    stage: Stage
    passages: list[Passage] = field(default_factory=list)
    left: list[Made] = field(default_factory=list)
    note: str = ""
    stopped: str = ""
