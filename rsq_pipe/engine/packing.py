"""Packing: encodes the records that a stage writes into entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from rsq_pipe.errors import EncodeError
from rsq_pipe.model.outcome import Emitted
from rsq_pipe.model.pack import LINES, Packs, compressed
from rsq_pipe.model.plain import singles
from rsq_pipe.streams.entry import PACK, fields_of
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.serializers import JsonSerializer, Serializer
from rsq_pipe.streams.settlement import Output, Rows

PACK_RECORDS = 500
"""Records in one entry, at most; docs/adr/0015-packs.md says why."""

PACK_BYTES = 256 * 1024
"""Bytes of one entry of several records, at most."""

CROWDED = 100_000
"""Number of waiting records from which a stream's packs are compressed; see docs/adr/0015-packs.md."""

COMPRESSED_FROM = 100
"""Minimum records in a compressed pack: fewer are not worth it, and would distort the bytes per read."""

MAX_RECORD = 16 * 1024 * 1024
"""Default of the maximum bytes of one encoded record."""

_MAX_PAUSE = 1_024  # packs
_PACK = PACK.decode()


class Written(Struct):
    """
    Hold the encoded records of one port.

    Args:
        outputs: The entries, except those in `rows`.
        size: Their bytes, approximately.
        bad: Place of a record -> why it cannot be written; the entries must not be used then.
        rows: Entries of one record each.
        key: The stream's key.
    """

    outputs: list[Output]
    size: int
    bad: dict[int, EncodeError]
    rows: list[Rows] = field(default_factory=list)
    key: str = ""


class Port(Struct):
    """
    Write the records of one port.

    Args:
        key: The stream's key.
        serializer: The serializer for single records.
        packs: The codec for several records in one entry; None for a stream that others read too, where
            each record is an entry.
        most: Maximum records in one entry: no more than any reader of the stream takes at once, so that a
            slow reader settles, and leaves to others, as few as it asks for.
        max_record: Bytes of one encoded record, at most.
        small: Whether packs are compressed: many records wait in the stream, and memory is scarce.
        whole: Whether records are written with their names if possible: their reader writes lines.
    """

    key: str
    serializer: Serializer
    packs: Packs | None = None
    most: int = PACK_RECORDS
    max_record: int = MAX_RECORD
    small: bool = False
    whole: bool = False
    _pause: int = 0  # for how many packs that is not tried again
    _left: int = 0

    def write(self, emitted: Emitted, *, finite: bool = False) -> Written:
        """
        Encode records; those that cannot be encoded are listed in `bad`, and are in no entry.

        Args:
            emitted: The records.
            finite: Whether none of their numbers is known to be NaN or infinite.
        """
        written = Written([], 0, {}, key=self.key)
        if self.packs is None and not emitted.headers and self._write_singles(emitted, written):
            return written
        count, step = len(emitted.records), self.most if self.packs is not None else 1
        spans = [(start, min(start + step, count)) for start in range(0, count, step)][::-1]
        while spans:
            start, end = spans.pop()
            if end - start == 1:
                self._write_one(emitted, start, written)
                continue
            assert self.packs is not None
            records, rids = emitted.records[start:end], emitted.rids[start:end]
            headers = within(emitted.headers, start, end) if emitted.headers else emitted.headers
            whole = self.whole and not self.small and self._is_worth_it()
            try:
                raw = self.packs.encode(records, rids, headers, finite=finite, whole=whole)
            except EncodeError:
                raw = b""  # one record is too large or cannot be encoded; the halves show which
            if whole:
                # If one batch's records hold objects, the next one's nearly always do.
                self._pause = self._left = 0 if raw.endswith(LINES) else min(2 * self._pause or 1, _MAX_PAUSE)
            if raw and len(raw) <= PACK_BYTES:
                if self.small and end - start >= COMPRESSED_FROM:
                    raw = compressed(raw)
                written.outputs.append(Output(self.key, [_PACK, str(end - start), "data", raw]))
                written.size += len(raw)
            else:
                middle = (start + end) // 2
                spans += ((middle, end), (start, middle))
        return written

    def _is_worth_it(self) -> bool:
        """Return whether to try to write records with their names; not shortly after that has failed."""
        self._left -= 1
        return self._left < 0

    def _write_singles(self, emitted: Emitted, written: Written) -> bool:
        """Write each record as an entry, all at once; False if one of them has to be checked alone."""
        raws = singles(emitted.records) if isinstance(self.serializer, JsonSerializer) else None
        if raws is None or max(map(len, raws), default=0) > self.max_record:
            return False
        values: list[str | bytes] = [b""] * (2 * len(raws))
        values[::2], values[1::2] = raws, emitted.rids
        written.rows.append(Rows(self.key, ("data", RID), values))
        written.size = sum(map(len, raws))
        return True

    def _write_one(self, emitted: Emitted, place: int, written: Written) -> None:
        try:
            raw = self.serializer.encode(emitted.records[place])
        except EncodeError as exc:
            written.bad[place] = exc
            return
        if len(raw) > self.max_record:
            why = (
                f"the record has {len(raw):,} bytes when it is encoded; `max_record` of the pipeline allows "
                f"{self.max_record:,}: drop fields above, or raise it"
            )
            written.bad[place] = EncodeError(why, raw[:4096])
            return
        headers: Mapping[str, str] = {RID: emitted.rids[place], **emitted.headers.get(place, {})}
        written.outputs.append(Output(self.key, fields_of(raw, headers)))
        written.size += len(raw)


def within(headers: Mapping[int, Mapping[str, str]], start: int, end: int) -> Mapping[int, Mapping[str, str]]:
    """Return the headers of a range of records, by their place within it."""
    return {place - start: some for place, some in headers.items() if start <= place < end}


def chosen(emitted: Emitted, keep: Sequence[int]) -> Emitted:
    """Return some of the records."""
    return Emitted(
        [emitted.records[place] for place in keep],
        [emitted.rids[place] for place in keep],
        [emitted.sources[place] for place in keep],
        {new: emitted.headers[old] for new, old in enumerate(keep) if old in emitted.headers}
        if emitted.headers
        else {},
    )
