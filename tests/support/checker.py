"""Checker: compares what should have become of every record with what is found, by record ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expected:
    """
    State what becomes of every record.

    Args:
        places: Record id -> the file or dead-letter stream it ends in.
        dropped: Stage -> how many records end there.
        stored: Stage -> how many records go into its state, and leave it as others or never.
    """

    places: Mapping[str, str]
    dropped: Mapping[str, int] = field(default_factory=dict)
    stored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """
    State what is wrong.

    Args:
        lost: Records found nowhere.
        duplicated: Records found more than once.
        condemned: Records that are dead letters, but should not be.
        misplaced: Records found in another place, or that nobody expected at all.
        miscounted: Stages that counted different numbers of drops, or of stored records if `:stored` follows
            the name: stage -> (expected, counted).
    """

    lost: frozenset[str]
    duplicated: frozenset[str]
    condemned: frozenset[str]
    misplaced: frozenset[str]
    miscounted: Mapping[str, tuple[int, int]]

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.condemned or self.misplaced or self.miscounted)

    def __str__(self) -> str:
        def some(what: str, rids: Iterable[str]) -> str:
            known = sorted(rids)
            return f"{len(known)} {what}" + (f" ({', '.join(known[:5])} ...)" if known else "")

        parts = [some(name, getattr(self, name)) for name in ("lost", "duplicated", "condemned", "misplaced")]
        return ", ".join([*parts, f"miscounted: {dict(self.miscounted)}"])


def check(
    expected: Expected,
    found: Iterable[tuple[str, str]],
    dropped: Mapping[str, int] | None = None,
    stored: Mapping[str, int] | None = None,
) -> Account:
    """
    Compare expectation and finding.

    Args:
        expected: What should have become of every record.
        found: Record id and place of everything found, in files and dead-letter streams.
        dropped: The counters of drops, by stage.
        stored: The counters of records that went into a stage's state.
    """
    seen = list(found)
    sightings = Counter(rid for rid, _ in seen)
    strays = {rid: place for rid, place in seen if expected.places.get(rid) != place}
    condemned = {rid for rid, place in strays.items() if rid in expected.places and place.endswith(":dlq")}
    return Account(
        lost=frozenset(expected.places.keys() - sightings.keys()),
        duplicated=frozenset(rid for rid, times in sightings.items() if times > 1),
        condemned=frozenset(condemned),
        misplaced=frozenset(strays.keys() - condemned),
        miscounted={
            **_miscounted(expected.dropped, dropped or {}),
            **_miscounted(_named(expected.stored), _named(stored or {})),
        },
    )


def _named(stored: Mapping[str, int]) -> dict[str, int]:
    return {f"{stage}:stored": count for stage, count in stored.items()}


def _miscounted(expected: Mapping[str, int], counted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    return {
        stage: (expected.get(stage, 0), counted.get(stage, 0))
        for stage in expected.keys() | counted.keys()
        if expected.get(stage, 0) != counted.get(stage, 0)
    }
