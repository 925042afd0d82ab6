"""What a `traceparent` is, and what only looks like one."""

from __future__ import annotations

import pytest

from rsq_pipe.telemetry.trace_context import MAX_STATE, TraceContext, names, read, read_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SOUND = f"00-{TRACE}-{SPAN}-01"


def test_context_is_spelt_as_it_was_read() -> None:
    context = read({"traceparent": SOUND, "tracestate": "vendor=1"})

    assert context is not None
    assert context.headers == {"traceparent": SOUND, "tracestate": "vendor=1"}


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)])
def test_only_the_lowest_flag_says_that_a_trace_is_recorded(flags: str, sampled: bool) -> None:
    context = read_parent(f"00-{TRACE}-{SPAN}-{flags}")

    assert context is not None
    assert context.sampled is sampled


def test_later_version_is_read_as_far_as_this_one_goes() -> None:
    context = read_parent(f"42-{TRACE}-{SPAN}-01-what-comes-later")

    assert context is not None
    assert f"{context.trace_id:032x}" == TRACE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        SOUND.upper(),
        SOUND + "-more",
        SOUND + "\n",
        " " + SOUND,
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
        "00-" + "a" * 1_000_000,
    ],
    ids=range(12),
)
def test_anything_else_is_no_context(text: str) -> None:
    assert read_parent(text) is None


@pytest.mark.parametrize("state", ["x" * (MAX_STATE + 1), "a=\x1b[2J", "ключ=1"])
def test_state_that_is_not_sound_is_left_out_and_the_context_kept(state: str) -> None:
    context = read({"traceparent": SOUND, "tracestate": state})

    assert context is not None
    assert context.headers == {"traceparent": SOUND}


def test_time_of_entry_rides_in_the_state_and_the_first_one_stays() -> None:
    context = TraceContext(1, 2, state="vendor=1").entering(1_700_000_000_000).entering(1_800_000_000_000)

    assert context.entered_at == 1_700_000_000_000
    assert context.state == "rsq=1700000000000,vendor=1"


def test_forged_time_of_entry_is_none() -> None:
    assert TraceContext(1, 2, state="rsq=-5").entered_at == 0
    assert TraceContext(1, 2, state="rsq=" + "9" * 400).entered_at == 0


def test_a_log_line_names_a_record_by_no_more_than_the_beginning_of_a_huge_id() -> None:
    named = names("r" * 70_000, {})

    assert len(named["rid"]) < 250
    assert named["rid"].endswith("(70,000 characters)")
