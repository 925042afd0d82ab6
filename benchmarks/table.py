"""Table: what contenders took, in each round, for readers and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import Figures


@dataclass(frozen=True)
class Table:
    """
    Hold the figures of one benchmark.

    Args:
        name: Its name in the JSON file.
        title: What is measured, for readers.
        base: The contender with which the others are compared.
        compared: The figures compared in the table; the JSON file has the ratios of all.
        rounds: Contender -> the figures of each of its rounds.
        beside: Contender -> the one it is compared with, if that is not the base.
    """

    name: str
    title: str
    base: str | None
    compared: tuple[str, ...]
    rounds: dict[str, list[Figures]]
    beside: Mapping[str, str] = field(default_factory=dict)

    def medians(self, contender: str) -> Figures:
        """Return the median of each figure."""
        return {figure: statistics.median(values) for figure, values in self._columns(contender).items()}

    def ratios(self, contender: str) -> Figures:
        """Compare with the contender beside it, or the base: the medians of the ratios of all rounds."""
        base = self.beside.get(contender, self.base)
        if base is None:
            return {}
        pairs = list(zip(self.rounds[contender], self.rounds[base], strict=True))
        both = [figure for figure in pairs[0][0] if figure in pairs[0][1]]
        return {
            figure: statistics.median(own[figure] / base[figure] for own, base in pairs)
            for figure in both
            if all(base[figure] for _, base in pairs)
        }

    def facts(self) -> dict[str, Any]:
        """Return everything, for the JSON file."""
        return {
            "name": self.name,
            "title": self.title,
            "base": self.base,
            "compared": self.compared,
            "beside": {**self.beside},
            "contenders": {
                contender: {
                    "median": self.medians(contender),
                    "min": {name: min(values) for name, values in self._columns(contender).items()},
                    "max": {name: max(values) for name, values in self._columns(contender).items()},
                    "ratios": self.ratios(contender),
                    "rounds": rounds,
                }
                for contender, rounds in self.rounds.items()
            },
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Table:
        """Read what `facts` returned."""
        rounds = {name: contender["rounds"] for name, contender in facts["contenders"].items()}
        compared = tuple(facts["compared"])
        return cls(facts["name"], facts["title"], facts["base"], compared, rounds, facts["beside"])

    def __str__(self) -> str:
        figures = list(dict.fromkeys(name for rounds in self.rounds.values() for name in rounds[0]))
        compared = self.compared or tuple(figures[:1]) if self.base or self.beside else ()
        lines = [["", *figures, *(f"x {figure}" for figure in compared)]]
        for contender in self.rounds:
            columns = self._columns(contender)
            cells = [_cell(columns[figure]) if figure in columns else "" for figure in figures]
            ratios = self.ratios(contender)
            shares = [f"{ratios[figure]:.2f}" if figure in ratios else "" for figure in compared]
            lines.append([contender, *cells, *shares])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join([line[0].ljust(widths[0]), *_right(line[1:], widths[1:])]) for line in lines]
        beside = f"; x: beside {self.base or 'the bare one'}" if compared else ""
        return "\n".join([f"\n{self.title}{beside}", *rows])

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
