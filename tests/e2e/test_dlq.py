"""`rsq-pipe dlq` as a process: from a run with bad records to an empty queue, and what stops on the way."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.guarded_server import least
from tests.support.preloaded import ANEW, COMMAND, PreloadedProcess
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

MANY = 100_000
MEMORY = 16 * 1024  # KiB that a list of many may take beyond a list of few
FILL = """
redis.call('HSET', KEYS[2], 'price:dead', 1)
for i = 1, ARGV[1] do
  redis.call('XADD', KEYS[1], '*', 'data', '{"n":' .. i .. '}', 'rsq-rid', 'read:' .. i,
    'rsq-dlq-reason', 'handler_error', 'rsq-dlq-error', 'ValueError: order ' .. i .. ' has no price',
    'rsq-dlq-traceback', ARGV[2], 'rsq-dlq-at', '1700000000.0')
end
"""

# What is printed, and what is refused, does not depend on the server.
on_one_server = pytest.mark.parametrize("server", ["valkey"], indirect=True)

Run = subprocess.CompletedProcess[str]


class Shop(Project):
    """
    Hold a pipeline that fails orders without a price, and run commands on it.

    Args:
        root: An empty folder.
        pipeline: The pipeline's name.
        server: Where it runs.
    """

    def __init__(self, root: Path, pipeline: str, server: StreamServer) -> None:
        super().__init__(root, pipeline)
        self.server = server
        self.spec(
            """
            read: {source: {type: jsonl, path: in.jsonl}}
            price: {call: 'handlers:price'}
            out: {sink: {type: jsonl, path: out.jsonl}}
            """,
            top='telemetry: {ui: "http://jaeger:16686"}',
        )
        self.handlers(
            """
            def price(order: dict) -> dict:
                if order["price"] is None:
                    raise ValueError(f"order {order['n']} has no price")
                return {**order, "total": 2 * order["price"]}
            """
        )

    def start(self, *words: str, anew: bool = False, **settings: Any) -> subprocess.Popen[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("RSQ_", "OTEL_"))}
        least_words, environ = least(
            words, environ | {"RSQ_PIPE_REDIS": self.server.url, ANEW: str(int(anew))}
        )
        return PreloadedProcess(
            [COMMAND, *least_words],
            cwd=self.root,
            env=environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **settings,
        )

    def do(self, *words: str) -> Run:
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def run(self) -> Run:
        return self.do("run", "pipeline.yaml")

    def dlq(self, verb: str, *words: str) -> Run:
        return self.do("dlq", verb, "pipeline.yaml", *words)

    def documents(self, verb: str, *words: str) -> list[dict[str, Any]]:
        """Run a `dlq` command with --json and read what it prints."""
        done = self.dlq(verb, *words, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def redis(self, *words: str | int) -> Any:
        """Ask the server, with nothing of ours in between."""
        with redis.Redis(unix_socket_path=str(self.server.socket), decode_responses=True) as client:
            return client.execute_command(*words)

    def length(self, stream: str) -> int:
        return int(self.redis("XLEN", f"{{{self.pipeline}}}:{stream}"))


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


def one_in_a_hundred_failed(shop: Shop) -> Shop:
    """Run 1,000 orders of which 1 % have no price."""
    shop.records((n for n in range(1000) if n % 100 != 3), price=5)
    shop.records((n for n in range(1000) if n % 100 == 3), price=None)
    assert shop.run().returncode == 4
    return shop


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
def test_a_named_dead_letter_that_other_options_leave_out_is_not_missing(looked_at: Shop) -> None:
    exported = looked_at.dlq("export").stdout
    (looked_at.root / "ten.jsonl").write_text(exported)

    for words in (["--where", "n < 0"], ["--stage", "read"], ["--since", "2999-01-01"]):
        done = looked_at.dlq("replay", "--edit", "ten.jsonl", "--yes", *words)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert "0 dead letters replayed\n" in done.stdout


@on_one_server
@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_a_dead_letter_that_is_named_and_nowhere_is_a_failure(looked_at: Shop, verb: str) -> None:
    for words in (["--id", "1-1"], ["--id", "price/1-1", "--dry-run"], ["--id", "nowhere/1-1"]):
        done = looked_at.dlq(verb, "--yes", *words)
        assert done.returncode == 1
        assert "1 of the dead letters named is not in the queue (any more)" in done.stderr


@on_one_server
def test_a_choice_that_nothing_matches_is_told_from_an_empty_queue(looked_at: Shop) -> None:
    for words in (["--id", "1-1"], ["--where", "n < 0"], ["--since", "2999-01-01"]):
        for verb in ("list", "show"):
            done = looked_at.dlq(verb, *words)
            said = f"{looked_at.pipeline}: no dead letter matches, of 10\n"
            assert (done.returncode, done.stdout) == (0, said)
    assert looked_at.dlq("list", "--stage", "read").stdout.endswith(": no dead letters of stage read\n")


@on_one_server
def test_raw_export_gives_the_bytes_as_they_are(shop: Shop) -> None:
    shop.records([1], price=1)
    shop.run()
    entry = shop.redis(
        "XADD", f"{{{shop.pipeline}}}:price:dlq", "*", "data", "not json \u00e9", "rsq-rid", "r"
    )

    assert shop.dlq("export", "--raw", "--id", entry).stdout == "not json \u00e9"


@on_one_server
def test_a_pipeline_is_named_by_its_name_where_the_server_is_given(looked_at: Shop) -> None:
    done = looked_at.do("dlq", "list", looked_at.pipeline, "--redis", looked_at.server.url, "--json")

    assert json.loads(done.stdout)["count"] == 10


@on_one_server
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["list", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["list", "Not a name"], 2, "neither a pipeline's file nor a pipeline's name"),
        (["list", "pipeline.yaml", "--redis", "redis://127.0.0.1:1"], 3, "not reachable"),
        (["list", "pipeline.yaml", "--where", "n.x > 1"], 2, "column 1"),
        (["list", "pipeline.yaml", "--since", "yesterday"], 2, "neither a duration"),
        (["replay", "pipeline.yaml", "--yes", "--set", "price"], 2, "write field=value"),
        (["replay", "pipeline.yaml", "--yes", "--rate", "0/s"], 2, "more than nothing"),
        (["replay", "pipeline.yaml", "--yes", "--id", "x"], 2, "is not an entry id"),
        (["replay", "pipeline.yaml", "--all"], 2, "all dead letters are meant where no --stage"),
        (["export", "pipeline.yaml", "--raw"], 2, "name it with --id"),
        (["export", "pipeline.yaml"], 1, "never ran"),
    ],
)
def test_mistakes_are_told_with_their_mend_and_an_exit_code(
    shop: Shop, words: list[str], code: int, says: str
) -> None:
    done = shop.do("dlq", *words)

    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_name_without_a_server_is_asked_for_one(tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RSQ_")}

    done = subprocess.run(
        [COMMAND, "dlq", "list", "shop"], cwd=tmp_path, env=environ, capture_output=True, check=False
    )

    assert done.returncode == 2
    assert b"--redis URL" in done.stderr


@pytest.fixture
def many(shop: Shop) -> Callable[[int], Shop]:
    """Fill the queue of `price` with dead letters."""

    def fill(number: int) -> Shop:
        shop.records([0], price=1)
        shop.run()
        key = f"{{{shop.pipeline}}}:price:dlq"
        shop.redis("EVAL", FILL, 2, key, f"{{{shop.pipeline}}}:meta", number, "x" * 200)
        return shop

    return fill


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are killed when the test is over."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_a_hundred_thousand_dead_letters_are_listed_in_bounded_memory(many: Callable[[int], Shop]) -> None:
    shop = many(100)
    few, _ = listed(shop)
    many(MANY)

    more, total = listed(shop)

    assert total == MANY + 100
    assert more - few < MEMORY


def listed(shop: Shop) -> tuple[int, int]:
    """List, and return the process's largest memory in KiB, and how many dead letters it found."""
    process = shop.start("dlq", "list", "pipeline.yaml", "--json", anew=True)
    assert process.stdout is not None
    assert process.stderr is not None
    total = sum(json.loads(line)["count"] for line in process.stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    assert process.returncode == 0
    return usage.ru_maxrss, total


def test_a_replay_that_is_killed_loses_and_doubles_nothing(
    many: Callable[[int], Shop], ended: list[subprocess.Popen[str]]
) -> None:
    shop = many(3000)
    process = shop.start("dlq", "replay", "pipeline.yaml", "--yes", "--rate", "1000/s")
    ended.append(process)
    eventually(lambda: shop.length("price:again") > 200, what="the replay is in its middle")

    process.kill()
    process.wait(timeout=PATIENCE)
    moved = shop.length("price:again")
    (rest,) = shop.documents("replay", "--yes")

    assert 200 < moved < 3000
    assert rest["moved"] == 3000 - moved
    assert shop.length("price:dlq") == 0
    assert rids(shop) == {f"read:{n}" for n in range(1, 3001)}
    assert shop.length("price:again") == 3000


@on_one_server
def test_an_interrupted_replay_says_how_many_it_moved(
    many: Callable[[int], Shop], ended: list[subprocess.Popen[str]]
) -> None:
    shop = many(3000)
    process = shop.start("dlq", "replay", "pipeline.yaml", "--yes", "--rate", "1000/s")
    ended.append(process)
    eventually(lambda: shop.length("price:again") > 200, what="the replay is in its middle")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert f"{shop.length('price:again'):,} dead letters replayed" in out
    assert "the same command goes on" in err


def rids(shop: Shop) -> set[str]:
    return {
        fields["rsq-rid"] for _, fields in shop.redis("XRANGE", f"{{{shop.pipeline}}}:price:again", "-", "+")
    }
