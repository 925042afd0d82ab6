"""DltSink: loads each batch through a dlt pipeline."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from rsq_pipe.connectors.dlt.options import WriteOptions
from rsq_pipe.connectors.dlt.quiet import dlt, root_message
from rsq_pipe.connectors.record_id import FIELD, named
from rsq_pipe.connectors.sink import TargetUnavailableError, Written
from rsq_pipe.errors import EncodeError, SinkError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.worker import is_gone, worker_name

_ONE = threading.Lock()
"""Only one dlt pipeline can be active in a process."""
_STAGINGS = 4
"""Number of datasets that merges rotate through, one per opening: those of paused processes are not used."""


class DltSink:
    """
    Load records; with merging, a record that is loaded again replaces itself.

    Args:
        options: The destination.
        stage: The stage, for messages and names.
        root: The project root; dlt's own files are in `.rsq/dlt` there, in a folder used only by this sink.
        pipeline: The pipeline, for names.
    """

    guarantee: Literal["exactly-once", "at-least-once"]
    exclusive: ClassVar[bool] = True

    def __init__(self, options: WriteOptions, *, stage: str, root: Path, pipeline: str) -> None:
        self.guarantee = "exactly-once" if options.mode == "merge" else "at-least-once"
        self._options = options
        self._stage = stage
        self._name = f"rsq_{pipeline}_{stage}".replace("-", "_")
        self._home = root / ".rsq" / "dlt"
        # dlt loads pending data that it finds instead of the data it is given: data that another process
        # left, or is loading.
        self._folder = self._home / worker_name(self._name)
        self._pipeline: Any = None
        self._number = self._opening = 0
        self.target = f"dlt {options.destination} {options.dataset}.{options.table}"

    def open(
        self,
        position: str | None,
        *,
        fresh: bool = False,
        still: Callable[[], bool] = lambda: True,  # noqa: ARG002  what an earlier writer loads is the same
    ) -> str:
        """Begin, without the data that an earlier process had not loaded yet: they come again."""
        if fresh:
            self.check_anew()
        number, _, opening = (position or "").partition("/")
        self._number = int(number or 0)
        self._opening = int(opening or 0) + 1
        destination = self.destination()
        self._clear()
        try:
            self._pipeline = dlt().pipeline(
                self._name,
                pipelines_dir=str(self._folder),
                destination=destination,
                dataset_name=self._options.dataset,
            )
        except Exception as exc:
            raise self._sorted(exc) from exc
        return self._position

    def check_anew(self) -> None:
        """Refuse `--fresh` if it would append every record again."""
        if self._options.mode == "append":
            raise self._error("--fresh would append all records again; set `mode: merge`, or drop the table")

    def write(self, batch: Batch) -> Written:
        """Load one batch."""
        rows, failures = self._rows(batch)
        if rows:
            try:
                with _ONE:
                    self._pipeline.activate()
                    self._pipeline.run(rows, table_name=self._options.table, **self._disposition)
            except Exception as exc:
                raise self._sorted(exc) from exc
        self._number += 1
        return Written(self._position, failures)

    def close(self) -> None:
        """Delete dlt's files: every load has ended."""
        self._pipeline = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _clear(self) -> None:
        """Delete data left by an earlier opening and by dead processes."""
        shutil.rmtree(self._folder, ignore_errors=True)
        left = self._home.iterdir() if self._home.is_dir() else ()
        for folder in left:
            if folder.name.startswith(f"{self._name}_") and is_gone(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def destination(self) -> Any:
        """
        Create dlt's destination.

        Raises:
            SinkError: dlt has no destination of this name, or lacks a package for it.
        """
        dlt()
        from dlt.common.destination import Destination  # noqa: PLC0415  an extra

        # dlt empties the staging tables, fills them, and only then merges their contents: if two processes
        # used the same ones, one could merge the data of the other.
        given = {
            "staging_dataset_name_layout": f"%s_staging_{self._opening % _STAGINGS}",
            **self._options.with_,
        }
        if self._options.credentials is not None:
            given["credentials"] = self._options.credentials
        try:
            return Destination.from_reference(self._options.destination, **given)
        except Exception as exc:
            raise self._error(root_message(exc)) from exc

    @property
    def _position(self) -> str:
        """Return how many batches were loaded, and how often the sink was opened."""
        return f"{self._number}/{self._opening}"

    @property
    def _disposition(self) -> dict[str, Any]:
        if self._options.mode == "append":
            return {"write_disposition": "append"}
        return {"write_disposition": "merge", "primary_key": list(self._options.key) or [FIELD]}

    def _rows(self, batch: Batch) -> tuple[list[Any], dict[int, Exception]]:
        """Build the rows, and report the records that cannot be rows."""
        from dlt.common import json  # noqa: PLC0415  an extra

        with_rid = self._options.mode == "merge" and not self._options.key
        rows: list[Any] = []
        failures: dict[int, Exception] = {}
        for place, record in enumerate(batch.records):
            try:
                row = named(record, batch.rids[place]) if with_rid else dict(record)
                for name in self._options.key:
                    if row.get(name) is None:
                        raise EncodeError(f"its field {name!r} has no value, and is in `key`", record)  # noqa: TRY301
                json.dumpb(row)
            except EncodeError as exc:
                failures[place] = without_frames(exc)
            except (TypeError, ValueError, RecursionError) as exc:
                failures[place] = EncodeError(f"dlt cannot write the record: {exc}")
            else:
                rows.append(row)
        return rows, failures

    def _sorted(self, exc: BaseException) -> Exception:
        """Distinguish a transient error from a permanent one."""
        from dlt.common.destination.exceptions import DestinationTransientException  # noqa: PLC0415  an extra

        cause: BaseException | None = exc
        while cause is not None:
            if isinstance(cause, DestinationTransientException | ConnectionError | TimeoutError):
                return TargetUnavailableError(f"{self.target}: {root_message(exc)}")
            cause = cause.__cause__
        return self._error(root_message(exc))

    def _error(self, what: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: {self.target}: {what}", stage=self._stage)
