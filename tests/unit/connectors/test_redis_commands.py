"""What the sink redis writes for a record, and which key it goes to."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.connectors.redis.commands import Commands, Words
from rsq_pipe.connectors.redis.options import Options
from rsq_pipe.connectors.redis.template import parse_template
from rsq_pipe.errors import EncodeError
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expressions.expression import compile_expression

RECORD = {"id": 7, "name": "ada", "total": 1.5, "paid": True, "tags": ["a"], "gone": None}


def commands(record: Any = None, **settings: Any) -> tuple[str, list[Words]]:
    options = Options(**{"key": "x:{id}", **settings})
    texts = {name: getattr(options, name) for name in ("value", "score")}
    compiled = {name: compile_expression(text) for name, text in texts.items() if text is not None}
    found, failures = Commands(options.model_copy(update=compiled)).of(Batch([record or RECORD], ["read:1"]))
    for failure in failures.values():
        raise failure
    return found[0]


def test_a_hash_takes_the_place_of_the_one_before_or_is_merged_into_it() -> None:
    fields = ("HSET", "id", b"7", "name", "ada", "total", b"1.5", "paid", b"true", "tags", b'["a"]')

    assert commands(kind="hash") == ("x:7", [("DEL",), fields])
    assert commands(kind="hash", merge=True) == ("x:7", [("HDEL", "gone"), fields])


def test_bytes_are_base64_whether_they_are_a_field_or_an_item() -> None:
    record = {"id": 7, "raw": b"\xff\x00a"}

    assert commands(record, kind="hash")[1][1] == ("HSET", "id", b"7", "raw", b"/wBh")
    assert commands(record, kind="list", key="l", value="raw") == ("l", [("RPUSH", b"/wBh")])


def test_json_and_strings_hold_the_record() -> None:
    whole = b'{"id":7,"name":"ada","total":1.5,"paid":true,"tags":["a"],"gone":null}'

    assert commands(kind="json") == ("x:7", [("JSON.SET", "$", whole)])
    assert commands(kind="string", ttl="1m") == ("x:7", [("SET", whole), ("PEXPIRE", 60_000)])
    assert commands(kind="string", value="name") == ("x:7", [("SET", "ada")])
    assert str(commands(kind="string", rid=True)).count("read:1") == 1


def test_items_are_added_and_old_ones_of_a_list_cut_off() -> None:
    assert commands(kind="list", key="l", value="id", max=10) == ("l", [("RPUSH", b"7"), ("LTRIM", -10, -1)])
    assert commands(kind="set", key="s", value="tags") == ("s", [("SADD", b'["a"]')])
    assert commands(kind="sorted_set", key="z", value="name", score="total") == (
        "z",
        [("ZADD", "1.5", "ada")],
    )
    assert commands(kind="pubsub", key="c:{name}", value="id") == ("c:ada", [("PUBLISH", b"7")])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"kind": "hash", "key": "x:{gone}"}, "its field 'gone', a part of `key`, has no value"),
        ({"kind": "hash", "key": "x:{total}"}, "its field 'total', a part of `key`, is neither text nor"),
        ({"kind": "sorted_set", "score": "name"}, "its `score` is 'ada', and not a number"),
        ({"kind": "sorted_set", "score": "paid"}, "its `score` is True, and not a number"),
    ],
)
def test_what_cannot_be_written_says_why(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(EncodeError, match=why):
        commands(**settings)


def test_a_template_knows_its_slot() -> None:
    assert [parse_template(one).tag for one in ("all", "x:{id}", "{{shop}}:{id}")] == ["all", "", "shop"]
    assert parse_template("{{shop}}:{customer.id}").key({"customer": {"id": 3}}) == "{shop}:3"


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            "list",
            {"value": "name + id"},
            "`value` cannot be .*: `\\+` cannot be applied to text and ",
        ),
        ("list", {"value": "nobody"}, "`value` cannot be computed of this record: field 'nobody'"),
        ("sorted_set", {"value": "id", "score": "1 / (id - 7)"}, "`score` .*: a division by zero"),
    ],
)
def test_a_record_for_which_a_setting_cannot_be_computed_fails_with_the_settings_name(
    kind: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EncodeError, match=message):
        commands(kind=kind, key="l", **settings)
