"""Paging over HTTP: which page follows, and which records of it are new; without a server."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.connectors.http.lists import is_named, listed
from rsq_pipe.connectors.http.mark import Mark
from rsq_pipe.connectors.http.options import ReadSettings
from rsq_pipe.connectors.http.paging import following, parameters

URL = "https://shop.example/v1/orders"


def settings(**more: Any) -> ReadSettings:
    return ReadSettings.model_validate({"url": URL, **more})


def test_a_total_ends_before_an_empty_page_is_asked_for() -> None:
    mark = Mark()
    paged = settings(paginate={"type": "offset", "limit": 2, "total_path": "meta.total"})

    assert parameters(paged, mark) == {"limit": "2", "offset": "0"}
    assert following(paged, mark, {"meta": {"total": 4}}, 2, {})
    assert parameters(paged, mark) == {"limit": "2", "offset": "2"}
    assert not following(paged, mark, {"meta": {"total": 4}}, 2, {})


def test_a_link_may_be_relative_and_has_its_own_parameters() -> None:
    mark = Mark()
    linked = settings(paginate={"type": "json_link", "next_url_path": "links.next"}, params={"a": "b"})

    assert following(linked, mark, {"links": {"next": "?page=2"}}, 1, {})
    assert mark.url == f"{URL}?page=2"
    assert parameters(linked, mark) == {}
    assert not following(linked, mark, {"links": {"next": None}}, 1, {})


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/v1", "http://shop.example/v1", "//evil.example/", "https://shop.example:444/"],
)
def test_a_link_to_another_host_would_get_the_credentials_and_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match="on another host"):
        following(settings(paginate="header_link"), Mark(), None, 1, {"next": link})


def test_pages_that_lead_to_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="itself"):
        following(settings(paginate="header_link"), Mark(), None, 1, {"next": URL})
    with pytest.raises(ValueError, match="the page before"):
        following(settings(paginate="cursor"), Mark(cursor="x"), {"cursors": {"next": "x"}}, 1, {})


def test_what_had_the_highest_value_before_does_not_come_again_and_what_is_new_there_does() -> None:
    first = Mark()
    assert [first.note(value, digest) for value, digest in ((1, "a"), (2, "b"), (2, "c"))] == [True] * 3
    second = Mark.load(first.next_round().dump())
    assert second.since == 2
    assert [second.note(2, digest) for digest in ("b", "c", "d")] == [False, False, True]
    third = second.next_round()
    assert [third.note(2, digest) for digest in ("b", "c", "d", "e")] == [False, False, False, True]
    assert third.note(3, "a")
    assert third.next_round().seen == ["a"]


@pytest.mark.parametrize(
    ("answer", "path", "said"),
    [
        ({"data": {"items": [{"n": 1}]}}, "items", "it has a list at `records: data.items`"),
        ({"a": [], "b": [{}], "c": [1]}, "d", "it has a list at `records: a` and `records: b`"),
        ([{"n": 1}], "items", "the answer itself is a list: leave out `records`"),
        ({"error": "no"}, "items", "it has no list of objects"),
    ],
)
def test_where_an_answer_has_lists_is_said_of_a_path_that_leads_to_nothing(
    answer: Any, path: str, said: str
) -> None:
    assert not is_named(answer, path)
    assert listed(answer) == said


def test_a_list_that_is_null_is_named() -> None:
    assert is_named({"data": {"items": None}}, "data.items")
    assert not is_named({"data": None}, "data.items")
