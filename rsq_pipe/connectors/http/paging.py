"""Paging: which page follows, according to an answer; pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from rsq_pipe.connectors.http.mark import Mark
from rsq_pipe.connectors.http.options import Paginate, ReadSettings


def inside(value: Any, path: str) -> Any:
    """Return the value at a path such as `data.items`; the whole if it is empty, None if nothing is there."""
    for name in path.split(".") if path else ():
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def parameters(settings: ReadSettings, mark: Mark) -> dict[str, str]:
    """Return the parameters of the next page; an address that a page named has its own."""
    if mark.url:
        return {}
    found, how = dict(settings.params), settings.paginate
    if settings.cursor is not None:
        since = settings.cursor.initial if mark.since is None else str(mark.since)
        if since:
            found[settings.cursor.param] = since
    match how.type:
        case "cursor":
            if mark.cursor:
                found[how.cursor_param] = mark.cursor
        case "offset":
            found |= {how.limit_param: str(how.limit), how.offset_param: str(mark.count)}
        case "page_number":
            found[how.page_param] = str(how.base_page + mark.page)
        case _:
            pass
    return found


def following(
    settings: ReadSettings, mark: Mark, answer: Any, records: int, links: Mapping[str, str]
) -> bool:
    """
    Move a mark past a page.

    Args:
        answer: The page.
        records: How many records it has.
        links: The addresses in its header `Link`: `next` -> address.

    Returns:
        Whether another page follows.

    Raises:
        ValueError: It leads to itself, or to another host, which would get the credentials.
    """
    how, before = settings.paginate, (mark.url or settings.url, mark.cursor)
    mark.page, mark.count, mark.at, mark.digest = mark.page + 1, mark.count + records, 0, ""
    match how.type:
        case "single_page":
            return False
        case "json_link" | "header_link":
            link = inside(answer, how.next_url_path) if how.type == "json_link" else links.get("next")
            if not link:
                return False
            mark.url = _checked(settings.url, before[0], link, how)
            if mark.url == before[0]:
                raise ValueError("it names itself as the next page")
            return True
        case "cursor":
            cursor = inside(answer, how.cursor_path)
            if cursor is None or cursor == "":
                return False
            mark.cursor = str(cursor)
            if mark.cursor == before[1]:
                raise ValueError(f"it has the cursor {mark.cursor[:80]!r} of the page before")
            return True
    total = inside(answer, how.total_path) if how.total_path else None
    if total is None:
        return records > 0
    return _number(total, how) > (mark.count if how.type == "offset" else mark.page) and records > 0


def _number(total: Any, how: Paginate) -> int:
    try:
        return int(total)
    except (TypeError, ValueError) as exc:
        what = f"the value at `total_path: {how.total_path}` is {total!r}, and not a number"
        raise ValueError(what) from exc


def _checked(url: str, before: str, found: Any, how: Paginate) -> str:
    if not isinstance(found, str):
        kind = "an object" if isinstance(found, dict) else type(found).__name__
        what = f"the value at `next_url_path: {how.next_url_path}` is not an address, but {kind}"
        raise ValueError(what)  # noqa: TRY004  about what was read
    link = urljoin(before, found)
    ours, theirs = urlsplit(url), urlsplit(link)
    if (ours.scheme, ours.netloc.lower()) != (theirs.scheme, theirs.netloc.lower()):
        raise ValueError(f"its next page is on another host, {theirs.netloc[:80]}, which is not asked")
    return link
