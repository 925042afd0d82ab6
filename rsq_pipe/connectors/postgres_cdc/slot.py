"""Slot: the server's position of unread changes; created, checked, and taken over."""

from __future__ import annotations

import structlog
from msgspec import Struct

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres_cdc.mark import lsn_text
from rsq_pipe.connectors.sink import TargetUnavailableError

_LOOK = """
select slot_type, coalesce(plugin, ''), coalesce(database, ''), current_database(), active_pid,
    coalesce(confirmed_flush_lsn - '0/0'::pg_lsn, 0)::bigint, coalesce(to_jsonb(s) ->> 'wal_status', ''),
    coalesce(to_jsonb(s) ->> 'invalidation_reason', '')
from pg_replication_slots s where slot_name = %s
"""

_USER = "select application_name, coalesce(client_addr::text, '') from pg_stat_activity where pid = %s"


class _State(Struct, frozen=True):
    """Hold a row of pg_replication_slots."""

    type: str
    plugin: str
    database: str
    here: str
    pid: int | None
    confirmed: int
    kept: str
    invalid: str


class Slot:
    """
    Manage one slot.

    Args:
        connection: The server; open when a method is called.
        name: The slot's.
        user: The name of its reader's connection: another connection of this name is this source's former
            reader.
    """

    def __init__(self, connection: Connection, name: str, user: str) -> None:
        self._connection = connection
        self._name = name
        self._user = user

    def ready(self, position: int | None) -> int:
        """
        Create the slot if nothing was read yet, check that it has the changes, and end a former reader.

        Args:
            position: Everything before it was read; None if nothing was.

        Returns:
            The position from which the server has the changes.

        Raises:
            RefusedError: It does not exist, lacks changes, is of another kind, or belongs to another reader.
            TargetUnavailableError: It can be used in a moment.
        """
        state = self._look()
        if state is None:
            if position is not None:
                raise RefusedError(self._gone(position))
            self._check_level()
            self._make()
            state = self._look()
        if state is None:
            raise TargetUnavailableError(f"slot {self._name!r} was dropped while it was being created")
        self._check(state, position)
        if state.pid is not None:
            self._end_reader(state.pid)
        return state.confirmed

    def reach(self) -> str:
        """Describe what is still to be done; nothing is changed."""
        state = self._look()
        if state is None:
            self._check_level()
            return "the slot will be created"
        self._check(state, None)
        return ""

    def drop(self) -> bool:
        """
        Drop the slot, after ending a former reader.

        Returns:
            False if there is none.

        Raises:
            RefusedError: It is of another kind or database, or belongs to another reader.
            TargetUnavailableError: It can be dropped in a moment.
        """
        state = self._look()
        if state is None:
            return False
        self._check_kind(state)
        if state.pid is not None:
            self._end_reader(state.pid)
        self._connection.execute("select pg_drop_replication_slot(%s)", [self._name])
        return True

    def _look(self) -> _State | None:
        found = self._connection.execute(_LOOK, [self._name])
        return _State(*found[0]) if found else None

    def _check_level(self) -> None:
        level = self._connection.execute("select current_setting('wal_level')")[0][0]
        if level != "logical":
            raise RefusedError(
                f"the server's wal_level is {level!r}; run `alter system set wal_level = logical`, and "
                "restart it"
            )

    def _make(self) -> None:
        """Create the slot; the server waits for transactions that are in progress."""
        structlog.get_logger("rsq_pipe").info(
            "making a replication slot: it begins when the transactions that are open now have ended",
            slot=self._name,
        )
        try:
            self._connection.execute(
                "select pg_create_logical_replication_slot(%s, 'pgoutput')", [self._name]
            )
        except TargetUnavailableError as exc:
            if getattr(exc.__cause__, "sqlstate", None) == "57014":
                raise TargetUnavailableError(
                    f"slot {self._name!r} is not created yet: an older transaction is still open"
                ) from exc
            raise

    def _check_kind(self, state: _State) -> None:
        name = self._name
        if state.type != "logical" or state.plugin != "pgoutput":
            kind = f"plugin {state.plugin!r}" if state.plugin else "physical replication"
            raise RefusedError(f"slot {name!r} is for {kind}, and not for pgoutput; name another in `slot`")
        if state.database != state.here:
            raise RefusedError(
                f"slot {name!r} is of database {state.database!r}, and `dsn` names {state.here!r}; name "
                "another"
            )

    def _check(self, state: _State, position: int | None) -> None:
        self._check_kind(state)
        name = self._name
        if state.kept == "lost" or state.invalid:
            why = state.invalid or "its log grew beyond max_slot_wal_keep_size"
            raise RefusedError(
                f"the server has given slot {name!r} up, {why}: changes were lost; drop it, {self._drop}, "
                "and start over with --fresh"
            )
        if position is not None and state.confirmed > position:
            raise RefusedError(
                f"slot {name!r} is at {lsn_text(state.confirmed)}, and what was committed after "
                f"{lsn_text(position)} was not read: another reader has used it, or Redis was restored to an "
                "earlier state; start over with --fresh, and give the other its own slot"
            )

    def _end_reader(self, pid: int) -> None:
        """End the connection of this source's former reader, which was killed or paused; no other's."""
        found = self._connection.execute(_USER, [pid])
        if not found:
            return
        name, address = found[0]
        if name != self._user:
            where = f" from {address}" if address else ""
            raise RefusedError(
                f"slot {self._name!r} is read by {name or 'a connection without a name'!r}{where} (process "
                f"{pid} of the server); end that, or name another in `slot`"
            )
        # This reader moves nothing past the stored position, whenever it is ended.
        self._connection.execute("select pg_terminate_backend(%s)", [pid])
        raise TargetUnavailableError(f"slot {self._name!r} was still held by its former reader")

    def _gone(self, position: int) -> str:
        return (
            f"there is no slot {self._name!r}, and changes were read from it up to {lsn_text(position)}: it "
            "was dropped, or this server has taken over from another one without it; start over with --fresh"
        )

    @property
    def _drop(self) -> str:
        return f"select pg_drop_replication_slot('{self._name}')"
