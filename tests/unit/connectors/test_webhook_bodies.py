"""Bodies of a webhook: which records a request has, and why it has none."""

from __future__ import annotations

import pytest

from rsq_pipe.connectors.webhook.bodies import MAX_RECORDS, records_in

JSON, LINES = "application/json", "application/x-ndjson"


@pytest.mark.parametrize(
    ("body", "kind", "records"),
    [
        (b'{"n": 1}', JSON, [{"n": 1}]),
        (b' \n[{"n": 1}, {"n": {"m": [2]}}]', JSON, [{"n": 1}, {"n": {"m": [2]}}]),
        (b"[]", JSON, []),
        (b'{"n": 1}\n\n{"n": 2}', LINES, [{"n": 1}, {"n": 2}]),
        (b"", LINES, []),
    ],
)
def test_an_object_a_list_or_lines_are_records(body: bytes, kind: str, records: list[object]) -> None:
    assert records_in(body, kind) == records


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"", JSON, "it is not JSON"),
        (b"3", JSON, "not a JSON object but a number"),
        (b'[{"n": 1}, "x"]', JSON, "item 1: not a JSON object but a string"),
        (b'[{"n": 1}, {"n": 1, "n": 2}]', JSON, "item 1: key 'n' appears twice in one object"),
        (b'[{"n": 1}', JSON, "it is not JSON"),
        (b'{"n": 1}\n{"n"', LINES, "line 2: it is not JSON"),
        (b'{"n": "\xff"}', JSON, "UTF-8"),
        (b"[" * 1_000_000, JSON, "nested too deep"),
        (b'[{"n": ' * 1_000_000, JSON, "nested too deep"),
        (b"[" + b"{}," * MAX_RECORDS + b"{}]", JSON, "it has 1,001 records"),
    ],
)
def test_what_is_no_record_is_told_with_its_place(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        records_in(body, kind)
