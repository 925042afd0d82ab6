"""What becomes of a payload that is mended on its way back."""

from __future__ import annotations

import json
import pickle
from typing import Any

import msgpack
import pytest

from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.dead_letters.dead_letter_json import described, read_edit
from rsq_pipe.ops.dead_letters.edits import Edits, set_fields
from rsq_pipe.ops.dead_letters.payload import Payloads
from tests.unit.ops.dead_letter_entries import ID, letter

JSON = Payloads("json")


def edited(**line: Any) -> Edits:
    return Edits.of([read_edit(json.dumps({"stage": "price", "id": ID, **line}), "f:1")], {})


def mended(edits: Edits, data: bytes, *, must_be_record: bool = False) -> bytes | None:
    return edits.applied(letter(data), JSON, must_be_record=must_be_record)


def test_nothing_is_changed_unless_asked() -> None:
    assert mended(Edits(), b"\xff") is None


def test_fields_are_set_in_the_payload() -> None:
    edits = Edits.of([], {"price": 2}, {"note": "x"})

    assert mended(edits, b'{"id": 1, "price": null}') == b'{"id":1,"price":2,"note":"x"}'


def test_fields_are_set_after_an_edit() -> None:
    line = json.dumps({"id": ID, "payload": {"a": 1, "b": 1}})

    assert mended(Edits.of([read_edit(line, "f:1")], {"b": 2}), b"broken") == b'{"a":1,"b":2}'


def test_an_edit_gives_the_payload() -> None:
    assert mended(edited(payload={"id": 2}), b'{"id": 1}') == b'{"id":2}'


def test_an_edit_that_only_changes_a_type_is_a_change() -> None:
    assert mended(edited(payload={"id": True}), b'{"id":1}') == b'{"id":true}'


def test_a_payload_that_was_left_as_it_was_goes_back_byte_for_byte() -> None:
    assert mended(edited(payload={"id": 1}), b'{ "id" :  1 }') is None


def test_a_mended_line_may_still_hold_the_bytes_that_were_no_record() -> None:
    assert mended(edited(payload={"id": 2}, raw="/w=="), b"\xff") == b'{"id":2}'


def test_bytes_can_be_edited_as_bytes() -> None:
    assert mended(edited(raw="AAE="), b"\xff") == b"\x00\x01"


def test_what_is_no_record_cannot_have_a_field_set() -> None:
    with pytest.raises(ReplayError, match=r"price/1700000000000-5.*not a record.*use --edit"):
        mended(Edits.of([], {"a": 1}), b"\xff")


@pytest.mark.parametrize("edits", [Edits(), edited(raw="/w==")], ids=["as it is", "mended into bytes"])
def test_only_a_record_goes_past_a_source(edits: Edits) -> None:
    with pytest.raises(ReplayError, match="nothing enters a source again"):
        mended(edits, b"\xff", must_be_record=True)

    assert mended(edited(payload={"a": 1}), b"\xff", must_be_record=True) == b'{"a":1}'


def test_a_record_that_cannot_be_written_is_the_mistake_of_whoever_mended_it() -> None:
    with pytest.raises(ReplayError, match="finite"):
        mended(Edits.of([], {}, {"a": float("nan")}), b"{}")


def test_msgpack_stays_msgpack() -> None:
    packed: bytes = msgpack.packb({"a": 1})
    edits = Edits.of([], {"a": 2})

    for payloads in (Payloads("msgpack"), Payloads(None)):
        data = edits.applied(letter(packed), payloads, must_be_record=False)
        assert data is not None
        assert msgpack.unpackb(data) == {"a": 2}


def test_without_the_spec_bytes_that_are_no_record_cannot_become_one() -> None:
    with pytest.raises(ReplayError, match="name the pipeline by its file"):
        edited(payload={"a": 1}).applied(letter(b"\xff"), Payloads(None), must_be_record=False)


class Trap:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a dead letter was unpickled",))


def test_a_pickle_is_bytes_and_never_loaded() -> None:
    for payloads in (JSON, Payloads("msgpack"), Payloads(None)):
        assert payloads.decode(pickle.dumps(Trap())) is None


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ({"a": [1, None, "x", {"b": 1.5}]}, "payload"),
        ({"a": b"bytes"}, "raw"),
        ({1: "a key that is not text"}, "raw"),
        ({"a": float("nan")}, "raw"),
        ({"a": msgpack.Timestamp(1)}, "raw"),
    ],
)
def test_an_export_holds_a_record_or_its_bytes_but_never_a_copy_with_a_loss(record: Any, key: str) -> None:
    exported = described(letter(msgpack.packb(record)), Payloads("msgpack"))

    assert ({"payload", "raw"} & exported.keys()) == {key}
    assert ("text" in exported) == (key == "raw")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "f:3: not a JSON object"),
        ("[]", "f:3: not a JSON object, as `dlq export` writes them: it is an array, and not an object"),
        ('{"payload": {}}', "do not name a dead letter"),
        ('{"stage": 1, "id": "1-0", "payload": {}}', "do not name a dead letter"),
        ('{"id": "1-0"}', "neither `payload` nor `raw`"),
        ('{"id": "1-0", "payload": []}', "`payload` is a record"),
        ('{"id": "1-0", "payload": null}', "`payload` is a record"),
        ('{"id": "1-0", "raw": "%"}', "not base64"),
    ],
)
def test_a_line_that_cannot_be_taken_back_is_named_with_its_place(line: str, why: str) -> None:
    with pytest.raises(ValueError, match="f:3: ") as caught:
        read_edit(line, "f:3")

    assert why in str(caught.value)


def test_two_lines_for_one_dead_letter_are_refused() -> None:
    line = json.dumps({"stage": "price", "id": ID, "payload": {}})

    with pytest.raises(ValueError, match=r"f:2: the same dead letter as in f:1"):
        Edits.of([read_edit(line, "f:1"), read_edit(line, "f:2")], {})


ORDER = {"country": "DE", "customer": {"name": "ada"}, "a.b": 1, "lines": [1]}


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("country", "FR", {"country": "FR"}),
        ("customer.name", "bob", {"customer": {"name": "bob"}}),
        ("a.b", 2, {"a.b": 2}),
    ],
)
@pytest.mark.parametrize("add", [False, True])
def test_a_field_that_is_there_is_set(name: str, value: Any, changed: dict[str, Any], *, add: bool) -> None:
    assert set_fields(ORDER, {name: value}, add=add) == {**ORDER, **changed}
    assert ORDER["customer"] == {"name": "ada"}


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("note", {"note": 1}),
        ("customer.age", {"customer": {"name": "ada", "age": 1}}),
        ("ship.to", {"ship": {"to": 1}}),
        (r"x\.y", {"x.y": 1}),
    ],
)
def test_a_field_that_is_not_there_is_put_in_only_where_that_was_asked_for(
    name: str, added: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="it has no field"):
        set_fields(ORDER, {name: 1}, add=False)
    assert set_fields(ORDER, {name: 1}, add=True) == {**ORDER, **added}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("countyr", "it has no field 'countyr' to set; did you mean 'country'? --add puts in"),
        ("customer.nmae", "it has no field 'customer.nmae' to set; did you mean 'customer.name'?"),
        ("zzz", "it has no field 'zzz' to set; --add puts in what is not there"),
        ("lines.price", "'lines' is not a mapping, so 'lines.price' cannot be set; use --edit"),
    ],
)
def test_what_cannot_be_set_is_told_with_what_may_be_meant(name: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        set_fields(ORDER, {name: 1}, add=False)

    assert str(raised.value).startswith(says)
