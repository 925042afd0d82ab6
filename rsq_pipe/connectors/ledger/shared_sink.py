"""SharedLedgerSink: a table that several processes write at the same time, each with a row of the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq_pipe.connectors.ledger.columns import Fresh
from rsq_pipe.connectors.ledger.database import RowsError, SharedDatabase
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.sink import LedgerSink
from rsq_pipe.connectors.sink import FencedError, Written
from rsq_pipe.model.batch import Batch


class SharedLedgerSink(LedgerSink):
    """
    Write records to a table that others write at the same time.

    A batch that no other writer can have had is written as a sole sink would. If one of its entries was
    delivered before, that entry's records may be in the table, according to the row of its earlier consumer,
    or about to be: that writer may only be paused. So all rows are locked and all other epochs raised, in the
    transaction that writes the batch. Batches not committed under the old epochs can no longer be; the
    committed ones are in the rows that are read. Their ids move into this writer's row with the batch.

    A writer that was fenced this way has to open its row again, and must not write entries that it read
    before: they may belong to another by now.

    Args:
        database: The database.
        writers: Maximum number of concurrent writers; rows of any others are respected all the same.
        stage, target, fresh: As for a sole sink.
    """

    def __init__(
        self, database: SharedDatabase, *, writers: int, stage: str, target: str, fresh: Fresh = "error"
    ) -> None:
        super().__init__(database, stage=stage, target=target, fresh=fresh)
        self._shared = database
        self._positions: Mapping[int, str] = {}
        self._elsewhere: set[str] = set()
        self.writers = writers

    def take(self, shard: int, positions: Mapping[int, str]) -> None:
        """Write as this one of the writers from the next `open` on; `positions` has those of all writers."""
        self._shared.take(shard)
        self._positions = positions

    def write_again(self, batch: Batch) -> Written:
        """Write the records of a batch that no writer has written yet, though others may have had them."""
        assert self._ledger is not None, "the sink is not open"
        with self._naming_target():
            self._database.ready(batch.records)
            _, unfit = self._rows(batch, range(len(batch)))
            if unfit:
                self._has_changed()
            try:
                row, failures = self._write_fencing(batch)
            except RowsError:
                self._database.changed()
                row, failures = self._write_fencing(batch, find_bad=True)
        self._ledger.committed(row)
        return Written(str(row.seq), failures)

    def _write_fencing(self, batch: Batch, *, find_bad: bool = False) -> tuple[Row, dict[int, Exception]]:
        with self._database.transaction():
            found = self._fence(batch.rids)
            places = [place for place in self._unwritten(batch) if batch.rids[place] not in found]
            rows, failures = self._rows(batch, places)
            return self._put(batch, rows, failures, find_bad=find_bad), failures

    def _fence(self, rids: Sequence[str]) -> set[str]:
        """Fence all other writers; take over the ids that are in the table according to their rows."""
        wanted, taken = set(rids), set[str]()
        for shard, row in self._shared.lock_all().items():
            found = wanted & row.ids()
            self._shared.replace_peer(shard, row.fenced(found))
            taken |= found
        return taken

    def _unwritten(self, batch: Batch) -> Sequence[int]:
        places = super()._unwritten(batch)
        if not self._elsewhere:
            return places
        return [place for place in places if batch.rids[place] not in self._elsewhere]

    def _begin(self, *, fresh: bool) -> None:
        if fresh:
            # Before asking the server whether that still has to be done: if two open it, only one does it.
            self._shared.lock_all()
        # If the file was changed, records left by a writer may come through another stage, as if they were
        # new.
        found = self._shared.peers().items()
        self._elsewhere = set[str]().union(*(row.ids(self._positions.get(shard)) for shard, row in found))

    def _start_over(self) -> None:
        super()._start_over()
        for shard, row in self._shared.peers().items():
            self._shared.replace_peer(shard, Row(row.epoch + 1, 0, 0))
        self._elsewhere = set()

    def _refused(self) -> Exception:
        if self._shared.is_writer():
            return FencedError("another writer took entries over")
        return super()._refused()
