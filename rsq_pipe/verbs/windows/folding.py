"""Folding: turns the records of a group into its partials, and these into the fields of its result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rsq_pipe.model import folds
from rsq_pipe.model.aggregates import AGGREGATES, FOLDS
from rsq_pipe.model.partials import letters
from rsq_pipe.spec.stages.computation import Computation
from rsq_pipe.verbs.windows.arguments import Argument, Failed, argument

Places: TypeAlias = Sequence[int]
"""Places of records in their batch."""


class Folding:
    """
    Compute the partials of groups; partials that several functions need of one argument are computed once.

    Args:
        compute: Field of a result -> its computation.
        stage: For messages.
    """

    def __init__(self, compute: Sequence[tuple[str, Computation]], stage: str) -> None:
        self._arguments: list[Argument] = []
        self._partials: list[tuple[str, int]] = []
        """What is kept: a fold, and the argument whose values it gets; -1 for the records themselves."""
        self._results: list[tuple[str, Computation, list[int]]] = []
        wanted: dict[str, list[tuple[str, Computation]]] = defaultdict(list)
        for name, computation in compute:
            wanted[_text(computation)].append((name, computation))
        numbers = {text: at for at, text in enumerate(text for text in wanted if text)}
        for text, some in wanted.items():
            if text:
                self._arguments.append(_argument(some, stage))
        for name, computation in compute:
            places = [self._place(one, numbers.get(_text(computation), -1)) for one in folds_of(computation)]
            self._results.append((name, computation, places))
        self.kinds = letters([FOLDS[fold] for fold, _ in self._partials])
        """The partials of a group, as merge.lua knows them."""

    def _place(self, fold: str, argument: int) -> int:
        if (fold, argument) not in self._partials:
            self._partials.append((fold, argument))
        return self._partials.index((fold, argument))

    def columns(self, records: Sequence[Any], failed: Failed) -> list[list[Any]]:
        """List the values of each argument."""
        return [one.column(records, failed) for one in self._arguments]

    def over(
        self, columns: Sequence[list[Any]], times: Sequence[int] | None, rids: Sequence[str]
    ) -> Callable[[Places], list[Any]]:
        """Make the function that computes the partials of some of a batch's records."""
        at = times or [0] * len(rids)
        holes = [None in column for column in columns]

        def fold(places: Places) -> list[Any]:
            present = [
                [place for place in places if column[place] is not None] if hole else places
                for column, hole in zip(columns, holes, strict=True)
            ]
            values = [
                [column[place] for place in some] for column, some in zip(columns, present, strict=True)
            ]
            made: list[Any] = []
            for name, given in self._partials:
                if given < 0:
                    made.append(len(places))
                elif name in folds.OF_VALUES:
                    made.append(folds.OF_VALUES[name](values[given]))
                else:
                    some = present[given]
                    choose = folds.first if name == "first" else folds.last
                    made.append(choose([at[p] for p in some], [rids[p] for p in some], values[given]))
            return made

        return fold

    def results(self, partials: Sequence[Any]) -> dict[str, Any]:
        """Return the computed fields of a group."""
        found: dict[str, Any] = {}
        for name, computation, places in self._results:
            given = [partials[place] for place in places]
            share = () if computation.share is None else (computation.share,)
            found[name] = AGGREGATES[computation.function].result(*given, *share)
        return found


def folds_of(computation: Computation) -> tuple[str, ...]:
    """List the folds of a computation."""
    return ("records",) if computation.argument is None else AGGREGATES[computation.function].folds


def _text(computation: Computation) -> str:
    return "" if computation.argument is None else computation.argument.text.strip()


def _argument(some: Sequence[tuple[str, Computation]], stage: str) -> Argument:
    """Make the argument of several functions: a value that is invalid for one of them is invalid."""
    kept = [fold for _, computation in some for fold in folds_of(computation)]
    name, computation = max(some, key=lambda one: _strictness(one[1]))
    assert computation.argument is not None
    return argument(computation.argument, stage, f"compute.{name}", kept, computation.text)


def _strictness(computation: Computation) -> int:
    takes = folds_of(computation)
    return (
        3 * ("squares" in takes)
        + 2 * bool({"sum", "sketch"} & {*takes})
        + bool({"least", "greatest"} & {*takes})
    )
