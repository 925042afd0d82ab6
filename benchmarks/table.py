"""Table: what contenders took, each round, for people and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Figures


@dataclass(frozen=True)
class Table:
    """
    Hold the figures of one benchmark.

    Args:
        name: Its name in the JSON file.
        title: What is measured, for people.
        base: The contender the others are compared with.
        rounds: Contender -> the figures of each of its rounds.
    """

    name: str
    title: str
    base: str | None
    rounds: dict[str, list[Figures]]

    def medians(self, contender: str) -> Figures:
        """Return the median of each figure."""
        return {figure: statistics.median(values) for figure, values in self._columns(contender).items()}

    def ratio(self, contender: str) -> float | None:
        """Compare the first figure with the base's: the median of the rounds' ratios."""
        if self.base is None:
            return None
        first = next(iter(self.rounds[contender][0]))
        if first not in self.rounds[self.base][0]:
            return None
        pairs = zip(self.rounds[contender], self.rounds[self.base], strict=True)
        return statistics.median(own[first] / base[first] for own, base in pairs)

    def facts(self) -> dict[str, Any]:
        """Return all of it, for the JSON file."""
        return {
            "name": self.name,
            "title": self.title,
            "base": self.base,
            "contenders": {
                contender: {
                    "median": self.medians(contender),
                    "min": {name: min(values) for name, values in self._columns(contender).items()},
                    "max": {name: max(values) for name, values in self._columns(contender).items()},
                    "ratio": self.ratio(contender),
                    "rounds": rounds,
                }
                for contender, rounds in self.rounds.items()
            },
        }

    def __str__(self) -> str:
        figures = list(dict.fromkeys(name for rounds in self.rounds.values() for name in rounds[0]))
        ratio = [f"x {self.base}"] if self.base else []
        lines = [["", *figures, *ratio]]
        for contender in self.rounds:
            columns = self._columns(contender)
            cells = [_cell(columns[figure]) if figure in columns else "" for figure in figures]
            share = self.ratio(contender)
            lines.append([contender, *cells, *(["" if share is None else f"{share:.2f}"] if ratio else [])])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join([line[0].ljust(widths[0]), *_right(line[1:], widths[1:])]) for line in lines]
        return "\n".join([f"\n{self.title}", *rows])

    def _columns(self, contender: str) -> dict[str, list[float]]:
        rounds = self.rounds[contender]
        return {figure: [figures[figure] for figures in rounds] for figure in rounds[0]}


def _right(cells: list[str], widths: list[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _cell(values: list[float]) -> str:
    """Write median, least and most, such as 10,500 (9,900-11,200)."""
    median = _number(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
