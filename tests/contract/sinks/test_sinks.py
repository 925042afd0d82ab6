"""
Every sink keeps what it promises, on a real server: whoever is killed or paused, and what is away or wrong.

`STRIKES=60 SEED=7 pytest -s tests/contract/sinks` strikes more often, and prints what it found.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from tests.contract.place import OUTAGE, SEED, STRIKES, Case, Place
from tests.contract.sinks.rig import WRONG, Rig, guarantee, rigs
from tests.contract.trial import DEFAULTS, Trial

RIGS = rigs()
SWITCH = {False: 6.0, True: 2.5}
"""Seconds that a successor is given to go on where another was paused, and may keep it out."""
PATIENT = pytest.mark.timeout(120 + 10 * STRIKES)


def of(case: Case) -> pytest.MarkDecorator:
    """Name the sinks that can be tried so."""
    return pytest.mark.parametrize("kind", [kind for kind, rig in RIGS.items() if case not in rig.nothing])


def trial(
    rig: Rig,
    count: int,
    *,
    options: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    sabotage: str = "none",
    attempts: int = 3,
) -> Trial:
    """Make a pipeline that writes so many records to the rig's target."""
    made = Trial(
        rig.place.root,
        rig.place.fixture(rig.pipeline_server),
        rig.place.name,
        environ=rig.environ if environ is None else environ,
        stage="out",
        count=count,
        sabotage=sabotage,
    )
    made.records(good(count))
    sink = json.dumps({"type": rig.type, **(rig.options if options is None else options)})
    made.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{rate: {rig.rate}, burst: {rig.batch}, sink: {sink}}}
        """,
        defaults=DEFAULTS.replace("attempts: 3", f"attempts: {attempts}"),
    )
    return made


def good(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "pad": "x" * (n % 50)} for n in range(count)]


def account(rig: Rig, one: Trial, faults: str, most: int) -> str:
    """
    Compare what stands in the target with what the sink promises.

    Args:
        rig: The target.
        one: Has written to it.
        faults: What was done meanwhile.
        most: How often something was done that may have had a batch written twice.
    """
    found = rig.found()
    lost, doubled = len(set(range(one.count)) - set(found)), len(found) - len(set(found))
    promised = guarantee(rig.type)
    told = f"sink {rig.type}: {promised}; seed {SEED}, {faults}: {lost} lost, {doubled} doubled"
    print(told)
    assert set(found) <= set(range(one.count)), told
    assert lost == 0, told
    assert doubled <= (0 if promised == "exactly once" else most * rig.batch), told
    assert not one.dead_letters("out"), told
    return told


@of("kill")
@pytest.mark.chaos
@PATIENT
def test_kills_lose_nothing_and_double_no_more_than_is_promised(kind: str, place: Place) -> None:
    rig = RIGS[kind](place)
    with trial(rig, 100 * (STRIKES + 1)) as one:
        kills = one.killed(STRIKES, f"{SEED} {kind}")
        code, said = one.run()

        assert code == 0, said
        assert kills >= STRIKES // 2
        account(rig, one, f"{kills} kills", kills)


@pytest.mark.parametrize(
    ("kind", "sabotage"),
    [
        ("jsonl", "append_behind_uncommitted_lines"),
        ("sqlite", "write_what_the_ledger_has"),
        ("stream", "settle_in_two_steps"),
    ],
)
@pytest.mark.chaos
@PATIENT
def test_with_a_safety_switched_off_kills_double_records(kind: str, place: Place, sabotage: str) -> None:
    rig = RIGS[kind](place)
    with trial(rig, 400, sabotage=sabotage) as one:
        one.killed(4, f"{SEED} {kind}")
        assert one.run().code == 0

        found = rig.found()
        assert set(found) == set(range(400))
        assert len(found) > 400


@of("woken")
@pytest.mark.chaos
@PATIENT
def test_a_paused_process_that_is_woken_beside_its_successor_doubles_no_more_than_is_promised(
    kind: str, place: Place
) -> None:
    rig = RIGS[kind](place)
    times = max(1, STRIKES // 3)
    with trial(rig, 400 * times) as one:
        pauses, passed = one.paused(times, f"{SEED} {kind}", switch=SWITCH[rig.alone])

        assert pauses
        assert passed or rig.alone, one.said()[-3000:]
        account(rig, one, f"{pauses} pauses, beside {passed} of them another went on", pauses)


@pytest.fixture(scope="session")
def outages(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[str]]]:
    """Stop all the targets that are asked for at once, while a run writes to each: ten seconds pass once."""
    asked = [
        str(item.callspec.params["kind"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "outages" in item.fixturenames
    ]
    futures: dict[str, Future[str]] = {kind: Future() for kind in asked}
    fixture = cache(request.getfixturevalue)  # which is called in this thread alone
    with ExitStack() as trials, ThreadPoolExecutor(max(1, len(asked))) as pool:
        for kind in asked:
            place = Place(tmp_path_factory.mktemp(kind), f"t-{uuid.uuid4().hex[:12]}", fixture)
            try:
                rig = RIGS[kind](place)
                one = trials.enter_context(trial(rig, 400, attempts=1))
            except BaseException as exc:  # also that a server is not installed, which skips its test alone
                futures[kind].set_exception(exc)
            else:
                futures[kind] = pool.submit(outlasted, rig, one)
        yield futures


def outlasted(rig: Rig, one: Trial) -> str:
    """Write through an outage, which costs no record an attempt, and give the account."""
    code, said = one.stopped(rig.stop, rig.start, OUTAGE, SEED)
    assert code == 0, said
    assert rig.away_said in said
    assert rig.back_said in said
    return account(rig, one, f"{OUTAGE:g} s away", 1)


@of("away")
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_target_that_is_away_for_ten_seconds_is_waited_for(
    kind: str, outages: dict[str, Future[str]]
) -> None:
    print(outages[kind].result())


@of("bad")
def test_a_bad_record_among_good_ones_is_a_dead_letter_that_says_why(kind: str, place: Place) -> None:
    rig = RIGS[kind](place)
    with trial(rig, 60) as one:
        one.records([*good(60)[:30], rig.bad, *good(60)[30:]])
        code, said = one.run()

        assert code == 4, said
        assert sorted(rig.found()) == list(range(60))
        (letter,) = one.dead_letters("out")
        assert rig.bad_said in letter["rsq-dlq-error"]


@of("login")
def test_wrong_credentials_end_the_run_with_what_to_do_and_are_not_printed(kind: str, place: Place) -> None:
    rig = RIGS[kind](place)
    options = rig.login_options
    with trial(rig, 3, options=options, environ=rig.wrong_environ) as one, rig.refusing():
        code, said = one.run()

        assert code == 1, said
        assert "stage 'out': " in said
        assert rig.login_said in said
        assert "Traceback" not in said
        assert WRONG not in said + one.printed()


@of("missing")
def test_a_target_that_is_missing_ends_the_run_with_what_to_do(kind: str, place: Place) -> None:
    rig = RIGS[kind](place)
    with trial(rig, 3, options=rig.missing_options) as one:
        code, said = one.run()

        assert code == 1, said
        assert "stage 'out': " in said
        assert rig.missing_said in said
        assert "Traceback" not in said
