"""Sink dlt: a table of DuckDB's, where dlt merges by the record's id."""

from __future__ import annotations

from typing import Any, ClassVar

import duckdb

from tests.contract.sinks.rig import Rig, Why


class Target(Rig):
    server = "DuckDB, through dlt"
    nothing: ClassVar[Why] = {
        "away": "dlt tries again by its own rules; what it raises ends the run",
        "login": "dlt's destinations have their own; what they raise ends the run",
        "bad": "dlt makes columns for what comes",
    }
    batch = 80  # one takes as long as a start of the process
    alone = True
    missing_said = "mod:`nix` attr: `places` failed due to: ModuleSpecNotFound"

    @property
    def options(self) -> dict[str, Any]:
        target = {"destination": "duckdb", "credentials": "target.duckdb"}
        return {**target, "dataset": "shop", "table": "orders"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {"destination": "nix.places", "dataset": "shop", "table": "orders"}

    def found(self) -> list[int]:
        with duckdb.connect(self.place.root / "target.duckdb", read_only=True) as connection:
            return [row[0] for row in connection.execute("select n from shop.orders").fetchall()]
