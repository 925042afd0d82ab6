"""Packing: decodes the entries that a stage reads into records, and encodes the records that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct, field

from rsq_pipe.engine.encoding.codecs import packs, serializer
from rsq_pipe.engine.encoding.external_entries import ExternalEntries
from rsq_pipe.engine.encoding.originals import Originals
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import DecodeError, EncodeError, without_frames
from rsq_pipe.ids import branch, record_id, record_ids
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.line_records import LineRecords
from rsq_pipe.model.outcome import Emitted
from rsq_pipe.model.pack import LINES, Packs, compressed
from rsq_pipe.model.plain import singles
from rsq_pipe.model.record_ids import joined_ids
from rsq_pipe.model.row_records import RowRecords, joined
from rsq_pipe.spec.branches import branches
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.stages.join import sides_of
from rsq_pipe.streams.decoding import decoded
from rsq_pipe.streams.entry import DATA, PACK, RawEntry, fields_of
from rsq_pipe.streams.headers import ATTEMPTS, INPUT, ORIGIN, REPLAY, REPLAY_LINK, RID, current
from rsq_pipe.streams.message import attempts_in
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

_FULL = PACK_BYTES * 7 // 8
"""Bytes of a pack that is expected to stay within its bound: one beyond it is encoded again, in halves."""

_MAX_PAUSE = 1_024  # packs
_PACK, _RID = PACK.decode(), RID.encode()
_OF_THIS_STAGE = frozenset((RID, ATTEMPTS, REPLAY_LINK, REPLAY, INPUT, ORIGIN))


class Unpacked(Struct):
    """
    Hold the records decoded from some entries.

    Args:
        batch: The records to process, with all deliveries.
        sizes: For each delivery, how many records it holds; 1 if none of it can be read.
        unread: Place of a delivery -> why its records cannot be processed.
        returned: Places of packs that were delivered before: their worker died, or could not go on.
    """

    batch: Batch
    sizes: list[int] = field(default_factory=list)
    unread: dict[int, Exception | str] = field(default_factory=dict)
    returned: list[int] = field(default_factory=list)


class Unpacker:
    """
    Decode what one stage reads: give records their ids, and leave out untrusted headers.

    Args:
        graph: The pipeline.
        stage: The stage.
        deliveries: How often an entry may be delivered; one delivered more often is not processed.
        as_rows: Whether records may stay rows or lines, because their user needs no list of dicts.
    """

    def __init__(self, graph: Graph, stage: Stage, deliveries: int, *, as_rows: bool = False) -> None:
        keys = Keyspace(graph.pipeline)
        self._own = keys.pattern.removesuffix("*")
        self._again = keys.again_stream(stage)
        self._branches = {keys.stream(ref): name for ref, name in branches(graph, stage).items()}
        self._sides = sides_of(stage, graph.pipeline)
        self._packs: Packs = packs(graph)
        self._as_rows = as_rows
        self._external = ExternalEntries(graph, stage)
        # The pipeline's own entries have no duplicate keys; those from outside may.
        strict = any(ref.external for ref in stage.inputs)
        self._serializer: Serializer = serializer(graph, strict=strict)
        self._most = deliveries
        self._reads_at_once = isinstance(self._serializer, JsonSerializer) and self._external.are_plain

    def unpack(self, entries: Sequence[RawEntry]) -> Unpacked:
        """
        Decode entries.

        Returns:
            Records in the order of the entries; an undecodable or too often delivered entry has none.
        """
        fields = entries[0].fields if entries else None
        if self._reads_at_once and fields and fields[0] == DATA and (singles := self._all_single(entries)):
            return singles
        headers: dict[int, Mapping[str, str]] = {}
        attempts: dict[int, int] = {}
        batch = Batch([], [], [], entries, headers, attempts)
        origins: list[int] = []
        found = Unpacked(batch)
        starts: list[int] = []
        entries = list(entries)
        for place, entry in enumerate(entries):
            start = len(batch.records)
            starts.append(start)
            try:
                if self._external.any:
                    entry = entries[place] = self._external.plain(entry)  # noqa: PLW2901
                fields = entry.fields
                if not fields or fields[0] != PACK:
                    self._add_single(entry, place, found, headers, attempts)
                elif entry.deliveries > 1:
                    self._packs.decode(entry.data)  # raises if undecodable: then that is the reason
                    found.returned.append(place)
                else:
                    # Written as [PACK, count, DATA, bytes]; for any other layout `data` finds the field.
                    raw = fields[3] if len(fields) == 4 and fields[2] == DATA else entry.data
                    packed = self._packs.decode(raw, as_rows=self._as_rows)
                    if self._as_rows:
                        batch.records = cast("list[Any]", joined(batch.records, packed.records))
                    else:
                        batch.records += packed.records
                    name = self._branches.get(entry.stream)
                    rids = packed.rids if name is None else [branch(rid, name) for rid in packed.rids]
                    batch.rids = joined_ids(batch.rids, rids)
                    for at, beside in packed.headers.items():
                        headers[start + at] = _trusted(beside)
            except DecodeError as exc:
                found.unread[place] = without_frames(exc)  # it says what is wrong with the bytes
            except Exception as exc:  # noqa: BLE001  a serializer may raise anything; its entry is a dead letter
                found.unread[place] = exc
            size = len(batch.records) - start
            found.sizes.append(size or entry.records)
            origins += [place] * size
        batch.origins = origins
        batch.original = Originals(entries, starts, origins, self._packs, self._serializer)
        return found

    def _all_single(self, entries: Sequence[RawEntry]) -> Unpacked | None:
        """
        Decode entries of one record each at once, if all have only an id or all have no headers.

        Returns:
            None if an entry is of another kind, was delivered before, or cannot be read.
        """
        # Column by column: entry by entry takes several times as long for streams from outside.
        streams, entry_ids, fields, deliveries = zip(*entries, strict=True)
        lengths = {*map(len, fields)}
        if max(deliveries) > 1 or not lengths <= {2, 4} or len(lengths) > 1:
            return None
        names, raws, *beside = zip(*fields, strict=True)
        if {*names} != {DATA} or not self._branches.keys().isdisjoint(streams):
            return None
        if not beside:
            rids = record_ids(streams, entry_ids)
        elif {*beside[0]} == {_RID} and all(map(bytes.isascii, beside[1])):
            rids = [rid.decode() for rid in beside[1]]
        else:
            return None
        assert isinstance(self._serializer, JsonSerializer)
        records = self._serializer.decode_all(raws)
        if records is None or not all(rids):
            return None
        count = len(entries)
        batch = Batch(records, rids, range(count), entries, original=raws.__getitem__)
        return Unpacked(batch, [1] * count)

    def _add_single(
        self,
        entry: RawEntry,
        place: int,
        found: Unpacked,
        headers: dict[int, Mapping[str, str]],
        attempts: dict[int, int],
    ) -> None:
        if entry.deliveries > self._most:
            decoded(entry, self._serializer)  # raises if undecodable: then that is the reason
            found.unread[place] = _exhausted(entry)
            return
        batch, fields = found.batch, entry.fields
        if isinstance(batch.records, RowRecords | LineRecords):
            batch.records = [*batch.records]
        # Nearly every record comes with only its id, or without headers.
        if len(fields) <= 4 and fields[0] == DATA and entry.stream not in self._branches:
            if len(fields) == 2:
                rid = record_id(entry.stream, entry.id)
            else:
                rid = fields[3].decode(errors="backslashreplace") if fields[2] == _RID else ""
            if rid:
                batch.records.append(self._serializer.decode(fields[1]))
                batch.rids = joined_ids(batch.rids, (rid,))
                return
        message = decoded(entry, self._serializer)
        rid, beside = self._identified(entry, message.headers)
        at = len(batch.records)
        failed = attempts_in(beside) if entry.stream == self._again else 0
        if failed:
            attempts[at] = failed
        others = {name: text for name, text in beside.items() if name not in {RID, ATTEMPTS}}
        if others:
            headers[at] = others
        batch.records.append(message.data)
        batch.rids = joined_ids(batch.rids, (rid,))

    def _identified(self, entry: RawEntry, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        if entry.stream.startswith(self._own):
            headers = current(headers)
        rid = headers.get(RID) or record_id(entry.stream, entry.id)
        if entry.stream == self._again:
            # Retries and replays: written by this stage, with the id it gave the record at first.
            return rid, headers
        if entry.stream in self._branches:
            rid = branch(rid, self._branches[entry.stream])
        # Attempts belong to the stage that failed, and anyone can write them on a stream from outside.
        return rid, _trusted(headers)

    def kept(self, entry: RawEntry) -> RawEntry:
        """Return what the dead letter of an unhandled entry holds."""
        return self._external.kept(entry)

    def rid_of(self, entry: RawEntry) -> str:
        """Return the record id of an unhandled entry."""
        return self._identified(entry, entry.headers)[0]

    def singles(self, entry: RawEntry) -> list[tuple[bytes, dict[str, str]]]:
        """Split a pack: the bytes and headers of each record, with the id it has in this stage."""
        packed = self._packs.decode(entry.data)
        name = self._branches.get(entry.stream)
        rids = packed.rids if name is None else [branch(rid, name) for rid in packed.rids]
        side = {INPUT: self._sides[entry.stream]} if entry.stream in self._sides else {}
        return [
            (
                self._serializer.encode(record),
                {RID: rids[at], **_trusted(packed.headers.get(at, {})), **side},
            )
            for at, record in enumerate(packed.records)
        ]


def _trusted(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name: headers[name] for name in headers if name not in _OF_THIS_STAGE}


def _exhausted(entry: RawEntry) -> str:
    return (
        f"handed out {entry.deliveries - 1} times and never finished: "
        "its handler failed, hung or took its worker down each time"
    )


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
        callers: The stages that read the stream and call a handler for each record: packs suit their speed.
    """

    key: str
    serializer: Serializer
    packs: Packs | None = None
    most: int = PACK_RECORDS
    max_record: int = MAX_RECORD
    small: bool = False
    whole: bool = False
    callers: Sequence[str] = ()
    _pause: int = 0  # for how many packs that is not tried again
    _left: int = 0
    _fit: int = PACK_RECORDS  # how many records the next pack probably has room for

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
        # A pack would not show a record beyond a bound that is lower than its own.
        alone = self.packs is None or (self.max_record < PACK_BYTES and self._has_too_large(emitted.records))
        count, step = len(emitted.records), 1 if alone else min(self.most, self._fit)
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
                if self._fit < self.most:
                    self._fit = max(1, min(self.most, _FULL * (end - start) // len(raw)))
                if self.small and end - start >= COMPRESSED_FROM:
                    raw = compressed(raw)
                written.outputs.append(Output(self.key, [_PACK, str(end - start), "data", raw]))
                written.size += len(raw)
            else:
                # Not for the halves as well: they would make the next packs small for one large record.
                if raw and end - start == step:
                    self._fit = step // 2
                middle = (start + end) // 2
                spans += ((middle, end), (start, middle))
        return written

    def _has_too_large(self, records: Sequence[Any]) -> bool:
        try:
            return any(len(self.serializer.encode(record)) > self.max_record for record in records)
        except EncodeError:
            return True

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
