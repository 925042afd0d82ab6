"""Commands as sources and sinks: what they write and are given, how they end, and what is done then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rsq_pipe.errors import SourceError
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

ANSWERS = """
import json, os, sys

open("pids", "a").write(f"{os.getpid()}\\n")
for line in sys.stdin:
    record = json.loads(line)
    with open("seen", "a") as seen:
        seen.write(f"{record['n']}\\n")
    if record["n"] == 5:
        sys.exit("dead at five")
    print({3: "reject three", 4: "drop four"}.get(record["n"], "ok"), flush=True)
open("ended", "w").write("by the end of its input")
"""


def reading(lab: Lab, source: str) -> None:
    lab.spec(f"""
        read: {{source: {{type: exec, {source}}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl, rid: true}}}}
    """)


def writing(lab: Lab, sink: str, count: int = 20) -> None:
    lab.spec(
        f"""
        made: {{source: {{type: generate, count: {count}, fields: {{n: n}}}}}}
        out: {{sink: {{type: exec, {sink}}}}}
    """
    )


async def letters(lab: Lab, stage: str = "out") -> dict[str, str]:
    found = await lab.redis("XRANGE", lab.key(f"{stage}:dlq"), "-", "+")
    fields = [dict(zip(one[::2], one[1::2], strict=True)) for _, one in found]
    return {one[b"rsq-rid"].decode(): one[b"rsq-dlq-error"].decode() for one in fields}


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


async def test_lines_of_json_are_records_and_others_dead_letters(lab: Lab) -> None:
    reading(lab, """shell: 'echo "{\\"n\\": 1}"; echo nothing; echo; echo "{\\"n\\": 2}"'""")

    await lab.run()

    assert lab.lines("out/all.jsonl") == [{"rid": "read:1.1", "n": 1}, {"rid": "read:1.3", "n": 2}]
    assert list(await letters(lab, "read")) == ["read:1.2"]


async def test_rows_and_plain_lines_are_records(lab: Lab) -> None:
    reading(lab, r"command: [printf, 'a,b\n1,\"x, y\"\n2\n'], format: csv")
    await lab.run()
    assert lab.lines("out/all.jsonl") == [{"rid": "read:1.1", "a": "1", "b": "x, y"}]
    assert list((await letters(lab, "read")).values()) == ["line 2: it has 1 field, and the header has 2"]

    reading(lab, "command: [echo, $HOME], format: lines")
    await lab.run()
    assert lab.lines("out/all.jsonl")[-1] == {"rid": "read:2.1", "line": "$HOME"}


async def test_a_command_that_fails_is_run_again_and_behind_what_is_stored(lab: Lab) -> None:
    (lab.root / "twice.sh").write_text(
        'if [ -e once ]; then for n in 1 2 3 4; do echo "{\\"n\\": $n}"; done; exit 0; fi\n'
        "touch once\necho '{\"n\": 1}'\necho '{\"n\": 2}'\nprintf '{\"n\": '\nexit 7\n"
    )
    reading(lab, "command: [sh, twice.sh], resume: skip")

    await lab.run()

    assert lab.lines("out/all.jsonl") == [{"rid": f"read:{n}", "n": n} for n in (1, 2, 3, 4)]


async def test_a_command_that_fails_and_is_not_to_be_run_again_ends_the_run_with_its_last_words(
    lab: Lab,
) -> None:
    reading(lab, """shell: 'echo "{\\"n\\": 1}"; echo no disk >&2; exit 3', restart: never""")

    with pytest.raises(SourceError, match=r"command sh -c \.\.\.: it ended with exit code 3: no disk"):
        await lab.run()

    assert lab.numbers("out/all.jsonl") == [1]


async def test_a_stop_ends_a_command_and_what_it_started_also_one_that_does_not_listen(lab: Lab) -> None:
    (lab.root / "deaf.sh").write_text(
        "trap '' TERM\nsleep 1000 &\necho $! > child\necho $$ > pid\necho '{\"n\": 1}'\nwait\nsleep 1000\n"
    )
    reading(lab, "command: [sh, deaf.sh], stop_timeout: 200ms")
    run = await lab.up()
    await wait_until(lab.lines_so_far, what="it writes")

    await run.stop()

    pids = [int((lab.root / name).read_text()) for name in ("pid", "child")]
    await wait_until(lambda: not any(map(is_there, pids)), what="both have ended")


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ("command: [no-such-program]", "there is no program 'no-such-program'; install it"),
        ("command: ['true'], cwd: nowhere", r"there is no folder \S*nowhere; make it, or correct `cwd`"),
    ],
)
async def test_a_program_or_folder_that_is_not_there_ends_the_run(
    lab: Lab, settings: str, missing: str, *, reads: bool
) -> None:
    (reading if reads else writing)(lab, settings)
    with pytest.raises(Exception, match=rf"command \S+: it cannot be run: {missing}"):
        await lab.run()


async def test_exit_code_0_says_that_a_batch_is_done(lab: Lab) -> None:
    writing(lab, "command: [sh, -c, 'cat >> out.jsonl'], rid: true", 120)

    summary = await lab.run()

    assert lab.numbers("out.jsonl") == list(range(120))
    assert lab.lines("out.jsonl")[0] == {"rid": "made:0", "n": 0}
    assert summary.stages["out"].emitted == 120


async def test_of_a_batch_that_fails_the_bad_record_is_found_and_the_others_are_done(lab: Lab) -> None:
    writing(
        lab, """shell: "tee in.$$ | grep -q 'n.:7}' && echo seven >&2 && exit 1; cat in.$$ >> out.jsonl" """
    )

    summary = await lab.run()

    assert list((await letters(lab)).items()) == [
        (
            "made:7",
            "EndpointUnavailableError: stage 'out': command sh -c ...: it ended with exit code 1: seven",
        )
    ]
    assert lab.numbers("out.jsonl") == [n for n in range(20) if n != 7]
    assert (summary.stages["out"].emitted, summary.stages["out"].dead) == (19, 1)


async def test_a_command_that_answers_each_line_runs_on_and_is_run_again_where_it_dies(lab: Lab) -> None:
    (lab.root / "answers.py").write_text(ANSWERS)
    writing(lab, "command: [python3, answers.py], ack: line")

    summary = await lab.run()

    found = await letters(lab)
    assert list(found) == ["made:3", "made:5"]
    assert found["made:3"] == "three"
    assert "dead at five" in found["made:5"]
    assert summary.stages["out"].drops == {"four": 1}
    assert summary.stages["out"].emitted == 17
    seen = [int(one) for one in (lab.root / "seen").read_text().split()]
    assert sorted(one for one in seen if one != 5) == [n for n in range(20) if n != 5]
    assert seen.count(5) == 3
    assert len((lab.root / "pids").read_text().split()) == 3
    assert not (lab.root / "ended").exists()


async def test_a_command_that_answers_is_ended_by_the_end_of_its_input(lab: Lab) -> None:
    (lab.root / "answers.py").write_text(ANSWERS)
    writing(lab, "command: [python3, answers.py], ack: line", 3)

    await lab.run()

    assert (lab.root / "ended").read_text() == "by the end of its input"
    assert len((lab.root / "pids").read_text().split()) == 1


async def test_a_command_that_does_not_answer_in_time_is_ended(lab: Lab) -> None:
    lab.spec("""
        made: {source: {type: generate, count: 1, fields: {n: n}}}
        out: {timeout: 200ms, retry: {attempts: 1}, sink: {type: exec, command: [sleep, "1000"], ack: line}}
    """)

    await lab.run()

    assert "it did not answer within `timeout`, 0.2 s" in (await letters(lab))["made:0"]
