"""Likeness: which stage of a file is probably a missing one under a new name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import get_args

from rsq_pipe.engine.changes.last_run import LastRun, LastStage
from rsq_pipe.spec.graph import VerbName

_VERBS = get_args(VerbName)
_ENOUGH = 2.0
"""Score from which two stages are alike, such as the same work, or the same place and a similar name."""


def likely_renames(
    before: LastRun, now: LastRun, gone: Sequence[LastStage], added: Sequence[LastStage]
) -> dict[str, str]:
    """
    Guess renames as old name -> new name, using each new name once.

    If the verbs are known, they must be equal. Stages are alike if they do the same, read the same, are read
    by the same stages, and have similar names.
    """
    renames: dict[str, str] = {}
    for old in gone:  # in the pipeline's order, so that the stages above are already mapped
        scores = {
            new.name: _score(old, new, before, now, renames)
            for new in added
            if new.name not in renames.values()
        }
        best = max(scores, key=lambda name: scores[name], default="")
        if best and scores[best] >= _ENOUGH:
            renames[old.name] = best
    return renames


def _score(
    old: LastStage, new: LastStage, before: LastRun, now: LastRun, renames: Mapping[str, str]
) -> float:
    if old.verb and old.verb != new.verb:
        return 0.0
    score = SequenceMatcher(None, old.name, new.name).ratio()
    if old.target:
        score += 2.0 if old.target == new.target else -1.0
    does = [(stage.digests.get(verb)) for stage in (old, new) for verb in _VERBS if verb in stage.digests]
    if len(does) == 2 and does[0] == does[1]:
        score += _ENOUGH
    above, below = _writers(old, before), _readers(old, before)
    if {renames.get(name, name) for name in above} == _writers(new, now):
        score += 1.0
    # Readers may be renamed too, and are not mapped yet: compare those that stayed.
    if below & set(now.names) and below & set(now.names) <= _readers(new, now):
        score += 1.0
    return score


def _writers(stage: LastStage, run: LastRun) -> set[str]:
    """Name the stages that write what a stage reads; streams from outside are named themselves."""
    found = {key: other.name for other in run.stages for key in other.writes.values()}
    return {found.get(key, key) for key in stage.reads}


def _readers(stage: LastStage, run: LastRun) -> set[str]:
    own = set(stage.writes.values())
    return {other.name for other in run.stages if own & set(other.reads)}
