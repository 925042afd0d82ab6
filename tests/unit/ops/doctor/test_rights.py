"""The rights the doctor asks for are those that rsq-pipe needs, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from rsq_pipe.ops.doctor.rights import Rights, judge_rights
from rsq_pipe.ops.rights import NEEDS, WELCOME

PACKAGE = Path(__file__).parents[4] / "rsq_pipe"
CONTAINERS = ("XGROUP", "XINFO", "SCRIPT", "CLIENT", "ACL", "CONFIG", "CLUSTER", "MEMORY")
# Sent only to a cluster, or to sentinels; by the sink `redis`, with which `acl` adds it.
OTHERS = {"CLUSTER|SLOTS", "ASKING", "SENTINEL", "COMMAND"}
# Found where a command stands, and none.
WORDS = {"ASK", "BLOCK", "IDLE", "LOADING", "PLAIN", "POST", "GET", "TABLE"}
ASKED = {words.split()[0] for need in NEEDS for words in need.commands}


def commands(text: str, call: str) -> set[str]:
    """Find what a text sends: `call` is what stands before the first word."""
    found = re.findall(rf"""{call}\s*['"]([A-Z]+)['"](?:,\s*['"]([A-Z]+)['"])?""", text)
    return {f"{one}|{two}" if one in CONTAINERS else one for one, two in found}


def test_every_command_of_the_scripts_is_asked_for() -> None:
    texts = [path.read_text() for path in PACKAGE.rglob("*.lua")]
    sent = {command for text in texts for command in commands(text, r"redis\.p?call\(")}

    assert sent
    assert sent - ASKED == set()


def test_every_command_of_the_code_is_asked_for() -> None:
    texts = [path.read_text() for path in PACKAGE.rglob("*.py") if not {"doctor", "testing"} & {*path.parts}]
    sent = {command for text in texts for command in commands(text, r"(?:execute\(\s*\*?\(?|\[\[?|\*\()")}

    assert {"XREADGROUP", "XAUTOCLAIM", "SCAN", "ZSCAN", "CLIENT|UNBLOCK"} <= sent
    assert sent - WORDS - ASKED - OTHERS - {words.split()[0] for words in WELCOME} == set(), (
        "add it to rsq_pipe/ops/rights.py: what is not there, a user with the documented rights may not do"
    )


def test_missing_rights_are_told_by_what_fails_without_them() -> None:
    rights = Rights({"xautoclaim": "NOPERM", "eval": "NOPERM"}, "{orders}:doctor")

    settle, reclaim = judge_rights(rights, "worker")

    assert (settle.mend, reclaim.mend) == (
        "ACL SETUSER worker +eval",
        "ACL SETUSER worker +xautoclaim",
    )
    assert "no stage runs" in settle.guarantee
    assert "died" in reclaim.guarantee


def test_a_key_that_is_refused_is_told_with_the_pattern_that_opens_it() -> None:
    (finding,) = judge_rights(Rights({}, "{orders}:doctor", key_refused=True), "worker")

    assert (finding.level, finding.mend) == ("problem", "ACL SETUSER worker ~{orders}:*")
