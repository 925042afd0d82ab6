"""Dropping: takes a source's slot away, for a pipeline that is given up."""

from __future__ import annotations

import time

from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.postgres_cdc.options import Options
from rsq_pipe.connectors.postgres_cdc.reading import connection_of, reader_name
from rsq_pipe.connectors.postgres_cdc.slot import Slot
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.errors import SourceError

_PATIENCE = 10.0
"""Seconds in which a former reader's connection has ended."""

_AGAIN = 0.2


def drop_slot(options: Options, *, pipeline: str, stage: str) -> bool:
    """
    Drop the slot of a source that nobody runs.

    Returns:
        False where there is none.

    Raises:
        SourceError: It cannot be dropped.
    """
    connection = connection_of(options)
    until = time.monotonic() + _PATIENCE
    try:
        connection.open()
        slot = Slot(connection, options.slot, reader_name(pipeline, stage))
        while True:
            try:
                return slot.drop()
            except TargetUnavailableError:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN)
    except (RefusedError, RowsError, TargetUnavailableError) as exc:
        what = f"the replication slot {options.slot!r} cannot be dropped: {exc}"
        raise SourceError(f"stage {stage!r}: {what}", stage=stage) from exc
    finally:
        connection.close()
