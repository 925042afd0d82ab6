"""Change: how a pipeline's file differs from the one that ran last, and what happens to what that left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from rsq_pipe.engine.changes.last_run import LastRun, LastStage
from rsq_pipe.engine.changes.likeness import likely_renames
from rsq_pipe.engine.changes.moves import Move, moves
from rsq_pipe.engine.changes.past import Holding, Past
from rsq_pipe.engine.changes.settings import SettingChange, setting_changes
from rsq_pipe.spec.remembering import REMEMBERS
from rsq_pipe.units import counted

Kind = Literal["added", "removed", "renamed", "moved", "changed", "same"]


class StageChange(Struct, frozen=True):
    """
    Describe what happened to one stage.

    Args:
        stage: Its name; the old one if it is gone.
        kind: `renamed` is a guess by likeness; only the user knows whether it is right.
        what: What differs, in words.
        holds: What it holds.
        heir: The stage of the file that looks like it, if it was renamed.
        stranded: What would be lost or duplicated if the file were run as it is; empty if nothing.
        verb: What it does, or did; empty if unknown.
    """

    stage: str
    kind: Kind
    what: str = ""
    holds: Holding = field(default_factory=Holding)
    heir: str = ""
    stranded: str = ""
    verb: str = ""


class Plan(Struct, frozen=True):
    """
    Describe what running a file would do to what the last run left.

    Args:
        pipeline: Its name.
        ran: Whether it ever ran on the server.
        kept: Whether the last run's graph is known in full.
        stages: The stages of the file in its order, then those that are gone.
        moves: What a run does before it reads.
        strangers: Groups no stage reads through, on the pipeline's own streams, as (group, stream).
        settings: How the settings of the whole pipeline changed.
    """

    pipeline: str
    ran: bool
    kept: bool
    stages: tuple[StageChange, ...]
    moves: tuple[Move, ...] = ()
    strangers: tuple[tuple[str, str], ...] = ()
    settings: tuple[SettingChange, ...] = ()

    @property
    def stranded(self) -> tuple[StageChange, ...]:
        """The stages for which a run asks the user what to do."""
        return tuple(change for change in self.stages if change.stranded)

    @property
    def gone(self) -> tuple[StageChange, ...]:
        """The stages that are not in the file."""
        return tuple(change for change in self.stages if change.kind in ("removed", "renamed"))

    def with_heirs(self, heirs: Mapping[str, str]) -> Plan:
        """Return the plan with the user's new names, old -> new, in place of those guessed."""
        taken = set(heirs.values())
        stages = (
            replace(change, heir=heirs.get(change.stage, "" if change.heir in taken else change.heir))
            for change in self.stages
        )
        return replace(self, stages=tuple(stages))

    @property
    def listed(self) -> tuple[StageChange, ...]:
        """Every stage once: a renamed one under its old name only."""
        heirs = {change.heir for change in self.stages if change.kind == "renamed"}
        return tuple(
            change for change in self.stages if not (change.kind == "added" and change.stage in heirs)
        )

    @property
    def differs(self) -> bool:
        """Whether the file does anything different from the one that ran last."""
        return self.ran and (bool(self.settings) or any(change.kind != "same" for change in self.stages))

    @property
    def outlook(self) -> str:
        """Return in one sentence what running a changed file would do; empty if it has not changed."""
        if not self.differs:
            return ""
        what = f"the file has changed since it was last run ({self})"
        if not self.stranded:
            return f"{what}; `run` goes on with it"
        why = "; ".join(f"stage {change.stage!r} {change.stranded}" for change in self.stranded)
        return f"{what}; `run` refuses it: {why}. `rsq-pipe plan` shows the choices"

    def __str__(self) -> str:
        if not self.differs:
            return "the file is the one that ran last" if self.ran else "never ran"
        counts = {
            kind: sum(change.kind == kind for change in self.listed)
            for kind in ("added", "removed", "renamed", "moved", "changed")
        }
        found = [f"{number} {kind}" for kind, number in counts.items() if number]
        if self.settings:
            found.append(f"{counted(len(self.settings), 'setting')} of the pipeline")
        return ", ".join(found)


def compare(pipeline: str, past: Past, now: LastRun) -> Plan:
    """Compare the last run with the file to be run."""
    if not past.ran:
        added_all = tuple(StageChange(stage.name, "added", verb=stage.verb) for stage in now.stages)
        return Plan(pipeline, ran=False, kept=False, stages=added_all)
    gone = [name for name in past.last.names if name not in now.names]
    # A stage left behind by an earlier change counts for as long as it holds something.
    gone += [
        name
        for name, holding in past.holdings.items()
        if name not in now.names and name not in gone and not holding.is_empty
    ]
    added = [stage for stage in now.stages if stage.name not in past.last.names]
    left = [past.last.stage(name) for name in gone if name in past.last.names]
    renames = likely_renames(past.last, now, left, added)
    return Plan(
        pipeline,
        ran=True,
        kept=past.kept,
        stages=(
            *(replace(_here(stage, past, renames), verb=stage.verb) for stage in now.stages),
            *(replace(_gone(name, past, renames, added), verb=_verb(name, past)) for name in gone),
        ),
        moves=moves(pipeline, past, now),
        strangers=tuple((group, stream) for group, stream in past.strangers if group not in now.names),
        settings=setting_changes(past.last.text, now.text) if past.kept else (),
    )


def _here(stage: LastStage, past: Past, renames: Mapping[str, str]) -> StageChange:
    holds = past.holdings.get(stage.name, Holding())
    if stage.name not in past.last.names:
        return StageChange(stage.name, "added", holds=holds)
    before = past.last.stage(stage.name)
    reads = tuple(_renamed(key, past.last, renames) for key in before.reads)
    if set(reads) != set(stage.reads):
        what = f"reads {_spelt(stage.reads)} instead of {_spelt(reads)}"
        return StageChange(stage.name, "moved", what, holds)
    if not before.verb or not past.kept:
        return StageChange(stage.name, "same", holds=holds)
    changed = [
        key
        for key in {**before.digests, **stage.digests}
        if before.digests.get(key) != stage.digests.get(key)
    ]
    stranded = f"remembers {holds.remembered} by another `{before.verb}`" if _forgets(changed, holds) else ""
    settings = ", ".join(key for key in changed if key != REMEMBERS)
    return StageChange(stage.name, "changed" if changed else "same", settings, holds, stranded=stranded)


def _forgets(changed: Sequence[str], holds: Holding) -> bool:
    """Return whether a stage would no longer recognise what its state holds."""
    return REMEMBERS in changed and holds.keys > 0


def _gone(name: str, past: Past, renames: Mapping[str, str], added: Sequence[LastStage]) -> StageChange:
    holds = past.holdings.get(name, Holding())
    heir = renames.get(name, "")
    kind: Kind = "renamed" if heir else "removed"
    what = f"seems to be {heir!r} now" if heir else ""
    if not holds.is_empty:
        return StageChange(name, kind, what, holds, heir, f"holds {holds}")
    if name in past.last.names and holds.placed and (twin := _twin(past.last.stage(name), past, added)):
        before = past.last.stage(name)
        where = before.target or "files"
        why = (
            f"has read {where}, and {twin!r} would read them from their beginning"
            if before.verb == "source"
            else f"has written {where}, and {twin!r} does not know how far"
        )
        return StageChange(name, kind, what, holds, heir or twin, why)
    return StageChange(name, kind, what, holds, heir)


def _verb(name: str, past: Past) -> str:
    return past.last.stage(name).verb if name in past.last.names else ""


def _twin(before: LastStage, past: Past, added: Sequence[LastStage]) -> str:
    """Name the new stage that reads or writes what a gone one did, or may read it if no graph is kept."""
    for stage in added:
        if before.target and stage.target == before.target:
            return stage.name
        if not past.kept and before.verb == stage.verb == "source":
            return stage.name
    return ""


def _renamed(key: str, before: LastRun, renames: Mapping[str, str]) -> str:
    """Build the key a stream would have under its writer's likely new name."""
    for stage in before.stages:
        heir = renames.get(stage.name)
        if heir and key in stage.writes.values():
            head, _, tail = key.partition("}:")
            return f"{head}}}:{heir}{tail.removeprefix(stage.name)}" if tail else key
    return key


def _spelt(keys: Sequence[str]) -> str:
    return " and ".join(key.partition("}:")[2] or key for key in keys) or "nothing"
