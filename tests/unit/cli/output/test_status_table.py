"""A pipeline's status on wide screens and narrow ones."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.status_table import status_table
from rsq_pipe.ops.bounds import Breach
from rsq_pipe.ops.memories import StageMemory
from rsq_pipe.ops.stage_status import StagePause, StageStatus
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.ops.windows import StageWindows
from rsq_pipe.streams.memory import Memory

ZERO = dict.fromkeys(("in", "out", "dropped", "retried", "dead"), 0)
READ = StageStatus(
    *("read", "source", "ok", 0, 0, 0, None, None, 0, 2, 0, 0), counters={**ZERO, "out": 1_000_000}
)
VALIDATE = StageStatus(
    *("validate_addresses", "call", "ok", 12_345, 12_345, 200, 7_500.0, 3.0, 1, 1_234, 4, 1),
    counters={**ZERO, "in": 987_655},
    rate=1_090.4,
)
STATUS = PipelineStatus(
    *("orders", "unix:///srv/.rsq/redis.sock", 0.0),
    ran=True,
    changed=False,
    runs=("a",),
    stages=(READ, VALIDATE),
)
FACTS = ["lag 12,345", "pending 200", "oldest 2h 5m", "retry 1", "dead 1,234", "consumers 4, 1 gone"]
FACTS += ["records/s 1,090", "records 987,655"]


def shown(width: int, status: PipelineStatus = STATUS) -> list[str]:
    screen = Console(file=io.StringIO(), width=width)
    breach = Breach("max-dlq", "read", 2, 1, "stage 'read': 2 dead letters")
    screen.print(status_table(status, [breach], spec="orders.yaml"))
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue().splitlines()


def test_where_there_is_room_a_stage_is_a_line() -> None:
    lines = shown(160)

    first = [line.split()[0] for line in lines]
    assert first == ["orders", "stage", "read", "validate_addresses", "validate_addresses:", "!"]
    row = " ".join(lines[3].split())
    assert row == "validate_addresses 12,345 200 2h 5m 1 1,234 4, 1 gone 1,090 987,655"


def test_a_slow_stage_shows_a_rate_and_its_one_key_in_the_singular() -> None:
    slow = replace(VALIDATE, rate=0.33, remembers=StageMemory(keys=1, max_keys=10, evicted=0))
    lines = shown(160, replace(STATUS, stages=(READ, slow)))

    assert lines[3].split()[-2:] == ["0.33", "987,655"]
    assert "validate_addresses remembers 1 key of at most 10" in lines


@pytest.mark.parametrize(
    ("gone", "who"),
    [(1, "1 consumer is gone and left records"), (2, "2 consumers are gone and left records")],
)
def test_what_becomes_of_the_records_of_consumers_that_are_gone_is_told(gone: int, who: str) -> None:
    stages = (READ, replace(VALIDATE, gone=gone))

    fate = "others take them over after `reclaim: idle`, the next run on that machine at once"
    assert f"validate_addresses: {who} in flight; {fate}" in shown(160, replace(STATUS, stages=stages))


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_where_there_is_none_a_stage_is_a_paragraph_of_named_facts(width: int) -> None:
    lines = shown(width)

    assert all(len(line) <= width for line in lines)
    facts = lines[lines.index(next(line for line in lines if line.strip() == "validate_addresses")) :]
    for fact in FACTS:
        assert sum(fact in line for line in facts) == 1, f"{fact!r} is not whole in {facts}"


def test_on_a_narrow_screen_columns_that_hold_nothing_go_before_the_table_does() -> None:
    rests = replace(
        VALIDATE, lag=0, pending=0, oldest_seconds=None, oldest_pending_seconds=None, gone=0, rate=None
    )
    table = shown(80, replace(STATUS, stages=(READ, rests)))

    assert table[1].split() == ["stage", "lag", "pending", "retry", "dead", "consumers", "records"]
    assert table[3].split() == ["validate_addresses", "0", "0", "1", "1,234", "4", "987,655"]


def test_a_source_has_no_facts_that_it_cannot_have() -> None:
    lines = shown(40)

    paragraph = lines[lines.index(next(line for line in lines if line.strip() == "read")) + 1]
    assert paragraph.split() == ["dead", "2", "records", "1,000,000"]


@pytest.mark.parametrize("width", [40, 160])
def test_a_fused_stage_is_marked(width: int) -> None:
    fused = replace(VALIDATE, name="price", fused="validate")
    lines = shown(width, replace(STATUS, stages=(READ, VALIDATE, fused)))

    assert [line[:13] for line in lines if "(fused)" in line] == ["price (fused)"]
    assert all(len(line) <= width for line in lines)


def test_a_stage_that_is_paused_has_a_line_that_says_why_and_for_how_long() -> None:
    paused = replace(VALIDATE, paused=StagePause("Down: no\nservice", 1_700_000_000.0, 130.2))

    assert "validate_addresses paused for 2m 10s: Down: no\\nservice" in [
        " ".join(line.split()) for line in shown(160, replace(STATUS, stages=(READ, paused)))
    ]


def test_sources_that_a_run_waits_for_come_with_the_command_that_reads_them() -> None:
    (line,) = (one for one in shown(240, replace(STATUS, awaits=("a", "b"))) if "waits for these" in one)

    assert line.endswith(
        "wherever they run: a, b; if none runs, start it with `rsq-pipe run orders.yaml --stage a --stage b`"
    )


LONG = "ConnectionRefusedError: https://stock.example/orders does not answer, as it has not for an hour"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_note_that_is_longer_than_the_screen_goes_on_set_in(width: int) -> None:
    stages = (
        replace(READ, paused=StagePause(LONG, 0.0, 130.2)),
        replace(VALIDATE, paused=StagePause(LONG, 0.0, 130.2)),
    )

    lines = shown(width, replace(STATUS, stages=stages))

    notes = lines[next(at for at, line in enumerate(lines) if " paused for " in line) :]
    assert all(len(line) <= width for line in notes)
    starts = [line.split()[0] for line in notes if not line.startswith("  ")]
    assert starts == ["read", "validate_addresses", "validate_addresses:", "!"]
    assert " ".join(" ".join(notes).split()).count(LONG) == 2


def test_where_there_is_no_terminal_every_stage_and_note_is_a_line() -> None:
    file = io.StringIO()
    stages = (READ, replace(VALIDATE, name="v" * 200, paused=StagePause(LONG * 3, 0.0, 130.2)))

    console_for(file).print(status_table(replace(STATUS, stages=stages)))

    first = [line.split()[0] for line in file.getvalue().splitlines()]
    assert first == ["orders", "stage", "read", "v" * 200, "v" * 200, "v" * 200 + ":"]
    assert all(line == line.rstrip() for line in file.getvalue().splitlines()[:1])


def test_windows_are_told_with_how_far_the_time_of_the_stage_has_come() -> None:
    windows = StageWindows(2, 1_200, "2026-03-01T09:00:00Z", 125.0, "2026-03-01T08:00:00Z")
    waiting = StageWindows(1, 1)
    stages = (replace(READ, name="hourly", windows=windows), replace(READ, name="total", windows=waiting))

    lines = shown(160, replace(STATUS, stages=stages))

    time = "its time has come to 2026-03-01T09:00:00Z, 2m 5s behind"
    assert f"hourly has 2 windows open with 1,200 groups; {time}" in lines
    assert "total holds 1 group until all input has ended" in lines


def test_a_pipeline_with_open_windows_is_not_called_drained() -> None:
    count = replace(VALIDATE, lag=0, pending=0, retry=0, windows=StageWindows(0, 0))
    rests = replace(STATUS, stages=(READ, count))
    waits = replace(STATUS, stages=(READ, replace(count, windows=StageWindows(2, 7))))

    assert shown(160, rests)[0].endswith("1 process running, drained")
    assert shown(160, waits)[0].endswith("1 process running")


def test_a_stage_that_was_paused_by_hand_is_shown_with_the_command_that_resumes_it() -> None:
    held = replace(READ, paused=StagePause("by hand, ada@here", 0.0, 130.2, held=True))

    lines = shown(160, replace(STATUS, stages=(held,)))

    said = f"{READ.name} paused for 2m 10s until it is resumed: by hand, ada@here"
    assert f"{said}; rsq-pipe resume orders.yaml {READ.name}" in lines


def test_where_the_server_takes_no_writes_it_is_not_known_whether_anything_runs() -> None:
    rests = replace(VALIDATE, lag=0, pending=0, retry=0)
    refused = replace(STATUS, stages=(READ, rests), runs=(), refusal="READONLY it is a replica of h:1")

    assert shown(160, refused)[0].endswith(": no process can show that it runs")


def test_a_pipeline_with_a_stage_that_pauses_is_not_called_drained_without_a_word() -> None:
    rests = replace(VALIDATE, lag=0, pending=0, retry=0)
    fails = replace(READ, paused=StagePause("cannot go on with a file; the others are read", 0.0, 3.0))

    first = shown(160, replace(STATUS, stages=(fails, rests)))[0]

    assert first.endswith("1 process running, what it has read is drained, but read pauses")


def test_a_server_that_evicts_keys_is_told_of_unless_nothing_limits_it() -> None:
    def told(memory: Memory) -> bool:
        return "evicts keys" in "\n".join(shown(300, replace(STATUS, memory=memory)))

    assert told(Memory(used=10, limit=100, evicts=True))
    assert not told(Memory(used=10, limit=0, evicts=True))
    assert not told(Memory(used=10, limit=100, evicts=False))
