"""Ledger: which batches of a sink are in its database, recorded in that database."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class Row(Struct, frozen=True):
    """
    Hold one sink's row of the ledger. In Kafka it is stored in JSON, under the names of these fields.

    Args:
        epoch: Grows with each process that opens the sink; a process writes batches only under its own.
        seq: Grows with each batch; the position stored on the server once that batch is settled.
        settled: The batch that was known to be settled when this one was written.
        carried: JSON, the record ids of earlier batches that are in the table and were not settled, without
            those of this batch.
        rids: JSON, the record ids of this batch.
    """

    epoch: int
    seq: int
    settled: int
    carried: str = "[]"
    rids: str = "[]"

    def ids(self, position: str | None = None) -> set[str]:
        """Return the record ids that are in the table by this row, without those settled at a position."""
        carried = set(_decode(self.carried))
        return carried if position == str(self.seq) else carried.union(_decode(self.rids))

    def fenced(self, taken: Collection[str] = ()) -> Row:
        """Return the row of a fenced writer, without ids that another row has from now on."""
        carried = [rid for rid in _decode(self.carried) if rid not in taken]
        rids = [rid for rid in _decode(self.rids) if rid not in taken]
        return Row(self.epoch + 1, self.seq, self.settled, _encode(carried).decode(), _encode(rids).decode())


def shard_name(table: str, shard: int | str) -> str:
    """Name the row of one of several writers; the first has the name used by a sole writer."""
    return table if shard == 0 else f"{table}%{shard}"


def shard_of(name: str) -> int:
    """Return the number of the writer that a row belongs to."""
    return int(name.rpartition("%")[2]) if "%" in name else 0


class LostPlaceError(Exception):
    """The ledger's row and the stored position contradict each other."""


class Ledger:
    """
    Keep track of records in a sink's table that may come again; no I/O.

    A batch and its row are committed together, and the position, the row's `seq`, is stored when the batch is
    settled. In between the writer may die. Then the batch's records come again: not as the same batch, and
    some of them later than others. So their ids are carried along from row to row until each has been in a
    settled batch.

    Args:
        row: The row in the database, under this writer's epoch.
        position: The position stored on the server; None if there never was one.

    Raises:
        LostPlaceError: See there.
    """

    def __init__(self, row: Row, position: str | None) -> None:
        settled = int(position or 0)
        if settled > row.seq:
            raise LostPlaceError(f"its ledger is at batch {row.seq}, and batch {settled} was settled")
        if position is None and row.seq:
            raise LostPlaceError(f"its ledger is at batch {row.seq}, and this server knows of none")
        self._row = row
        self._settled = settled
        self.went_back = settled < row.settled
        """Whether the server has forgotten batches that it had settled."""
        carried = set(_decode(row.carried))
        self._carried = carried if settled == row.seq else carried.union(_decode(row.rids))

    @property
    def position(self) -> str:
        """The last batch that is known to be settled."""
        return str(self._settled)

    def unwritten(self, rids: Sequence[str]) -> Sequence[int]:
        """Return the places of those records of a batch that are not in the table yet."""
        if not self._carried:
            return range(len(rids))
        return [place for place, rid in enumerate(rids) if rid not in self._carried]

    def next(self, rids: Sequence[str], failed: Collection[int] = ()) -> Row:
        """
        Build the row for a batch.

        Args:
            rids: The ids of the whole batch.
            failed: The places of records that did not get into the table.
        """
        own = [rid for place, rid in enumerate(rids) if place not in failed] if failed else [*rids]
        carried = sorted(self._carried.difference(own)) if self._carried else []
        return replace(
            self._row,
            seq=self._row.seq + 1,
            settled=self._settled,
            carried=_encode(carried).decode(),
            rids=_encode(own).decode(),
        )

    def committed(self, row: Row) -> None:
        """Note that a batch was committed; the next is written only once this one is settled."""
        self._row = row
        self._settled = row.seq
        self._carried = set(_decode(row.carried)) if self._carried else self._carried


def warn_of_lost_batches(ledger: Ledger, stage: str, target: str) -> None:
    """Log it if the server has lost batches: their records come again."""
    if ledger.went_back:
        structlog.get_logger("rsq_pipe").warning(
            "the server has lost batches that it had settled; their records may be written again",
            stage=stage,
            target=target,
        )
