"""Entries that others write become entries such as the pipeline writes itself, or say why not."""

from __future__ import annotations

from typing import Literal

import msgpack
import pytest

from rsq_pipe.connectors.stream.form import StreamForm
from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.serializers import MsgpackSerializer

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def plain(form: StreamForm, *fields: bytes, own: Literal["json", "msgpack"] = "json") -> list[bytes]:
    return list(form.plain(RawEntry("events", "7-0", list(fields)), own).fields)


def test_each_field_of_an_entry_is_one_of_the_record_by_its_type() -> None:
    form = StreamForm("fields", types={"total": "float", "n": "int", "paid": "bool", "lines": "json"})

    fields = [b"customer", b"ada", b"total", b"12", b"n", b"7", b"paid", b"yes", b"lines", b'[{"a": 1}]']

    assert plain(form, *fields) == [
        b"data",
        b'{"customer":"ada","total":12.0,"n":7,"paid":true,"lines":[{"a":1}]}',
    ]


def test_the_trace_and_what_is_rsq_pipes_own_stay_headers() -> None:
    form = StreamForm("fields")

    found = plain(form, b"a", b"1", b"traceparent", TRACE, b"rsq-rid", b"x:1", b"tracestate", b"v=1")

    assert found == [b"data", b'{"a":"1"}', b"traceparent", TRACE, b"rsq-rid", b"x:1", b"tracestate", b"v=1"]


def test_a_field_named_data_is_like_any_other_of_fields() -> None:
    assert plain(StreamForm("fields"), b"data", b"x") == [b"data", b'{"data":"x"}']


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([b"total", b"twelve"], "its field 'total' is not of type float: 'twelve'"),
        ([b"total", b""], "its field 'total' is not of type float: ''"),
        ([b"total", b"nan"], "not of type float"),
        ([b"lines", b"[1"], "its field 'lines' is not of type json: '[1'"),
        ([b"a", b"1", b"a", b"2"], "its field 'a' appears twice"),
        ([b"a", b"\xff"], "its field 'a' is not UTF-8"),
    ],
)
def test_what_is_no_record_says_why(fields: list[bytes], why: str) -> None:
    form = StreamForm("fields", types={"total": "float", "lines": "json"})
    with pytest.raises(DecodeError, match="entry events/7-0: ") as raised:
        plain(form, *fields)
    assert why in str(raised.value)


def test_one_field_has_the_record_and_the_others_are_headers() -> None:
    form = StreamForm("json", "payload")
    assert plain(form, b"kind", b"order", b"payload", b'{"a": 1}') == [
        b"data",
        b'{"a": 1}',
        b"kind",
        b"order",
    ]


def test_a_record_is_written_as_the_pipeline_writes_its_own() -> None:
    packed = msgpack.packb({"a": 1})
    assert plain(StreamForm("msgpack", "p"), b"p", packed) == [b"data", b'{"a":1}']
    fields = plain(StreamForm("json", "p"), b"p", b'{"a": 1}', own="msgpack")
    assert MsgpackSerializer().decode(fields[1]) == {"a": 1}


def test_an_entry_without_the_field_says_so() -> None:
    with pytest.raises(DecodeError, match="it has no field 'payload'"):
        plain(StreamForm("json", "payload"), b"data", b"{}")


def test_an_entry_of_others_that_says_it_is_a_pack_is_none() -> None:
    assert plain(StreamForm(), b"rsq-pack", b"3", b"data", b"{}") == [b"data", b"{}"]
