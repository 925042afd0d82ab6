"""Form: the record format of entries in a stream that others write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from rsq_pipe.connectors.csv.field_types import PARSERS, FieldType
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.streams.entry import DATA, PACK, RawEntry
from rsq_pipe.streams.headers import PARENT, PREFIX, STATE
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer

Format = Literal["fields", "json", "msgpack"]
ValueType = FieldType | Literal["json"]

_PREFIX = PREFIX.encode()
_TRACE = frozenset((PARENT.encode(), STATE.encode()))
_READERS: dict[Format, Serializer] = {"json": JsonSerializer(strict=True), "msgpack": MsgpackSerializer()}


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(wording(exc)) from exc


_PARSERS: dict[str, Callable[[str], Any] | None] = {**dict(PARSERS.items()), "json": _json}


@dataclasses.dataclass(frozen=True, slots=True)
class StreamForm:
    """
    Define how the entries of one stream are read.

    Args:
        format: The record format; None for the pipeline's own.
        field: The field that holds the record, if one field does.
        start: Where a stage begins that reads the stream for the first time.
        types: Field -> the type that its text is parsed as, for records that are the fields themselves.
    """

    format: Format | None = None
    field: str = "data"
    start: str = "0"
    types: Mapping[str, ValueType] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def is_plain(self) -> bool:
        """Whether the entries have the pipeline's own format."""
        return self.format is None and self.field == "data"

    def plain(self, entry: RawEntry, own: Literal["json", "msgpack"]) -> RawEntry:
        """
        Turn an entry into one that the pipeline could have written: the record in `data`, then headers.

        Args:
            entry: The entry in the stream. If it claims to be a pack, it is not: outsiders write no packs.
            own: The pipeline's serializer.

        Raises:
            DecodeError: It holds no record in this form.
        """
        if len(entry.fields) and entry.fields[0] == PACK:
            entry = unpacked(entry)
        if self.is_plain:
            return entry
        if self.format == "fields":
            return self._of_fields(entry, own)
        name, raw = self.field.encode(), None
        headers: list[bytes] = []
        for key, value in zip(entry.fields[::2], entry.fields[1::2], strict=True):
            if key == name and raw is None:
                raw = value
            elif key != DATA:  # no header can have that name
                headers += (key, value)
        if raw is None:
            raise self._wrong(entry, f"it has no field {self.field!r}")
        if self.format not in (None, own):
            raw = self._encoded(entry, _READERS[self.format].decode(raw), own)
        return entry._replace(fields=[DATA, raw, *headers])

    def _of_fields(self, entry: RawEntry, own: Literal["json", "msgpack"]) -> RawEntry:
        record: dict[str, Any] = {}
        headers: list[bytes] = []
        for key, value in zip(entry.fields[::2], entry.fields[1::2], strict=True):
            if key in _TRACE or key.startswith(_PREFIX):
                headers += (key, value)
                continue
            try:
                name, text = key.decode(), value.decode()
            except UnicodeDecodeError as exc:
                shown = key.decode(errors="backslashreplace")
                raise self._wrong(entry, f"its field {shown!r} is not UTF-8") from exc
            if name in record:
                raise self._wrong(entry, f"its field {name!r} appears twice")
            record[name] = self._typed(entry, name, text) if name in self.types else text
        return entry._replace(fields=[DATA, self._encoded(entry, record, own), *headers])

    def _typed(self, entry: RawEntry, name: str, text: str) -> Any:
        kind = self.types[name]
        parse = _PARSERS[kind]
        try:
            return parse(text) if parse else text
        except ValueError as exc:
            raise self._wrong(entry, f"its field {name!r} is not of type {kind}: {text[:100]!r}") from exc

    def _encoded(self, entry: RawEntry, record: Any, own: Literal["json", "msgpack"]) -> bytes:
        try:
            return _READERS[own].encode(record)
        except EncodeError as exc:
            raise self._wrong(entry, str(exc)) from exc

    def _wrong(self, entry: RawEntry, what: str) -> DecodeError:
        return DecodeError(f"entry {entry.stream}/{entry.id}: {what}", stream=entry.stream, entry_id=entry.id)


def unpacked(entry: RawEntry) -> RawEntry:
    """Remove what makes an entry look like a pack."""
    pairs = zip(entry.fields[::2], entry.fields[1::2], strict=True)
    return entry._replace(fields=[item for pair in pairs if pair[0] != PACK for item in pair])
