"""Source objects: packed JSON lines in a bucket of S3."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tests.contract.sources.files import as_json, few
from tests.contract.sources.rig import WRONG, Rig
from tests.support.object_store import KEY, SECRET, Bucket, ObjectStore

LINES = 50
"""Records of one object."""


class Origin(Rig):
    server = "moto, as S3"
    bad_said = "x.jsonl.gz:8: it is not JSON"
    bad_id = "read:x.jsonl.gz:8"
    login_code = missing_code = 2
    login_said = "access is denied (403 InvalidAccessKeyId); check `credentials`"
    missing_said = "there is no bucket 'no-bucket-here'"

    @cached_property
    def _bucket(self) -> Bucket:
        store: ObjectStore = self.place.fixture("object_store")
        return store.bucket()

    @property
    def options(self) -> dict[str, Any]:
        return {
            **self._bucket.settings,
            "url": self._bucket.url("*.jsonl.gz"),
            "timeout": "2s",
            "credentials": {"access_key": KEY, "secret_key": "${secret:S3}"},
        }

    @property
    def login_options(self) -> dict[str, Any]:
        options = self.options
        self._bucket.store.deny(after=0)  # moto knows no wrong secrets, but keys that it has not given out
        return options

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "url": "s3://no-bucket-here/*.jsonl.gz"}

    def environ(self) -> dict[str, str]:
        return {"S3": SECRET}

    def wrong_environ(self) -> dict[str, str]:
        return {"S3": WRONG}

    def fill(self, numbers: Sequence[int]) -> None:
        for at in range(0, len(numbers), LINES):
            some = numbers[at : at + LINES]
            self._put(f"{some[0]:06}", [{"n": n} for n in some])

    def fill_with_a_bad_one(self) -> None:
        self._put("x", few('{"n": '))

    def stop(self) -> None:
        self._bucket.store.pause()

    def start(self) -> None:
        self._bucket.store.resume()

    def close(self) -> None:
        self._bucket.store.allow()

    def _put(self, name: str, records: Sequence[Any]) -> None:
        text = "".join(f"{line}\n" for line in as_json(records))
        self._bucket.put(f"{name}.jsonl.gz", gzip.compress(text.encode()))
