"""Sink objects: parts in a bucket."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import arro3.io

from tests.contract.sinks.rig import WRONG, Record, Rig
from tests.support.object_store import KEY, SECRET, Bucket, ObjectStore


class Target(Rig):
    server = "moto, as S3"
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "field 'n' is 'seven', and its column is of type int"
    login_said = "check `credentials`, and what they may do in the bucket"
    missing_said = "there is no bucket 'no-such-bucket'; make it, or correct `url`"

    @cached_property
    def _bucket(self) -> Bucket:
        store: ObjectStore = self.place.fixture("object_store")
        return store.bucket()

    @property
    def environ(self) -> dict[str, str]:
        return {"SECRET": SECRET}

    @property
    def wrong_environ(self) -> dict[str, str]:
        return {"SECRET": WRONG}

    @property
    def options(self) -> dict[str, Any]:
        return {
            "url": self._bucket.url("{part}.parquet"),
            "endpoint": self._bucket.store.endpoint,
            "format": {"type": "parquet", "columns": {"n": "int", "pad": "str"}},
            "rotate": {"records": 20, "every": "200ms"},
            "region": "us-east-1",
            "credentials": {"access_key": KEY, "secret_key": "${secret:SECRET}"},
            "timeout": "2s",
        }

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "url": "s3://no-such-bucket/{part}.parquet"}

    def found(self) -> list[int]:
        objects = self._bucket.objects()
        assert sorted(objects) == [f"{n + 1:08}.parquet" for n in range(len(objects))]
        tables = [arro3.io.read_parquet(io.BytesIO(data)).read_all() for data in objects.values()]
        return [int(n) for table in tables for n in table.column("n").to_pylist()]

    def stop(self) -> None:
        self._bucket.store.pause()

    def start(self) -> None:
        self._bucket.store.resume()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self._bucket.store.deny(after=0)
        try:
            yield
        finally:
            self._bucket.store.allow()
