"""A record has one id in every attempt, and only believable headers."""

from __future__ import annotations

from rsq_pipe.runtime.identity import Identity
from rsq_pipe.spec.graph import StreamRef
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import headers_of
from tests.unit.runtime.given import graph, source, stage

NONE: dict[str, str] = {}
OF_PRICE = Identity(graph(source(), stage()), stage())
OF_JOIN = Identity(
    graph(source(), stage("a"), stage("b"), stage("join", inputs=(StreamRef("a"), StreamRef("b")))),
    stage("join", inputs=(StreamRef("a"), StreamRef("b"))),
)


def read(stream: str, given: dict[str, str] = NONE, /, by: Identity = OF_PRICE) -> dict[str, str]:
    """The headers of a record, read with these from entry 7-0, once it is identified."""
    (message,) = by.identified([StreamMessage("7-0", {}, 1, given, stream, b"{}")])
    assert message.rid == message.headers["rsq-rid"]
    return dict(message.headers)


def test_a_record_from_outside_is_named_after_its_stream_and_entry() -> None:
    assert read("clicks") == {"rsq-rid": "clicks:7-0"}
    assert read("views") == {"rsq-rid": "views:7-0"}


def test_a_record_keeps_its_id_when_it_comes_back() -> None:
    first = read("clicks", {"colour": "red"})

    again = read("{orders}:price:again", {**first, "rsq-attempts": "1"})

    assert again == {"rsq-rid": "clicks:7-0", "rsq-attempts": "1", "colour": "red"}


def test_an_outsider_may_name_its_records_and_nothing_else() -> None:
    theirs = {"attempts": "7", "rid": "17"}

    named = read("clicks", {**theirs, "rsq-rid": "shop:1", "rsq-attempts": "7", "rsq-replay-link": "00-x"})

    assert named == {"rsq-rid": "shop:1", **theirs}
    assert read("clicks", {"rsq-rid": ""}) == {"rsq-rid": "clicks:7-0"}


def test_attempts_are_those_of_this_stage() -> None:
    assert read("{orders}:read", {"rsq-rid": "read:1", "rsq-attempts": "2"}) == {"rsq-rid": "read:1"}


def test_branches_of_one_record_differ_in_every_attempt() -> None:
    ways = [read(f"{{orders}}:{name}", {"rsq-rid": "read:1"}, by=OF_JOIN) for name in ("a", "b")]

    assert ways == [{"rsq-rid": "read:1@a"}, {"rsq-rid": "read:1@b"}]
    again = read("{orders}:join:again", {**ways[0], "rsq-attempts": "1"}, by=OF_JOIN)
    assert again == {"rsq-rid": "read:1@a", "rsq-attempts": "1"}


def test_what_the_release_before_wrote_is_read_as_it_was_meant() -> None:
    old = {"rid": "read:1", "attempts": "2", "replay-link": "00-x"}

    assert read("{orders}:read", {**old, "colour": "red"}) == {"rsq-rid": "read:1", "colour": "red"}
    assert read("{orders}:price:again", old) == {
        "rsq-rid": "read:1",
        "rsq-attempts": "2",
        "rsq-replay-link": "00-x",
    }
    assert read("{orders}:read:dlq", {**old, "dlq-error": "E: no"}) == {
        "rsq-rid": "read:1",
        "rsq-dlq-error": "E: no",
    }


def test_the_dead_letter_of_an_entry_no_handler_saw_names_the_record() -> None:
    bare = Output("dlq", [b"data", b"{", b"rid", b"17", "rsq-dlq-reason", "decode_error"])

    letter = OF_PRICE.letter("clicks", "7-0", bare)

    assert headers_of(letter.fields) == {
        "rid": "17",
        "rsq-dlq-reason": "decode_error",
        "rsq-rid": "clicks:7-0",
    }
    branch = OF_JOIN.letter("{orders}:a", "7-0", Output("dlq", [b"data", b"{", b"rsq-rid", b"read:1"]))
    assert headers_of(branch.fields) == {"rsq-rid": "read:1@a"}
