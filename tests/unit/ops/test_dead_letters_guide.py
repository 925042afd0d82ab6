"""docs/guide/dead-letters.md names the keys and the reasons there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rsq_pipe.ops.dead_letters.dead_letter_json import described
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import view
from tests.unit.ops.dead_letter_entries import letter

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "dead-letters.md"

pytestmark = pytest.mark.docs


def keys_under(heading: str) -> list[str]:
    section = GUIDE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)


def test_the_guide_lists_the_keys_of_a_dead_letter() -> None:
    payloads = Payloads("json")
    keys = [*described(letter(b"{}"), payloads), *described(letter(b"\xff"), payloads)]

    assert keys_under("For programs") == list(dict.fromkeys(keys))


def test_an_expression_sees_the_keys_up_to_the_traceback() -> None:
    documented = keys_under("For programs")

    known = view(letter(), {})["dlq"].keys()

    assert set(documented[: documented.index("traceback") + 1]) <= known


def test_the_guide_explains_every_reason_that_a_stage_gives() -> None:
    source = Path(__file__).parents[3] / "rsq_pipe"
    files = [source / "engine" / name for name in ("failures/failing.py", "planner.py", "unread.py")]
    files += [source / "engine/sources/arrivals.py"]
    files += [source / "streams" / name for name in ("push.py", "dead_lettering.py")]
    reason = r'"(rejected|timeout|contract|max_deliveries|[a-z]+_(?:record|error|encodable))"'
    given = set(re.findall(reason, "".join(path.read_text() for path in files)))

    given.discard("first_error")  # a word of the log
    assert given <= set(keys_under("When a record becomes one"))
