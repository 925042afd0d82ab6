"""Values: the `with:` mapping of a stage, read by attribute or by item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rsq_pipe.suggestion import suggest


class Values(Mapping[str, Any]):
    """
    Hold what stands under `with:`, unchangeable at any depth: lists become tuples, mappings become Values.

    A name that Mapping has itself, such as `items`, is found by item only: `values["items"]`.
    """

    __slots__ = ("_stage", "_values")

    def __init__(self, values: Mapping[str, Any], stage: str = "") -> None:
        object.__setattr__(self, "_stage", stage)
        object.__setattr__(self, "_values", {key: _frozen(value, stage) for key, value in values.items()})

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a protocol somebody looks for, such as copy's
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(self._missing(name)) from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"values of stage {self._stage!r} cannot be set; change `with:` in the spec")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"Values({', '.join(self._values)})"  # names only: a value may be a secret

    def __reduce__(self) -> tuple[type[Values], tuple[dict[str, Any], str]]:
        return Values, (dict(self._values), self._stage)

    def _missing(self, name: str) -> str:
        hint = suggest(name, self._values, otherwise=f"add `{name}: ...` there")
        return f"stage {self._stage!r} has no {name!r} under `with:`; {hint}"


def _frozen(value: Any, stage: str) -> Any:
    if isinstance(value, Mapping):
        return Values(value, stage)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, stage) for item in value)
    return value
