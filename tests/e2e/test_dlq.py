"""`rsq-pipe dlq` as a process: from a run with bad records to an empty queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.dlq_shop import FILL, Shop, on_one_server, one_in_a_hundred_failed
from tests.support.server import StreamServer


@pytest.fixture
def shop(server: StreamServer, name: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop", name, server)


@pytest.fixture
def failed(shop: Shop) -> Shop:
    return one_in_a_hundred_failed(shop)


@pytest.fixture(scope="module")
def looked_at(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """What `failed` is, for the tests that change nothing."""
    return one_in_a_hundred_failed(Shop(tmp_path_factory.mktemp("dlq") / "shop", "t-looked-at", server))


def test_one_in_a_hundred_fails_is_looked_at_mended_replayed_and_reaches_its_sink(failed: Shop) -> None:
    (group,) = failed.documents("list")
    (shown,) = failed.documents("show", group["example"])
    replayed = failed.dlq("replay", "--set", "price=7", "--yes")
    again = failed.run()

    assert group | {"first": "", "last": ""} == {
        "stage": "price",
        "reason": "handler_error",
        "error_type": "ValueError",
        "message": "order # has no price",
        "count": 10,
        "first": "",
        "last": "",
        "example": group["example"],
    }
    assert shown["payload"] == {"n": 903, "price": None}
    assert shown["rid"] == "read:in.jsonl:1000"
    assert shown["attempts"] == 3
    assert "10 dead letters replayed (price 10)" in replayed.stdout
    assert (replayed.returncode, again.returncode) == (0, 0)
    assert failed.numbers() == list(range(1000))
    assert failed.lines()[-1] == {"n": 903, "price": 7, "total": 14}
    assert failed.documents("list") == []


def test_a_replayed_record_keeps_its_record_id(failed: Shop) -> None:
    before = {shown["rid"] for shown in failed.documents("show")}

    failed.dlq("replay", "--yes")
    failed.run()

    assert {shown["rid"] for shown in failed.documents("show")} == before


@on_one_server
def test_a_list_for_people_has_a_line_per_cause(looked_at: Shop) -> None:
    done = looked_at.dlq("list")

    assert done.returncode == 0
    assert "price" in done.stdout
    assert "ValueError: order # has no price" in done.stdout
    assert "10 dead letters" in done.stdout


@on_one_server
def test_show_prints_payload_headers_error_and_traceback(looked_at: Shop) -> None:
    done = looked_at.dlq("show", "read:in.jsonl:991")

    assert done.returncode == 0
    for part in ("rid: read:in.jsonl:991", '"n": 3,', "ValueError: order 3 has no price", "handlers.py"):
        assert part in done.stdout


@on_one_server
def test_show_links_the_trace(shop: Shop) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    shop.records([1], price=1)
    shop.run()
    shop.redis("XADD", f"{{{shop.pipeline}}}:price:dlq", "*", "data", "{}", "rsq-rid", "r")
    shop.redis(
        *("XADD", f"{{{shop.pipeline}}}:price:dlq", "*", "data", "{}"),
        *("traceparent", f"00-{trace}-b7ad6b7169203331-01"),
    )

    assert f"http://jaeger:16686/trace/{trace}" in shop.dlq("show").stdout


@on_one_server
def test_show_prints_twenty_of_many_and_says_how_to_see_more(shop: Shop) -> None:
    shop.records([1], price=1)
    shop.run()
    key, meta = f"{{{shop.pipeline}}}:price:dlq", f"{{{shop.pipeline}}}:meta"
    shop.redis("EVAL", FILL, "2", key, meta, "100", "")

    few, forty = shop.dlq("show"), shop.dlq("show", "--limit", "40")
    one, all_of_them = shop.dlq("show", "read:70"), shop.dlq("show", "--json")

    assert few.stdout.count("  record  ") == 20
    assert "there are more, of 100 dead letters in all" in few.stderr
    assert forty.stdout.count("  record  ") == 40
    assert (forty.stderr, one.stderr) == ("", "")
    assert one.stdout.count("  record  ") == 1
    assert len(all_of_them.stdout.splitlines()) == 100


@on_one_server
def test_nothing_in_a_dead_letter_reaches_the_terminal_as_a_command(shop: Shop) -> None:
    shop.records([1], price=1)
    shop.run()
    evil = "\x1b]0;owned\x07\x9b31m\u202e[bold red]\r"
    key = f"{{{shop.pipeline}}}:price:dlq"
    shop.redis(
        *("XADD", key, "*", "data", evil, evil, evil, "rsq-rid", evil, "rsq-dlq-reason", evil),
        *("rsq-dlq-error", f"{evil}: {evil}", "rsq-dlq-traceback", f"{evil}\n{evil}", "rsq-dlq-entry", evil),
    )

    for verb in (
        "list",
        "show",
        "replay --dry-run",
        "purge --dry-run",
        "export",
        "list --json",
        "show --json",
    ):
        name, *words = verb.split()
        done = shop.dlq(name, *words)
        assert done.returncode == 0
        unclean = [c for c in done.stdout + done.stderr if not c.isprintable() and c != "\n"]
        assert unclean == [], verb
    assert "[bold red]" in shop.dlq("show").stdout


@on_one_server
def test_without_a_terminal_replay_and_purge_want_a_yes(looked_at: Shop) -> None:
    for verb in ("replay", "purge"):
        done = looked_at.dlq(verb)
        assert done.returncode == 2
        assert "add --yes, or --dry-run" in done.stderr
    assert looked_at.length("price:dlq") == 10


@on_one_server
def test_a_dry_run_does_nothing(looked_at: Shop) -> None:
    for verb in ("replay", "purge"):
        done = looked_at.dlq(verb, "--dry-run")
        assert done.returncode == 0
        assert "10 dead letters would be" in done.stdout
    assert looked_at.length("price:dlq") == 10


def test_purge_deletes_what_is_chosen_and_says_how_many(failed: Shop) -> None:
    documents = failed.documents("purge", "--where", "n < 500", "--yes")

    assert documents == [{"stage": "price", "planned": 5, "deleted": 5, "held": 0, "gone": 0, "missing": 0}]
    assert failed.length("price:dlq") == 5
