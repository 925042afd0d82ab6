"""`rsq-pipe dlq export`, and a replay of the file that was corrected."""

from __future__ import annotations

import json
import resource
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.dlq_shop import Shop, on_one_server, one_in_a_hundred_failed
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE


@pytest.fixture
def shop(server: StreamServer, name: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop", name, server)


@pytest.fixture
def failed(shop: Shop) -> Shop:
    return one_in_a_hundred_failed(shop)


@pytest.fixture(scope="module")
def looked_at(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """What `failed` is, for the tests that change nothing."""
    return one_in_a_hundred_failed(
        Shop(tmp_path_factory.mktemp("dlq") / "shop", "t-looked-at-export", server)
    )


def test_an_export_that_was_mended_is_replayed_line_by_line(failed: Shop) -> None:
    with (failed.root / "in.jsonl").open("a") as file:
        file.write('{"n": 1000, "price": \n')
    failed.run()
    assert failed.dlq("export", "--output", "dead.jsonl").returncode == 0
    lines = [json.loads(line) for line in (failed.root / "dead.jsonl").read_text().splitlines()]
    for line in lines:
        line["payload"] = line.get("payload", {"n": 1000}) | {"price": 1}
    chosen = [line for line in lines if line["payload"]["n"] >= 903]
    (failed.root / "mended.jsonl").write_text("".join(json.dumps(line) + "\n" for line in chosen))

    moved = failed.documents("replay", "--edit", "mended.jsonl", "--yes")
    failed.run()

    assert {(one["stage"], one["moved"]) for one in moved} == {("read", 1), ("price", 1)}
    assert [line["n"] for line in failed.lines()[-2:]] in ([903, 1000], [1000, 903])
    assert failed.length("price:dlq") == 9
    assert failed.length("read:dlq") == 0


@on_one_server
def test_an_export_never_writes_over_a_file(looked_at: Shop) -> None:
    (looked_at.root / "dead.jsonl").write_text("precious")

    done = looked_at.dlq("export", "--output", "dead.jsonl")

    assert done.returncode == 2
    assert (looked_at.root / "dead.jsonl").read_text() == "precious"


@on_one_server
def test_an_export_that_does_not_fit_on_the_disk_is_named_and_leaves_nothing_in_the_way(
    looked_at: Shop,
) -> None:
    words = ("dlq", "export", "pipeline.yaml", "--output", "full.jsonl")
    small = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))

    cut_off = looked_at.start(*words, preexec_fn=small)
    said = cut_off.communicate(timeout=PATIENCE)
    again = looked_at.dlq("export", "--output", "full.jsonl")

    assert (cut_off.returncode, said) == (1, ("", "rsq-pipe: full.jsonl cannot be written: File too large\n"))
    assert again.returncode == 0, again.stderr
    assert len((looked_at.root / "full.jsonl").read_text().splitlines()) == 10


@on_one_server
def test_an_export_of_bytes_that_are_not_there_makes_no_file(looked_at: Shop) -> None:
    done = looked_at.dlq("export", "--raw", "--id", "1-1", "--output", "raw.bin")

    assert done.returncode == 1
    assert not (looked_at.root / "raw.bin").exists()


@on_one_server
def test_one_bad_line_in_a_mended_file_and_nothing_is_moved(looked_at: Shop) -> None:
    exported = looked_at.dlq("export").stdout
    (looked_at.root / "mended.jsonl").write_text(exported + "{\n")

    done = looked_at.dlq("replay", "--edit", "mended.jsonl", "--yes")

    assert done.returncode == 2
    assert "mended.jsonl:11" in done.stderr
    assert looked_at.length("price:dlq") == 10


@on_one_server
def test_a_mended_file_that_is_not_utf_8_is_a_mistake_and_named(looked_at: Shop) -> None:
    (looked_at.root / "mended.jsonl").write_text(looked_at.dlq("export").stdout, encoding="utf-16")

    done = looked_at.dlq("replay", "--edit", "mended.jsonl", "--yes")

    assert done.returncode == 2
    assert "mended.jsonl: it is not UTF-8: it holds byte 0xff" in done.stderr
    assert looked_at.length("price:dlq") == 10


@on_one_server
@pytest.mark.parametrize("held", ["", "\n \n"], ids=["empty", "blank"])
def test_a_mended_file_without_a_dead_letter_moves_nothing(looked_at: Shop, held: str) -> None:
    (looked_at.root / "none.jsonl").write_text(held)

    done = looked_at.dlq("replay", "--edit", "none.jsonl", "--yes")

    assert done.returncode == 2
    assert "none.jsonl holds no dead letter" in done.stderr
    assert looked_at.length("price:dlq") == 10


def test_dead_letters_of_a_file_that_were_replayed_before_are_told_of(failed: Shop) -> None:
    failed.dlq("export", "--limit", "4", "--output", "four.jsonl")
    failed.dlq("replay", "--edit", "four.jsonl", "--limit", "3", "--yes")

    rest = failed.dlq("replay", "--edit", "four.jsonl", "--yes")
    again = failed.dlq("replay", "--edit", "four.jsonl", "--yes")
    for_programs = failed.dlq("replay", "--edit", "four.jsonl", "--yes", "--json")

    assert (rest.returncode, again.returncode, for_programs.returncode) == (0, 1, 1)
    assert "1 dead letter replayed" in rest.stdout
    assert "3 of the dead letters named are not in the queue (any more)" in rest.stderr
    assert "0 dead letters replayed\n" in again.stdout
    assert "4 of the dead letters named are not in the queue (any more)" in again.stderr
    (document,) = (json.loads(line) for line in for_programs.stdout.splitlines())
    assert (document["stage"], document["moved"], document["missing"]) == ("price", 0, 4)


@on_one_server
def test_raw_export_gives_the_bytes_as_they_are(shop: Shop) -> None:
    shop.records([1], price=1)
    shop.run()
    entry = shop.redis(
        "XADD", f"{{{shop.pipeline}}}:price:dlq", "*", "data", "not json \u00e9", "rsq-rid", "r"
    )

    assert shop.dlq("export", "--raw", "--id", entry).stdout == "not json \u00e9"
