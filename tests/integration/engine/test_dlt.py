"""Source and sink dlt: what dlt reads enters once, what it loads stands there once."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb
import pytest

from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError, SourceError
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.worker import worker_name
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl, rid: true}}\n"

FEEDS = """
    import json
    from pathlib import Path

    import dlt

    def now():
        return json.loads(Path("NUMBERS").read_text())

    @dlt.resource(primary_key="n")
    def numbers(at=dlt.sources.incremental("n", initial_value=-1)):
        yield [{"n": n} for n in now()]

    @dlt.resource
    def everything():
        yield from ({"n": n} for n in now())

    @dlt.source
    def two():
        return numbers, everything

    @dlt.resource
    def broken():
        yield {"n": 1}
        raise ValueError("the service is gone")

    @dlt.resource
    def torn():
        yield from ({"n": n} for n in range(3))
        if Path("NUMBERS").with_name("down").exists():
            raise ConnectionResetError("the service is gone")
        yield {"n": 3}

    @dlt.resource
    def mixed():
        yield [{"n": 1}, "no record", {"n": {4, 5}}, {"n": 2}]
"""


def write(lab: Lab, numbers: list[int], more: str = 'call: "feeds:numbers"') -> None:
    path = lab.root / "numbers.json"
    path.write_text(str(numbers))
    (lab.root / "feeds.py").write_text(dedent(FEEDS).replace("NUMBERS", str(path)))
    lab.spec(f"read: {{source: {{type: dlt, {more}}}}}\n{OUT}")


def found(lab: Lab) -> list[int]:
    return lab.numbers("out/all.jsonl")


async def test_each_run_reads_what_is_new_since_the_last(lab: Lab) -> None:
    write(lab, [1, 2, 3])
    await lab.run()
    write(lab, [1, 2, 3, 4, 5])
    await lab.run()
    await lab.run()

    assert found(lab) == [1, 2, 3, 4, 5]
    rids = [line["rid"] for line in lab.lines("out/all.jsonl")]
    assert rids == ["read:1.1", "read:1.2", "read:1.3", "read:2.1", "read:2.2"]


async def test_a_reading_that_was_cut_off_goes_on_exactly_though_it_is_out_of_order(lab: Lab) -> None:
    numbers = random.Random(1).sample(range(100), 100)
    write(lab, numbers)
    for _ in range(3):
        await lab.run(limit=30)
    assert len(found(lab)) == 90
    await lab.run()

    assert found(lab) == list(range(100))
    write(lab, [*numbers, 100])
    await lab.run()
    assert found(lab) == list(range(101))


async def test_what_changed_while_a_reading_was_cut_off_enters_anew_and_nothing_is_lost(lab: Lab) -> None:
    write(lab, list(range(10)))
    await lab.run(limit=5)
    write(lab, [10, *range(10)])
    await lab.run()

    assert set(found(lab)) == set(range(11))
    rids = [line["rid"] for line in lab.lines("out/all.jsonl")]
    assert len(rids) == len(set(rids)) == 16


async def test_a_resource_that_remembers_nothing_is_read_once(lab: Lab) -> None:
    write(lab, [1, 2], 'call: "feeds:two", resource: everything')
    await lab.run()
    await lab.run()

    assert found(lab) == [1, 2]


async def test_what_is_no_record_is_a_dead_letter(lab: Lab) -> None:
    write(lab, [], 'call: "feeds:mixed"')
    await lab.run()

    assert found(lab) == [1, 2]
    text, unwritable = await lab.dead_letters("read")
    assert "not a JSON object but a string" in text["rsq-dlq-error"]
    assert "it cannot be written as JSON: Type is not JSON serializable: set" in unwritable["rsq-dlq-error"]
    assert unwritable["data"] == "{'n': {4, 5}}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('call: "feeds:two"', "it has the resources numbers, everything; name one by `resource`"),
        ('call: "feeds:now"', "it made list, and no source or resource of dlt"),
        ('call: "feeds:broken"', "ValueError: the service is gone"),
        ('call: "feeds:two", with: {nix: 1}', "nix"),
    ],
)
async def test_what_cannot_be_read_ends_the_run(lab: Lab, more: str, said: str) -> None:
    write(lab, [1], more)

    with pytest.raises(SourceError, match=said):
        await lab.run()


async def test_a_service_that_is_away_is_told_of_and_waited_for_where_it_is_read_again_and_again(
    lab: Lab,
) -> None:
    (lab.root / "down").touch()
    write(lab, [], 'call: "feeds:torn", every: 1h')
    run = await lab.up()

    async def told() -> bool:
        paused = (await lab.state()).paused.get("read")
        return (
            paused is not None and paused.why == "dlt feeds:torn: ConnectionResetError: the service is gone"
        )

    await wait_until(told, what="the stage says why it waits")
    (lab.root / "down").unlink()
    await wait_until(lambda: len(lab.lines_so_far()) == 4, what="it goes on")
    await wait_until(lambda: _works(lab), what="the stage waits no more")
    await run.stop()

    assert [line["n"] for line in lab.lines("out/all.jsonl")] == [0, 1, 2, 3]


async def _works(lab: Lab) -> bool:
    return "read" not in (await lab.state()).paused


def test_a_destination_that_is_locked_is_told_of_in_its_own_words(tmp_path: Path) -> None:
    locked = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", locked, str(tmp_path / "x.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        loading = sink(tmp_path)
        loading.open(None)
        told = r"^dlt duckdb shop\.orders: IOException: IO Error: Could not set lock on"
        with pytest.raises(TargetUnavailableError, match=told):
            loading.write(Batch([{"n": 1}], ["r:1"]))
        loading.close()
        other.communicate()


def sink(root: Path, **more: Any) -> Any:
    chosen = connector("sink", "dlt")
    options = chosen.options(
        destination="duckdb", credentials=str(root / "x.duckdb"), dataset="shop", table="orders", **more
    )
    return chosen.made(options, pipeline="p", stage="out", root=root)


def rows(path: Path, sql: str = "select n from shop.orders order by n") -> list[Any]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [row[0] for row in connection.execute(sql).fetchall()]


@pytest.mark.slow
def test_a_batch_that_was_loaded_and_comes_again_stands_there_once(tmp_path: Path) -> None:
    made = sink(tmp_path)
    made.open(None)
    first = made.write(Batch([{"n": n} for n in range(5)], [f"r:{n}" for n in range(5)]))
    made.close()

    again = sink(tmp_path)
    assert again.open("0/1") == "0/2"
    second = again.write(Batch([{"n": n} for n in (3, 4, 5)], ["r:3", "r:4", "r:5"]))

    assert (first.position, second.position) == ("1/1", "1/2")
    assert rows(tmp_path / "x.duckdb") == [0, 1, 2, 3, 4, 5]


@pytest.mark.slow
def test_what_a_paused_process_was_loading_is_not_loaded_in_place_of_its_successors_batch(
    tmp_path: Path,
) -> None:
    paused, successor = sink(tmp_path), sink(tmp_path)
    paused.open(None)
    successor.open(None)
    successor.write(Batch([{"n": 0}], ["r:0"]))
    paused._pipeline.extract([{"n": 1, "rid": "r:1"}], table_name="orders")
    paused._pipeline.normalize()

    successor.write(Batch([{"n": 2}], ["r:2"]))
    paused._pipeline.load()
    successor.write(Batch([{"n": 3}], ["r:3"]))

    assert rows(tmp_path / "x.duckdb") == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_successor_merges_by_other_staging_tables_than_a_paused_process(tmp_path: Path) -> None:
    for position in (None, "1/1"):
        one = sink(tmp_path)
        one.open(position)
        one.write(Batch([{"n": 1}], ["r:1"]))

    found = rows(tmp_path / "x.duckdb", "select distinct schema_name from information_schema.schemata")
    assert {"shop", "shop_staging_1", "shop_staging_2"} <= set(found)
    assert "shop_staging" not in found


def test_dlts_files_are_deleted_at_the_end_and_those_of_a_killed_process_by_the_next(tmp_path: Path) -> None:
    home = tmp_path / ".rsq/dlt"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = home / re.sub(r"_\d+-", f"_{ended.pid}-", worker_name("rsq_p_out"))
    left.mkdir(parents=True)
    living = sink(tmp_path)
    living.open(None)

    other = sink(tmp_path)
    other.open(None)
    assert len(list(home.iterdir())) == 2
    other.close()
    living.close()

    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_by_a_key_of_its_own_the_later_record_replaces_the_earlier_one(tmp_path: Path) -> None:
    made = sink(tmp_path, key=("n",))
    made.open(None)
    made.write(Batch([{"n": 1, "v": "a"}, {"n": 2, "v": "a"}], ["r:1", "r:2"]))
    written = made.write(Batch([{"n": 1, "v": "b"}, {"v": "c"}, {"n": None, "v": 1}], ["r:3", "r:4", "r:5"]))

    assert sorted(written.failures) == [1, 2]
    assert "its field 'n' has no value" in str(written.failures[1])
    assert rows(tmp_path / "x.duckdb", "select v from shop.orders order by n") == ["b", "a"]


def test_a_destination_that_dlt_does_not_know_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__NIX__DESTINATION_TYPE", "nothing")
    chosen = connector("sink", "dlt")
    options = chosen.options(destination="nix", dataset="d", table="t")
    with pytest.raises(SinkError, match=r"dlt nix d\.t: .*nix"):
        chosen.made(options, pipeline="p", stage="out", root=tmp_path).open(None)
