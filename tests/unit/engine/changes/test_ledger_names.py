"""What ledgers of sinks are called after renames."""

from __future__ import annotations

from rsq_pipe.engine.changes.ledger_names import after_rename, ledger_field, ledger_stage


def test_a_ledger_keeps_its_first_name_and_the_old_name_of_its_sink_gets_another() -> None:
    names = after_rename({}, "out", "write")
    assert names == {"write": "out", "out": "out_R1"}

    names |= after_rename(names, "write", "last")
    assert (names["last"], names["write"], names["out"]) == ("out", "write_R1", "out_R1")


def test_no_two_sinks_have_one_ledger_however_often_they_are_renamed() -> None:
    names: dict[str, str] = {}
    for old, new in (("a", "b"), ("a", "c"), ("b", "a"), ("a", "d"), ("c", "b"), ("b", "a"), ("d", "b")):
        names |= after_rename(names, old, new)
        assert len(set(names.values())) == len(names), names


def test_a_field_names_its_stage_and_others_name_none() -> None:
    assert ledger_stage(ledger_field("out")) == "out"
    assert [ledger_stage(field) for field in ("ledger:in", "position:out:name", "out:in", "ledger")] == [
        ""
    ] * 4
