"""A dead letter can be written whatever failed, and says why."""

from __future__ import annotations

import msgpack
import pytest

from rsq_pipe.error_text import full_text
from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.dead_letter import dead_letter, explain
from rsq_pipe.streams.decoding import decoded
from rsq_pipe.streams.entry import MAX_FIELDS, MAX_TOTAL_FIELDS, RawEntry
from rsq_pipe.streams.serializers import JsonSerializer


class UntellableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


def wide(fields: int) -> RawEntry:
    pairs = [(f"h{number}".encode(), b"x") for number in range(fields - 1)]
    return RawEntry("in", "1-0", [b"data", b"{}", *(item for pair in pairs for item in pair)])


def test_an_error_whose_message_raises_is_named_all_the_same() -> None:
    assert full_text(UntellableError()) == "UntellableError: (its message cannot be shown)"
    assert explain("handler_error", UntellableError())["rsq-dlq-error"].startswith("UntellableError")


def test_half_a_surrogate_pair_in_a_message_is_escaped() -> None:
    why = explain("handler_error", ValueError("bad \ud800"))

    assert why["rsq-dlq-error"] == "ValueError: bad \\ud800"
    assert all(value.encode() is not None for value in why.values())


def test_an_entry_of_more_fields_than_can_be_written_is_no_record() -> None:
    assert decoded(wide(MAX_FIELDS), JsonSerializer()).data == {}
    with pytest.raises(DecodeError, match="1,001 fields; the bound is 1,000"):
        decoded(wide(MAX_FIELDS + 1), JsonSerializer())


def test_the_surplus_fields_of_a_dead_letter_are_kept_in_one() -> None:
    entry = wide(5_000)

    letter = dead_letter("dlq", entry, reason="decode_error", stage="s")

    names, values = letter.fields[::2], letter.fields[1::2]
    assert len(names) < MAX_TOTAL_FIELDS + 20
    surplus = values[names.index("rsq-dlq-surplus")]
    assert [*letter.fields[: 2 * MAX_TOTAL_FIELDS], *msgpack.unpackb(surplus)] == entry.fields
