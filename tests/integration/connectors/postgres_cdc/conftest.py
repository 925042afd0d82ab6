"""A table of its own for every test of postgres_cdc."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.connectors.postgres_cdc.cdc_place import Place
from tests.support.postgres import PostgresServer
from tests.support.signals import eventually


@pytest.fixture
def place(postgres: PostgresServer, name: str) -> Iterator[Place]:
    made = Place(postgres, name)
    yield made
    made.close()
    postgres.execute(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", made.slot
    )
    eventually(
        lambda: (
            not postgres.execute(
                "select 1 from pg_replication_slots where slot_name = %s and active", made.slot
            )
        ),
        what="the slot is free",
    )
    postgres.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", made.slot
    )
