"""Packing: the entries that a stage's records are written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsq_pipe.errors import EncodeError
from rsq_pipe.model.outcome import Emitted
from rsq_pipe.model.pack import Packs, compressed
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
"""Records waiting in a stream from which on packs are compressed; docs/adr/0015-packs.md says why."""

COMPRESSED_FROM = 100
"""Records of a pack from which on that is worth while, and the bytes of a read still tell what it brings."""

MAX_RECORD = 16 * 1024 * 1024
"""Bytes of one encoded record, at most, where nothing else is said."""

_PACK = PACK.decode()


@dataclass(slots=True)
class Written:
    """
    Hold what records of one port are written as.

    Args:
        outputs: The entries, but those of `rows`.
        size: Their bytes, about.
        bad: Place among the records -> why it cannot be written; the entries are of no use then.
        rows: The entries of single records.
        key: The stream's key.
    """

    outputs: list[Output]
    size: int
    bad: dict[int, EncodeError]
    rows: list[Rows] = field(default_factory=list)
    key: str = ""


@dataclass(slots=True)
class Port:
    """
    Write the records of one port.

    Args:
        key: The stream's key.
        serializer: How single records are written.
        packs: How several are written in one entry; None for a stream that others read too, where each
            record is an entry.
        most: Records in one entry: no more than any of the stream's readers takes at once, so that a slow
            one settles, and shares with others, as few as it asks for.
        max_record: Bytes of one encoded record, at most.
        small: Whether packs are compressed: many records wait in the stream, and memory runs out first.
        whole: Whether records are written with their names where they can be: what reads them writes lines.
    """

    key: str
    serializer: Serializer
    packs: Packs | None = None
    most: int = PACK_RECORDS
    max_record: int = MAX_RECORD
    small: bool = False
    whole: bool = False

    def write(self, emitted: Emitted, *, finite: bool = False) -> Written:
        """
        Encode records; those that cannot be encoded are named, and have no part in any entry.

        Args:
            emitted: The records.
            finite: Whether it is known that no number of theirs is NaN or infinite.
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
            raw = b""
            if self.whole and not self.small:
                # Where one batch's records hold objects, the next one's do: not to be tried again.
                raw = self.packs.encode_whole(records, rids, headers, finite=finite)
                self.whole = bool(raw)
            try:
                raw = raw or self.packs.encode(records, rids, headers, finite=finite)
            except EncodeError:
                raw = b""  # one of them; the halves tell which
            if raw and len(raw) <= PACK_BYTES:
                if self.small and end - start >= COMPRESSED_FROM:
                    raw = compressed(raw)
                written.outputs.append(Output(self.key, [_PACK, str(end - start), "data", raw]))
                written.size += len(raw)
            else:
                middle = (start + end) // 2
                spans += ((middle, end), (start, middle))
        return written

    def _write_singles(self, emitted: Emitted, written: Written) -> bool:
        """Write each record as an entry, all at once; False where one of them has to be looked at alone."""
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
    """Take the headers of some neighbours, by their place among these."""
    return {place - start: some for place, some in headers.items() if start <= place < end}


def chosen(emitted: Emitted, keep: Sequence[int]) -> Emitted:
    """Take some of the records."""
    return Emitted(
        [emitted.records[place] for place in keep],
        [emitted.rids[place] for place in keep],
        [emitted.sources[place] for place in keep],
        {new: emitted.headers[old] for new, old in enumerate(keep) if old in emitted.headers}
        if emitted.headers
        else {},
    )
