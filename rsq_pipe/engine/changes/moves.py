"""Moves: what a run does to what the last one left, so that nothing is lost or duplicated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from rsq_pipe.engine.changes.last_run import LastRun
from rsq_pipe.engine.changes.past import Past


class Requeue(Struct, frozen=True):
    """
    Put entries of a stream that a stage no longer reads, and has not settled, into its `again` stream.

    Args:
        stage, stream: The stage and the stream.
    """

    stage: str
    stream: str


class HandOver(Struct, frozen=True):
    """
    Let a stream's new readers begin where an old one stopped, with its pending entries, and delete its group.

    Args:
        stage, stream: The stage that no longer reads the stream.
        heirs: Its new readers; none if there are no new ones.
    """

    stage: str
    stream: str
    heirs: tuple[str, ...]


Move: TypeAlias = Requeue | HandOver


def moves(pipeline: str, past: Past, now: LastRun) -> tuple[Move, ...]:
    """
    Find the moves that a run of another graph needs; there are none for stranded records.

    A stage that stops reading a stream leaves a position in it. A new reader that began anywhere else would
    repeat what was done, or miss what was not.
    """
    readers = _readers(pipeline, now)
    lost: dict[str, list[str]] = defaultdict(list)
    for stage, stream in sorted(past.readings):
        if stage not in readers.get(stream, ()):
            lost[stream].append(stage)
    found: list[Move] = []
    for stream, stages in lost.items():
        heirs = tuple(name for name in readers.get(stream, ()) if (name, stream) not in past.readings)
        for stage in stages:
            found += _leave(stage, stream, heirs, past=past, now=now, alone=len(stages) == 1)
    return tuple(found)


def _leave(
    stage: str, stream: str, heirs: tuple[str, ...], *, past: Past, now: LastRun, alone: bool
) -> list[Move]:
    over = HandOver(stage, stream, heirs)
    if not past.readings[stage, stream].holds:
        # The `again` stream of a removed stage is moved together with the stage.
        return [over]
    if stage not in now.names:
        return []  # stranded: the user decides
    if alone and any(stage in _below(now, heir) for heir in heirs):
        return [over]  # a stage was inserted: waiting records go through it
    return [Requeue(stage, stream), over]


def _readers(pipeline: str, now: LastRun) -> Mapping[str, list[str]]:
    readers: dict[str, list[str]] = defaultdict(list)
    for stage in now.stages:
        for key in stage.reads:
            readers[key].append(stage.name)
        if stage.verb != "source":
            readers[f"{{{pipeline}}}:{stage.name}:again"].append(stage.name)
    return readers


def _below(now: LastRun, name: str) -> set[str]:
    """Name all stages that a stage's output can reach."""
    found: set[str] = set()
    todo = [name]
    while todo:
        written = set(now.stage(todo.pop()).writes.values())
        for stage in now.stages:
            if stage.name not in found and written & set(stage.reads):
                found.add(stage.name)
                todo.append(stage.name)
    return found
