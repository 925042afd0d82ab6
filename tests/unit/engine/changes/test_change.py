"""What a plan says of a changed file is a function of two graphs and of what is held."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from rsq_pipe.engine.changes.change import Plan, compare
from rsq_pipe.engine.changes.last_run import LastRun, LastStage, parse, recall
from rsq_pipe.engine.changes.moves import HandOver, Requeue
from rsq_pipe.engine.changes.past import Holding, Past, Reading

P = "{p}:"


def stage(name: str, *reads: str, verb: str = "map", does: str = "", target: str = "") -> LastStage:
    inputs = tuple(P + key for key in reads)
    return LastStage(name, verb, inputs, {"": P + name}, target, {verb: does or name})


READ = stage("read", verb="source", target="jsonl in.jsonl")
SLOW = stage("slow", "read", verb="call")
ADD = stage("add", "slow")
OUT = stage("out", "add", verb="sink", target="jsonl out.jsonl")
CHAIN = LastRun((READ, SLOW, ADD, OUT), "text")


def past(run: LastRun = CHAIN, *, kept: bool = True, **held: Holding) -> Past:
    """Leave what a run of a graph leaves; `held` are the stages that hold something."""
    readings: dict[tuple[str, str], Reading] = {}
    for one in run.stages:
        again = () if one.verb == "source" else (f"{P}{one.name}:again",)
        for key in (*one.reads, *again):
            holding = held.get(one.name, Holding()) if not key.endswith(":again") else Holding()
            readings[one.name, key] = Reading(one.name, key, holding.lag, holding.pending, "5-0")
    holdings = {one.name: held.get(one.name, Holding()) for one in run.stages}
    return Past(ran=True, last=run, kept=kept, readings=readings, holdings=holdings)


def planned(now: LastRun, before: Past | None = None) -> Plan:
    return compare("p", before or past(), now)


def kinds(found: Plan) -> Mapping[str, str]:
    return {change.stage: change.kind for change in found.stages if change.kind != "same"}


def with_(name: str, other: LastStage | None, run: LastRun = CHAIN) -> LastRun:
    found = (other if one.name == name else one for one in run.stages)
    return LastRun(tuple(one for one in found if one is not None))


RENAMED = LastRun(
    (READ, replace(stage("sluggish", "read", verb="call", does="slow")), stage("add", "sluggish"), OUT)
)
IN_BETWEEN = LastRun((READ, stage("new", "read"), stage("slow", "new", verb="call"), ADD, OUT))
REMOVED = LastRun((READ, stage("add", "read"), OUT))


def test_the_same_graph_is_no_change() -> None:
    assert kinds(planned(CHAIN)) == {}
    assert planned(CHAIN).moves == ()


def test_a_renamed_stage_is_recognised_by_what_it_does_and_where_it_stands() -> None:
    assert kinds(planned(RENAMED)) == {"sluggish": "added", "slow": "renamed"}


def test_the_same_work_is_enough_where_all_around_it_changed() -> None:
    around = LastRun(
        (
            replace(READ, name="load", writes={"": f"{P}load"}),
            stage("pre", "load"),
            replace(stage("unlike", "pre", verb="call"), digests=SLOW.digests),
            stage("mid", "unlike"),
            stage("add", "mid"),
            OUT,
        )
    )

    assert kinds(planned(around))["slow"] == "renamed"


def test_two_stages_renamed_at_once_are_told_apart() -> None:
    now = LastRun((READ, stage("b", "read", verb="call", does="slow"), stage("a", "b", does="add"), OUT))
    heirs = {change.stage: change.heir for change in planned(now).gone}

    assert heirs == {"slow": "b", "add": "a"}


def test_a_stage_of_another_verb_is_no_new_name() -> None:
    now = LastRun((READ, stage("slowly", "read", verb="filter"), stage("add", "slowly"), OUT))

    assert kinds(planned(now))["slow"] == "removed"


def test_an_empty_stage_that_is_renamed_hands_its_place_to_whoever_reads_there() -> None:
    found = planned(RENAMED)

    assert not found.stranded
    assert HandOver("slow", f"{P}read", ("sluggish",)) in found.moves
    assert HandOver("add", f"{P}slow", ()) in found.moves


@pytest.mark.parametrize(
    "held", [Holding(lag=1), Holding(lag=None), Holding(pending=1), Holding(retry=1), Holding(dead=1)]
)
def test_a_stage_that_is_gone_and_holds_anything_is_stranded(held: Holding) -> None:
    (gone,) = planned(REMOVED, past(slow=held)).stranded

    assert gone.stage == "slow"


def test_a_stage_put_in_between_takes_over_what_waited() -> None:
    found = planned(IN_BETWEEN, past(slow=Holding(lag=7, pending=2)))

    assert kinds(found) == {"new": "added", "slow": "moved"}
    assert found.moves == (HandOver("slow", f"{P}read", ("new",)),)
    assert not found.stranded


def test_a_stage_that_reads_elsewhere_is_given_what_it_had_not_done() -> None:
    found = planned(REMOVED, past(add=Holding(lag=3)))

    assert not found.stranded
    at = found.moves.index(Requeue("add", f"{P}slow"))
    assert found.moves[at + 1] == HandOver("add", f"{P}slow", ())
    assert HandOver("slow", f"{P}read", ("add",)) in found.moves


def test_what_waited_before_two_stages_goes_to_each_where_one_was_put_before_both() -> None:
    run = LastRun((READ, stage("a", "read"), stage("b", "read")))
    now = LastRun((READ, stage("new", "read"), stage("a", "new"), stage("b", "new")))
    found = planned(now, past(run, b=Holding(lag=4)))

    assert (
        Requeue("b", f"{P}read") in found.moves
    )  # a had done them: through `new` they would come to it again
    assert Requeue("a", f"{P}read") not in found.moves


def test_a_source_under_a_new_name_with_the_same_files_is_stranded_by_its_positions() -> None:
    now = LastRun(
        (stage("load", verb="source", target="jsonl in.jsonl"), stage("slow", "load", verb="call"), ADD, OUT)
    )
    (gone,) = planned(now, past(read=Holding(placed=1))).stranded

    assert (gone.stage, gone.heir) == ("read", "load")
    assert "would read them from their beginning" in gone.stranded


def test_a_source_that_is_gone_and_whose_files_nobody_reads_is_not_asked_about() -> None:
    now = LastRun(
        (stage("load", verb="source", target="csv other.csv"), stage("slow", "load", verb="call"), ADD, OUT)
    )

    assert not planned(now, past(read=Holding(placed=1))).stranded


def test_settings_that_changed_are_named() -> None:
    now = with_("slow", stage("slow", "read", verb="call", does="other"))
    (changed,) = [change for change in planned(now).stages if change.kind == "changed"]

    assert (changed.stage, changed.what) == ("slow", "call")


def test_where_no_graph_is_kept_marks_and_counters_tell_the_stages() -> None:
    fields = [
        "spec",
        "read:out",
        "group:slow:{p}:read",
        "group:slow:{p}:slow:again",
        "group:add:{p}:slow",
        "add:in",
    ]
    run = recall("p", fields)

    assert run.names == ("add", "read", "slow")
    assert (run.stage("read").verb, run.stage("slow").reads) == ("source", (f"{P}read",))
    assert run.stage("slow").writes == {"": f"{P}slow"}


@pytest.mark.parametrize("raw", [None, "", "{", '{"stages": 1}', "[]"])
def test_a_graph_that_cannot_be_read_is_none(raw: str | None) -> None:
    assert parse("shop", raw) is None


def test_a_graph_is_read_as_it_was_written() -> None:
    assert parse("shop", CHAIN.dump().decode()) == CHAIN
