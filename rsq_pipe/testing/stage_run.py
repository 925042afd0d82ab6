"""StageRun: what became of the records that one stage was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rsq_pipe.testing.failed import Dead, Retried


@dataclass(frozen=True, slots=True)
class StageRun:
    """
    Hold what `run_stage` found, each list in the order of the records given.

    Args:
        stage: The stage's name.
        ports: Port -> the records it got, as the next stage would read them; the one output is "".
        headers: Port -> the headers of these records.
        dropped: The records that ended here on purpose, or by `on_error: drop`.
        retried: The records that would be handled again later.
        dead: The records that became dead letters.
        halted: Why the stage stopped, where `on_error: stop` says so; what came after was not handled.
    """

    stage: str
    ports: Mapping[str, list[dict[str, Any]]]
    headers: Mapping[str, list[dict[str, str]]]
    dropped: list[dict[str, Any]]
    retried: list[Retried]
    dead: list[Dead]
    halted: BaseException | None = None

    @property
    def records(self) -> list[dict[str, Any]]:
        """What the one output got; LookupError for a stage that has only ports."""
        return self.port("")

    def port(self, name: str) -> list[dict[str, Any]]:
        """Return what a port got; LookupError if the stage has none of this name."""
        if name not in self.ports:
            missing = f"port {name!r}" if name else "one output"
            there = (
                ", ".join(f".port({port!r})" if port else ".records" for port in self.ports) or "no output"
            )
            raise LookupError(f"stage {self.stage!r} has no {missing}; it has {there}")
        return self.ports[name]
