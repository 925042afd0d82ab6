"""What `rsq-pipe plan` draws of a changed file."""

from __future__ import annotations

from rich.console import Console

from rsq_pipe.cli.plan import drawn_stages
from rsq_pipe.engine.changes.change import Plan, StageChange
from rsq_pipe.engine.changes.past import Holding


def drawn(*changes: StageChange, width: int = 120) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(drawn_stages(Plan("p", ran=True, kept=True, stages=changes)))
    return [" ".join(line.split()) for line in capture.get().splitlines()[1:]]


def test_a_renamed_stage_is_one_line_and_one_change() -> None:
    changes = (
        StageChange("read", "same"),
        StageChange("sluggish", "added"),
        StageChange("extra", "added"),
        StageChange("slow", "renamed", "seems to be 'sluggish' now", heir="sluggish", holds=Holding(dead=2)),
    )

    assert drawn(*changes) == [
        "read same 0 0 0 0",
        "extra added 0 0 0 0",
        "slow renamed: seems to be 'sluggish' now 0 0 0 2",
    ]
    assert str(Plan("p", ran=True, kept=True, stages=changes)) == "1 added, 1 renamed"


def test_a_position_is_how_far_a_file_is_read_or_written_and_of_other_stages_nothing() -> None:
    read = Holding(positions={"in.jsonl": "53:2:140ed16a"}, placed=3)
    write = Holding(positions={"out.jsonl": "12|4096:00ff|x"}, placed=1)
    other = Holding(positions={"table": "somewhere"}, placed=1)
    between = Holding(last={"{p}:read": "1795744498671-0"})

    assert drawn(
        StageChange("read", "same", holds=read),
        StageChange("write", "same", holds=write),
        StageChange("store", "same", holds=other),
        StageChange("calc", "same", holds=between),
    ) == [
        "read same 0 0 0 0 in.jsonl at byte 53 and 2 more",
        "write same 0 0 0 0 out.jsonl at byte 4,096",
        "store same 0 0 0 0 table",
        "calc same 0 0 0 0",
    ]


def test_on_a_narrow_screen_a_position_goes_on_in_the_next_line_and_no_number_is_cut() -> None:
    place = "/srv/shop/data/2026/orders-of-all-shops.jsonl"
    read = Holding(positions={place: "12345678:2:140ed16a"}, placed=1, dead=1_234_567)

    first, *more = drawn(StageChange("read", "same", holds=read), width=60)

    assert first.startswith("read same 0 0 0 1,234,567 ")
    assert "".join([first.rpartition(" ")[2], *more]).endswith("12,345,678")
