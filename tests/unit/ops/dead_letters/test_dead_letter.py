"""What a dead letter says of itself, and what is sent back of it."""

from __future__ import annotations

import pytest

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.streams.entry import RawEntry
from tests.unit.ops.dead_letter_entries import failed, letter

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def sent_back(dead: DeadLetter, data: bytes | None = None) -> dict[str, str]:
    fields = [item.decode() if isinstance(item, bytes) else item for item in dead.revived(data)]
    return dict(zip(fields[::2], fields[1::2], strict=True))


def test_what_goes_back_is_the_record_without_its_failure() -> None:
    dead = letter(b'{"a":1}', rid="read:1", tenant="x", attempts="2", dlq_reason="r", dlq_at="1")

    assert sent_back(dead) == {
        "data": '{"a":1}',
        "rsq-rid": "read:1",
        "tenant": "x",
        "rsq-replay": "1700000000000-5",
    }


def test_bytes_that_are_no_text_go_back_untouched() -> None:
    dead = DeadLetter("s", RawEntry("k", "1-0", [b"data", b"\xff\x00", b"rsq-rid", b"r", b"odd", b"\xfe"]))

    assert dead.revived()[:-2] == [b"data", b"\xff\x00", b"rsq-rid", b"r", b"odd", b"\xfe"]
    assert dead.revived()[-2:] == ["rsq-replay", "1-0"]


def test_mended_bytes_take_the_place_of_the_old_ones() -> None:
    assert sent_back(letter(b"old", rid="r"), b"new") == {
        "data": "new",
        "rsq-rid": "r",
        "rsq-replay": "1700000000000-5",
    }
    assert sent_back(letter(None, rid="r"), b"new") == {
        "data": "new",
        "rsq-rid": "r",
        "rsq-replay": "1700000000000-5",
    }


def test_the_old_trace_is_linked_and_the_trace_context_kept() -> None:
    dead = letter(rid="r", traceparent=TRACEPARENT, replay_link="00-older")

    assert sent_back(dead)["traceparent"] == TRACEPARENT
    assert sent_back(dead)["rsq-replay-link"] == TRACEPARENT


@pytest.mark.parametrize(
    "broken", ["", "00-xyz", TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)]
)
def test_a_broken_trace_context_is_not_linked(broken: str) -> None:
    dead = letter(rid="r", traceparent=broken)

    assert dead.trace_id == ""
    assert "rsq-replay-link" not in sent_back(dead)


def test_a_record_from_outside_without_an_id_gets_that_of_the_entry_that_failed() -> None:
    dead = letter(dlq_entry="orders-in/17-0")

    assert dead.rid == "orders-in:17-0"
    assert sent_back(dead)["rsq-rid"] == "orders-in:17-0"


def test_a_dead_letter_with_nothing_in_it_sends_nothing_back() -> None:
    assert letter(None, dlq_reason="decode_error").revived() == []


def test_type_and_message_are_told_apart_where_something_was_raised() -> None:
    dead = failed("no price: none at all")

    assert (dead.error_type, dead.message) == ("ValueError", "no price: none at all")


def test_a_sentence_has_no_type() -> None:
    dead = letter(dlq_error="total: too large", dlq_traceback="")

    assert (dead.error_type, dead.message) == ("", "total: too large")


@pytest.mark.parametrize(
    ("at", "year"), [("1700000000.5", 2023), ("", 2023), ("nan", 2023), ("1e300", 2023), ("soon", 2023)]
)
def test_the_time_is_the_entrys_where_nobody_wrote_it_down(at: str, year: int) -> None:
    assert letter(dlq_at=at).at.year == year


def test_an_entry_id_beyond_the_calendar_is_no_error() -> None:
    assert letter(entry_id="18446744073709551615-0").at.year == 1970


@pytest.mark.parametrize("attempts", ["", "-1", "many", "9" * 5000, "²"])
def test_attempts_that_are_no_number_count_as_none(attempts: str) -> None:
    assert letter(dlq_attempts=attempts).attempts == 0


def test_a_dead_letter_of_the_release_before_is_read_and_sent_back_as_it_was_meant() -> None:
    old = {"rid": "read:1", "tenant": "x", "attempts": "2", "dlq-reason": "r", "dlq-error": "no"}
    fields = [item.encode() for pair in old.items() for item in pair]
    dead = DeadLetter("price", RawEntry("{shop}:price:dlq", "1-0", [b"data", b"{}", *fields]))

    assert (dead.rid, dead.reason, dead.error) == ("read:1", "r", "no")
    assert sent_back(dead) == {"data": "{}", "rsq-rid": "read:1", "tenant": "x", "rsq-replay": "1-0"}


def test_a_users_header_goes_back_whatever_it_is_called() -> None:
    fields = [b"data", b"{}", b"rsq-rid", b"clicks:1-0", b"attempts", b"7", b"dlq-note", b"x"]
    dead = DeadLetter("price", RawEntry("{shop}:price:dlq", "1-0", [*fields, b"rsq-dlq-reason", b"r"]))

    assert sent_back(dead) == {
        "data": "{}",
        "rsq-rid": "clicks:1-0",
        "attempts": "7",
        "dlq-note": "x",
        "rsq-replay": "1-0",
    }
