"""Sink parquet: files, each of which is seen when it is whole."""

from __future__ import annotations

from typing import Any, ClassVar

import arro3.io

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, Record, Rig, Why


class Target(Rig):
    server = "files"
    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_LOGIN}
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "field 'n' is 'seven', and its column is of type int"
    missing_said = "out/.all-000001.parquet: it cannot be written: File exists"

    @property
    def options(self) -> dict[str, Any]:
        columns = {"n": "int", "pad": "str"}
        return {"path": "out/all.parquet", "rotate": {"records": 70}, "columns": columns}

    @property
    def missing_options(self) -> dict[str, Any]:
        (self.place.root / "out").touch()
        return self.options

    def found(self) -> list[int]:
        paths = sorted((self.place.root / "out").glob("all-*.parquet"))
        assert [path.stem for path in paths] == [f"all-{n + 1:06}" for n in range(len(paths))]
        tables = [arro3.io.read_parquet(path).read_all() for path in paths]
        return [int(n) for table in tables for n in table.column("n").to_pylist()]
