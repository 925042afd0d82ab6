"""Replication: PostgreSQL's stream of changes, over the replication protocol of a psycopg connection."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from struct import Struct as Layout
from typing import Any

import psycopg
from msgspec import Struct
from psycopg import pq

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.postgres.connection import sorted_out
from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres_cdc.mark import lsn_text
from rsq_pipe.connectors.sink import TargetUnavailableError

SETTINGS = (
    "-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
)
"""Settings that fix the format of values, whatever the server's own settings are."""

_CONNECT = 10
_HEARTBEAT = 5.0
"""Seconds between two signs of life: the server ends a stream whose reader is silent."""

_SOON = 0.2
"""Seconds after which the stored position is reported to the server."""

_EPOCH = 946_684_800
_STATUS = Layout("!cQQQqB")
_ALIVE = Layout("!cQqB")


class Alive(Struct, frozen=True):
    """A keepalive: the server has sent everything in its log before `end`."""

    end: int


class Replication:
    """
    Receive a slot's changes. One thread reads; `stored` and `close` may be called from others.

    A separate thread sends status updates with the stored position, even while no records are read.

    Args:
        dsn: The server.
        name: The connection's name on the server.
        seconds: Seconds the server may be silent; it always gets time for at least two status updates.
    """

    def __init__(self, dsn: str, name: str, seconds: float) -> None:
        given = psycopg.conninfo.conninfo_to_dict(dsn)
        self._silence = max(seconds, 2 * _HEARTBEAT)
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closed = False
        self._stored = 0
        self._heard = time.monotonic()
        try:
            self._connection = psycopg.connect(
                dsn,
                autocommit=True,
                replication="database",
                application_name=name,
                client_encoding="utf8",
                connect_timeout=int(given.get("connect_timeout") or _CONNECT),
                options=f"{given.get('options') or ''} {SETTINGS} -c wal_sender_timeout=60s".strip(),
            )
        except (psycopg.Error, OSError) as exc:
            raise _sorted_out(exc) from exc
        self._server = self._connection.pgconn

    def system(self) -> str:
        """Read the number of the database cluster."""
        result = self._done(b"IDENTIFY_SYSTEM", pq.ExecStatus.TUPLES_OK)
        return (result.get_value(0, 0) or b"").decode()

    def start(self, slot: str, publication: str, lsn: int) -> None:
        """Let the server send changes committed after a position."""
        name = listed([publication]).replace("'", "''")
        command = (
            f"START_REPLICATION SLOT {slot} LOGICAL {lsn_text(lsn)}"
            f" (proto_version '1', publication_names '{name}')"
        )
        self._done(command.encode(), pq.ExecStatus.COPY_BOTH)
        self._server.nonblocking = 1
        self._heard = time.monotonic()
        threading.Thread(target=self._send_statuses, name="rsq-pipe replication", daemon=True).start()

    def read(self, most: int, seconds: float) -> Sequence[bytes | Alive]:
        """
        Return what has arrived, up to a limit; if nothing has, wait for so long.

        A message begins after the 25 bytes of its envelope.

        Raises:
            TargetUnavailableError, RefusedError: The stream has ended.
        """
        found = self._taken(most)
        if not found:
            with suppress(OSError, ValueError):  # closed by another thread: `_taken` reports it
                select.select([self._server.socket], [], [], seconds)
            found = self._taken(most)
        if found:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > self._silence:
            raise TargetUnavailableError(f"the server has been silent for {self._silence:g}s")
        return found

    def stored(self, lsn: int) -> None:
        """Report that everything before a position is stored and need not be kept; never blocks."""
        self._stored = max(self._stored, lsn)
        self._changed.set()

    def ask(self) -> None:
        """Ask the server how far it has read its log."""
        with self._lock, suppress(psycopg.Error, OSError):
            if not self._closed:
                self._send_status(asks=True)

    def close(self) -> None:
        """Report the stored position to the server, and end the stream; raises nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with suppress(psycopg.Error, OSError):
                    self._send_status()
                    self._server.put_copy_end()
                    self._server.flush()
                with suppress(psycopg.Error, OSError):
                    self._connection.close()
        self._changed.set()

    def _taken(self, most: int) -> list[bytes | Alive]:
        found: list[bytes | Alive] = []
        with self._lock:
            if self._closed:
                raise TargetUnavailableError("the stream was closed")
            try:
                get, is_fresh = self._server.get_copy_data, False
                while len(found) < most:
                    count, data = get(1)
                    if count > 0:
                        self._take(bytes(data), found)
                        is_fresh = False
                    elif count < 0:
                        raise self._ended()
                    elif is_fresh:
                        break
                    else:
                        self._server.consume_input()
                        is_fresh = True
            except (psycopg.Error, OSError) as exc:
                raise _sorted_out(exc) from exc
        return found

    def _take(self, message: bytes, found: list[bytes | Alive]) -> None:
        if message[0] == 119:  # w
            found.append(message)
        elif message[0] == 107:  # k
            _, end, _, asks = _ALIVE.unpack(message)
            if asks:
                self._send_status()
            found.append(Alive(end))

    def _ended(self) -> Exception:
        result = self._server.get_result()
        if result is None or result.status != pq.ExecStatus.FATAL_ERROR:
            return psycopg.OperationalError("the server has ended the stream")
        return psycopg.errors.error_from_result(result)

    def _done(self, command: bytes, status: pq.ExecStatus) -> Any:
        try:
            result = self._server.exec_(command)
            if result.status != status:
                raise psycopg.errors.error_from_result(result)
        except (psycopg.Error, OSError) as exc:
            raise _sorted_out(exc) from exc
        return result

    def _send_statuses(self) -> None:
        """Send status updates until it is closed."""
        while not self._closed:
            self._changed.wait(_HEARTBEAT)
            time.sleep(_SOON)  # many chunks are stored in that time, and reported together
            self._changed.clear()
            with self._lock:
                if not self._closed:
                    with suppress(psycopg.Error, OSError):  # the reader finds out
                        self._send_status(asks=True)

    def _send_status(self, *, asks: bool = False) -> None:
        now = int((time.time() - _EPOCH) * 1_000_000)
        self._server.put_copy_data(_STATUS.pack(b"r", *[self._stored] * 3, now, asks))
        self._server.flush()


def _sorted_out(exc: psycopg.Error | OSError) -> Exception:
    """Translate it into the error that says what to do."""
    text = str(exc)
    if "start WAL sender" in text or "walsender" in text.lower():
        return RefusedError(
            "its user may not read changes; give it the right: alter role NAME replication (on Amazon RDS: "
            "grant rds_replication to NAME)"
        )
    if getattr(exc, "sqlstate", None) == "58P01":
        return RefusedError(f"{text.strip()}; the changes after the slot's position are gone")
    return sorted_out(exc)
