"""Source postgres_cdc: a table's rows, and then its changes; the slot goes with the rig."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tests.contract.sources import postgres
from tests.support.postgres import PostgresServer
from tests.support.signals import eventually


class Origin(postgres.Origin):
    fixture = "cdc_postgres"
    missing_said = "there is no publication 'nothing_here'; make it: create publication"

    @cached_property
    def _server(self) -> PostgresServer:
        server = super()._server
        server.execute(f"create publication {self.name} for table {self.name}")
        return server

    @property
    def options(self) -> dict[str, Any]:
        return {"dsn": "${secret:DSN}", "publication": self.name, "slot": self.name, "timeout": "2s"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "publication": "nothing_here"}

    def close(self) -> None:
        eventually(self._has_no_slot, what="the slot is gone")

    def _has_no_slot(self) -> bool:
        slots = f"from pg_replication_slots where slot_name = '{self.name}'"
        self._server.execute(f"select pg_terminate_backend(active_pid) {slots} and active")
        self._server.execute(f"select pg_drop_replication_slot(slot_name) {slots} and not active")
        return self._server.execute(f"select 1 {slots}") == []
