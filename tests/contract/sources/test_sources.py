"""
Every source keeps what it promises, on a real server: whoever is killed or paused, and what is away or wrong.

`STRIKES=60 SEED=7 pytest -s tests/contract/sources` strikes more often, and prints what it found.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.place import OUTAGE, SEED, STRIKES, Case, Place
from tests.contract.sources.rig import FEW, WRONG, Rig, guarantee, rigs
from tests.contract.sources.trial import SourceTrial, Strike
from tests.contract.trial import TO_END

RIGS = rigs()
ROUND = 6
"""Faults at most to one pipeline: then another one begins, with all its records."""
PAUSES = max(2, STRIKES * 2 // 3)
PATIENT = pytest.mark.timeout(180 + 15 * STRIKES)

Begin = Callable[[], Rig]


def of(case: Case) -> pytest.MarkDecorator:
    """Name the sources that can be tried so."""
    return pytest.mark.parametrize("kind", [kind for kind, rig in RIGS.items() if case not in rig.nothing])


@pytest.fixture
def begin(request: pytest.FixtureRequest, tmp_path: Path, name: str, kind: str) -> Begin:
    """Make a rig, each time with a place of its own."""
    places = (Place(tmp_path / str(n), f"{name}-{n}", request.getfixturevalue) for n in range(1_000))

    def make() -> Rig:
        place = next(places)
        place.root.mkdir()
        return RIGS[kind](place)

    return make


def told(kind: str, faults: str, lost: int, doubled: int, most: int) -> str:
    """State what was found, and compare it with what the source promises."""
    promised = guarantee(kind)
    account = f"source {kind}: {promised}; seed {SEED}, {faults}: {lost} lost, {doubled} doubled"
    print(account)
    assert lost == 0, account
    assert doubled <= (0 if promised == "exactly once" else most * RIGS[kind].again), account
    return account


@of("kill")
@pytest.mark.chaos
@PATIENT
def test_kills_lose_nothing_and_double_no_more_than_is_promised(kind: str, begin: Begin) -> None:
    draw = random.Random(f"{SEED} {kind}")
    kills = lost = doubled = 0
    while kills < STRIKES:
        with SourceTrial(begin()) as one:
            one.fill()
            kills += one.killed_at(one.drawn("SIGKILL", min(ROUND, STRIKES - kills), draw))
            one.begin()
            one.settle_down()
            more = one.account()
            assert not one.dead_letters("read")
            lost, doubled = lost + more.lost, doubled + more.doubled

    told(kind, f"{kills} kills", lost, doubled, kills)


@of("woken")
@pytest.mark.chaos
@PATIENT
def test_a_paused_process_that_is_woken_beside_its_successor_doubles_no_more_than_is_promised(
    kind: str, begin: Begin
) -> None:
    draw = random.Random(f"{SEED} {kind} woken")
    pauses = lost = doubled = 0
    while pauses < PAUSES:
        with SourceTrial(begin()) as one:
            one.fill()
            pauses += one.paused_at(one.drawn("SIGSTOP", min(ROUND, PAUSES - pauses), draw))
            one.settle_down()
            more = one.account()
            assert not one.dead_letters("read")
            lost, doubled = lost + more.lost, doubled + more.doubled

    told(kind, f"{pauses} pauses", lost, doubled, pauses)


@pytest.mark.parametrize(
    ("kind", "sabotage"),
    [
        ("jsonl", "store_the_position_first"),
        ("mqtt", "acknowledge_before_storing"),
        ("webhook", "acknowledge_before_storing"),
    ],
)
@pytest.mark.chaos
@PATIENT
def test_with_a_safety_switched_off_a_kill_loses_records(kind: str, begin: Begin, sabotage: str) -> None:
    rig = begin()
    rig.count = 20
    rig.patience = TO_END  # a sender that gave up sends again what was lost
    rig.is_complete = lambda found: rig.count - 1 in found  # type: ignore[method-assign]
    with SourceTrial(rig, sabotage=sabotage) as one:
        one.fill()
        assert one.killed_at([Strike("SIGKILL", "before", 1, 0)]) == 1
        one.begin()
        one.settle_down()

        assert one.account().lost


@pytest.mark.parametrize("kind", ["http", "jsonl", "postgres"])
@pytest.mark.chaos
@PATIENT
def test_without_a_look_at_the_position_a_woken_process_doubles_records(kind: str, begin: Begin) -> None:
    with SourceTrial(begin(), sabotage="store_whatever_was_stored") as one:
        one.fill()
        assert one.paused_at([Strike("SIGSTOP", "before", 3, 0), Strike("SIGSTOP", "after", 12, 0)]) == 2
        one.settle_down()

        assert one.account().doubled


@pytest.fixture(scope="session")
def absences(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[str]]]:
    """Stop all the servers that are asked for at once, while a run reads each: ten seconds pass once."""
    asked = [
        str(item.callspec.params["kind"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "absences" in item.fixturenames
    ]
    made: dict[str, Rig] = {}
    futures: dict[str, Future[str]] = {kind: Future() for kind in asked}
    for kind in asked:
        place = Place(tmp_path_factory.mktemp(kind), f"t-{uuid.uuid4().hex[:12]}", request.getfixturevalue)
        try:
            made[kind] = RIGS[kind](place)
        except BaseException as exc:  # also that a server is not installed, which skips its test alone
            futures[kind].set_exception(exc)
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        yield futures | {kind: pool.submit(waited_for, rig) for kind, rig in made.items()}


def waited_for(rig: Rig) -> str:
    """Read through an outage, and give the account."""
    with SourceTrial(rig) as one:
        one.fill()
        if rig.ends:
            one.fill()  # or it would have ended
        one.outlasted(OUTAGE)
        return told(rig.type, f"{OUTAGE:g} s away", *one.account(), 1)


@of("away")
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_server_that_is_away_for_ten_seconds_is_waited_for(
    kind: str, absences: dict[str, Future[str]]
) -> None:
    print(absences[kind].result())


@of("bad")
def test_a_bad_record_among_good_ones_is_a_dead_letter_that_names_reason_and_place(
    kind: str, begin: Begin
) -> None:
    rig = begin()
    rig.count = FEW
    rig.fill_with_a_bad_one()
    with SourceTrial(rig) as one:
        one.begin()
        one.settle_down(code=4)

        assert sorted(line["n"] for line in one.project.lines()) == list(range(FEW))
        (letter,) = one.dead_letters("read")
        assert rig.bad_said in letter["rsq-dlq-error"]
        assert rig.bad_id in {"", letter["rsq-rid"]}
        assert "Traceback" not in one.said()


@of("login")
def test_wrong_credentials_end_the_run_with_what_to_do_and_are_not_printed(kind: str, begin: Begin) -> None:
    rig = begin()
    with SourceTrial(rig, options=rig.login_options, environ=rig.wrong_environ()) as one:
        code, said = one.run()

        assert code == rig.login_code, said
        assert "stage 'read': " in said
        assert rig.login_said in said
        assert "Traceback" not in said
        assert WRONG not in said + one.printed()


@of("missing")
def test_what_is_missing_ends_the_run_with_what_to_do(kind: str, begin: Begin) -> None:
    rig = begin()
    with SourceTrial(rig, options=rig.missing_options) as one:
        code, said = one.run()

        assert code == rig.missing_code, said
        assert rig.missing_said in said
        assert "Traceback" not in said
