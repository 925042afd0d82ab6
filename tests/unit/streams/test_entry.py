"""Replies of the server are taken apart as every version writes them."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.dead_letter import MAX_ERROR, MAX_TRACEBACK, dead_letter
from rsq_pipe.streams.decoding import decoded
from rsq_pipe.streams.entry import RawEntry, fields_of, read_reply
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.redelivery import Claim
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.streams.stats import group_info


def test_the_data_field_is_found_wherever_it_stands() -> None:
    assert RawEntry("s", "1-0", [b"data", b"x", b"rid", b"r"]).data == b"x"
    assert RawEntry("s", "1-0", [b"rid", b"r", b"data", b"x"]).data == b"x"
    assert RawEntry("s", "1-0", [b"rid", b"data"]).data == b""
    assert not RawEntry("s", "1-0", [b"rid", b"data"]).has_data


def test_every_other_field_is_a_header() -> None:
    entry = RawEntry("s", "1-0", [b"rid", b"r", b"data", b"x", b"bad", b"\xff"])

    assert entry.headers == {"rid": "r", "bad": "\\xff"}


def test_fields_are_data_first_then_headers() -> None:
    assert fields_of(b"x", {"rid": "r"}) == ["data", b"x", "rid", "r"]


@pytest.mark.parametrize("reply", [None, [], {}])
def test_a_read_that_timed_out_is_no_entries(reply: object) -> None:
    assert read_reply(reply) == ([], 0, 0)


def test_entries_deleted_between_delivery_and_reading_are_left_out() -> None:
    reply = [[b"s", [[b"1-0", None], [b"2-0", [b"data", b"x"]]]]]

    assert [entry.id for entry in read_reply(reply).entries] == ["2-0"]


def test_a_reply_tells_how_many_records_and_bytes_it_has_brought() -> None:
    pack, huge = [b"rsq-pack", b"500", b"data", b"123456"], [b"rsq-pack", b"9" * 20, b"data", b"1"]
    single = [[b"2-0", [b"data", b"12"]], [b"3-0", [b"data", b"12", b"rid", b"a.1"]]]
    reply = [[b"s", [[b"1-0", pack], *single]], [b"t", [[b"1-0", huge]]]]

    entries, records, size = read_reply(reply)

    assert [(entry.stream, entry.id, entry.records) for entry in entries] == [
        ("s", "1-0", 500),
        ("s", "2-0", 1),
        ("s", "3-0", 1),
        ("t", "1-0", 1),  # no batch holds so many: what it says is not believed
    ]
    assert (records, size) == (503, 9 + 2 + 5 + 21)


def test_the_three_part_reply_of_xautoclaim_names_the_deleted() -> None:
    assert Claim.of([b"3-0", [b"1-0"], [b"2-0"]]) == Claim("3-0", ["1-0"], ["2-0"])


def test_the_two_part_reply_of_redis_6_2_is_understood() -> None:
    assert Claim.of([b"0-0", [b"1-0", None, b"2-0"]]) == Claim("0-0", ["1-0", "2-0"], [])


def test_a_lag_that_redis_6_does_not_tell_is_unknown() -> None:
    flat = [b"name", b"g", b"consumers", 1, b"pending", 2, b"last-delivered-id", b"1-0"]

    assert group_info(flat).lag is None
    assert group_info([*flat, b"lag", None]).lag is None
    assert group_info([*flat, b"lag", 0]).lag == 0


def test_an_entry_without_data_is_not_an_empty_record() -> None:
    with pytest.raises(DecodeError, match="s/1-0 has no field 'data'"):
        decoded(RawEntry("s", "1-0", [b"n", b"1"]), JsonSerializer())


# Dead letters


def letter(output_fields: object) -> dict[str, str | bytes]:
    assert isinstance(output_fields, list)
    return dict(zip(output_fields[::2], output_fields[1::2], strict=True))


def test_a_dead_letter_keeps_the_bytes_and_says_why() -> None:
    try:
        raise KeyError("customer")
    except KeyError as exc:
        made = dead_letter(
            "dlq",
            RawEntry("s", "1-0", [b"odd", b"\xff", b"data", b"{"]),
            reason="r",
            stage="g",
            error=exc,
            attempts=3,
        )

    fields = letter(made.fields)
    assert made.stream == "dlq"
    assert (fields[b"odd"], fields[b"data"]) == (b"\xff", b"{")  # type: ignore[index]
    assert (fields["rsq-dlq-reason"], fields["rsq-dlq-stage"], fields["rsq-dlq-attempts"]) == ("r", "g", "3")
    assert (fields["rsq-dlq-error"], fields["rsq-dlq-entry"]) == ("KeyError: 'customer'", "s/1-0")
    assert "raise KeyError" in str(fields["rsq-dlq-traceback"])
    assert float(fields["rsq-dlq-at"]) > 0


def test_a_dead_letter_of_a_message_carries_its_raw_bytes_and_headers() -> None:
    message = StreamMessage("1-0", {"n": 1}, headers={"rid": "r"}, stream="s", raw=b'{"n":1}')

    fields = letter(dead_letter("dlq", message, reason="r", stage="g").fields)

    assert (fields["data"], fields["rid"]) == (b'{"n":1}', "r")


def test_a_long_error_is_cut_and_the_end_of_its_traceback_kept() -> None:
    fields = letter(
        dead_letter(
            "d", RawEntry("s", "1-0", []), reason="r", stage="g", error=ValueError("x" * 9_999 + "end")
        ).fields
    )

    assert len(fields["rsq-dlq-error"]) == MAX_ERROR
    assert len(fields["rsq-dlq-traceback"]) == MAX_TRACEBACK
    assert str(fields["rsq-dlq-traceback"]).endswith("end\n")


def test_a_dead_letter_that_fails_again_says_why_it_failed_there_once() -> None:
    first = dead_letter("d", RawEntry("s", "1-0", [b"data", b"x"]), reason="first", stage="a")
    again = RawEntry(
        "d", "2-0", [part if isinstance(part, bytes) else part.encode() for part in first.fields]
    )

    names = dead_letter("dd", again, reason="second", stage="b").fields[::2]

    assert len(names) == len(set(names))
    assert "rsq-dlq-reason" in names
