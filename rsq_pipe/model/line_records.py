"""LineRecords: records kept as JSON text until one of them is needed as a dict."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeAlias, overload

import msgspec

from rsq_pipe.model.own_stack import on_own_stack

Record: TypeAlias = dict[str, Any]
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode
_view: Callable[[bytes], memoryview] = memoryview
_first = itemgetter(0)
_BEGIN = frozenset(b"{")


class LazyRecords(Sequence[Record]):
    """Hold records in another form until one of them is needed as a dict."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Record]:
        return iter(self._made())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._made() == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return repr(self._made())

    @abstractmethod
    def _made(self) -> list[Record]:
        """Make all dicts, once."""


class LineRecords(LazyRecords):
    """
    Hold records as the JSON objects of a pack, for sinks that write them as lines.

    The dicts of all records are made when the first one is accessed. From then on the dicts are the records:
    they may be changed.

    Args:
        texts: One JSON object each, without a newline; owned by this instance from now on.

    Raises:
        ValueError: One of them is not an object, or not UTF-8.
    """

    __slots__ = ("_dicts", "_texts")

    def __init__(self, texts: list[msgspec.Raw]) -> None:
        if not {*map(_first, map(_view, texts))} <= _BEGIN:
            raise ValueError("one of them is not a record")
        b"".join(texts).decode()
        self._texts = texts
        self._dicts: list[Record] | None = None

    @property
    def lines(self) -> bytes | None:
        """All records, one per line; None once a record has been accessed."""
        return None if self._dicts is not None else b"\n".join([*self._texts, b""])

    def take(self, more: LineRecords) -> bool:
        """Append other records; return False if a record of either has been accessed."""
        if self._dicts is not None or more._dicts is not None:
            return False
        self._texts += more._texts
        return True

    def __len__(self) -> int:
        return len(self._texts) if self._dicts is None else len(self._dicts)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        return self._made()[place]

    def _made(self) -> list[Record]:
        if self._dicts is None:
            self._dicts = on_own_stack(_decode, b"[" + b",".join(self._texts) + b"]")
            self._texts = []
        return self._dicts
