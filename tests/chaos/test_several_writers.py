"""Several runs write one table of PostgreSQL: each record once, whoever is killed or paused."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import redis

from tests.chaos.storm import REPOSITORY, SHAKEN_RUN
from tests.support.postgres import PostgresServer, postgres, postgres_binaries
from tests.support.preloaded import PreloadedProcess
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import eventually

__all__ = ["postgres", "postgres_binaries"]

pytestmark = pytest.mark.chaos

RECORDS = 12_000
WRITERS = 3
PATIENCE = 120
STRIKES = int(os.environ.get("STRIKES", "12"))
SEED = int(os.environ.get("SEED", "3"))


class Table:
    """
    A table that several runs of a pipeline write.

    Args:
        root: A folder for the pipeline's files.
        server, postgres: Where from, where to.
        sabotage: The safety that is switched off; see tests/support/shaken_run.py.
        seed: Chooses whom it hits, and when.
        lease: Seconds that a run which is paused keeps its shard.
    """

    def __init__(
        self,
        root: Path,
        server: StreamServer,
        postgres: PostgresServer,
        sabotage: str,
        seed: int,
        lease: float,
    ) -> None:
        self._name = f"several_{os.urandom(6).hex()}"
        self._project = Project(root, self._name.replace("_", "-"))
        self._sabotage = sabotage
        self._lease = lease
        self._server = server
        self._postgres = postgres
        self._draw = random.Random(seed)
        self._log = (root / "log").open("wb")
        self._asked = redis.Redis.from_url(server.url)
        self.kills = self.pauses = 0
        postgres.execute(f"create table {self._name} (n int)")
        self._project.records(range(RECORDS))
        sink = f'type: postgres, dsn: "{postgres.dsn}", table: {self._name}, ledger: {self._name}_ledger'
        self._project.spec(
            f"""
            read: {{source: {{type: jsonl, path: in.jsonl}}}}
            out: {{sink: {{{sink}, writers: {WRITERS}, timeout: 5s}}}}
            """,
            top="""
            reclaim: {idle: 200ms}
            max_backlog: 120
            """,
            defaults="defaults: {batch: {size: 20}}",
        )
        self._runs = [self._begun() for _ in range(WRITERS)]

    def strike(self) -> None:
        """Kill a run, or pause one until others have written what it had in hand."""
        self._flow(self._draw.randint(1, 300))
        place = self._draw.randrange(WRITERS)
        run = self._runs[place]
        if run.poll() is not None:
            return
        if self._draw.random() < 0.5:
            run.kill()
            run.wait()
            self._runs[place] = self._begun()
            self.kills += 1
            return
        run.send_signal(signal.SIGSTOP)
        try:
            self._flow(self._draw.randint(300, 600))
        finally:
            run.send_signal(signal.SIGCONT)
        self.pauses += 1

    def finish(self) -> None:
        """Wait until all runs have ended."""
        codes = [run.wait(PATIENCE) for run in self._runs]
        assert codes == [0] * WRITERS, self.log()

    def doubled(self) -> int:
        """Count the rows there are too many."""
        [(rows, different)] = self._postgres.execute(f"select count(*), count(distinct n) from {self._name}")
        return int(rows) - int(different)

    def rows(self) -> int:
        """Count the rows."""
        return int(self._postgres.execute(f"select count(*) from {self._name}")[0][0])

    def wrote(self) -> int:
        """Count the shards by which rows were written."""
        found = self._postgres.execute(f"select count(*) from {self._name}_ledger where seq > 0")
        return int(found[0][0])

    def log(self) -> str:
        """Return the end of what the runs said."""
        return (self._project.root / "log").read_text()[-3_000:]

    @property
    def is_done(self) -> bool:
        """Whether all is settled."""
        return self._settled() >= RECORDS

    def close(self) -> None:
        """End all runs."""
        for run in self._runs:
            run.kill()
            run.wait()
        self._log.close()
        self._asked.close()

    def _begun(self) -> subprocess.Popen[bytes]:
        return PreloadedProcess(
            [*SHAKEN_RUN, self._sabotage, "run", str(self._project.path), "--redis", self._server.url],
            cwd=REPOSITORY,
            env={**os.environ, "SHAKEN_LEASE": str(self._lease)},
            stdout=self._log,
            stderr=self._log,
        )

    def _flow(self, records: int) -> None:
        aim = min(RECORDS, self._settled() + records)
        what = f"more records settled: {self.log()}"
        eventually(lambda: self._settled() >= aim, timeout=PATIENCE, what=what)

    def _settled(self) -> int:
        return int(self._asked.hget(f"{{{self._project.pipeline}}}:meta", "out:in") or 0)


Tables: TypeAlias = Callable[[str, int, float], AbstractContextManager[Table]]


@pytest.fixture
def tables(tmp_path: Path, postgres: PostgresServer) -> Iterator[Tables]:
    with StreamServer(binaries()["valkey"]) as server:

        @contextmanager
        def made(sabotage: str, seed: int, lease: float) -> Iterator[Table]:
            table = Table(tmp_path / f"{sabotage}-{seed}", server, postgres, sabotage, seed, lease)
            try:
                yield table
            finally:
                table.close()

        yield made


@pytest.mark.timeout(400)
@pytest.mark.parametrize("lease", [0.3, 5.0])
def test_runs_that_are_killed_and_paused_write_each_record_once(tables: Tables, lease: float) -> None:
    with tables("none", SEED, lease) as table:
        while not table.is_done and table.kills + table.pauses < STRIKES:
            table.strike()
        table.finish()

        print(f"seed {SEED}: {table.kills} kills, {table.pauses} pauses: {table.doubled()} doubled")
        assert table.kills + table.pauses >= min(STRIKES, 6)
        assert (table.rows(), table.doubled()) == (RECORDS, 0)
        assert table.wrote() > 1


@pytest.mark.parametrize("sabotage", ["write_as_if_nobody_had_it_before", "write_again_what_was_fenced"])
@pytest.mark.timeout(400)
def test_without_a_safety_of_several_writers_kills_and_pauses_double_records(
    tables: Tables, sabotage: str
) -> None:
    for seed in range(6):
        with tables(sabotage, seed, 2.0) as table:
            while not table.is_done and not table.doubled():
                table.strike()
            if table.doubled():
                return
    pytest.fail("six tables hold each record once: what happens to the runs is too mild")
