"""The page's own files."""

from __future__ import annotations

import gzip

import pytest

from rsq_pipe.page.files import ASSETS
from tests.support.served_page import ServedPage


async def test_a_view_is_the_page_itself(page: ServedPage) -> None:
    whole = (ASSETS / "index.html").read_text()

    for path in ("/", "/index.html"):
        found = await page.ask("GET", path)
        assert (found.status, found.text) == (200, whole), path
        assert found.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/p/orders/letters", "../../#/p/orders/letters"),
        ("/p", "./#/p"),
        ("/p/a%20b%23", "../#/p/a%20b%23"),
    ],
)
async def test_a_view_without_the_sign_before_its_address_leads_there(
    page: ServedPage, path: str, place: str
) -> None:
    async with page.http.get(f"{page.url}{path}", allow_redirects=False) as found:
        assert (found.status, found.headers["location"]) == (302, place)


async def test_a_file_is_compressed_and_sent_again_only_where_it_changed(page: ServedPage) -> None:
    raw = (ASSETS / "app.js").read_bytes()
    async with page.http.get(
        f"{page.url}/app.js", headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as found:
        assert found.headers["content-encoding"] == "gzip"
        assert gzip.decompress(await found.read()) == raw
        tag = found.headers["etag"]

    again = await page.ask("GET", "/app.js", headers={"If-None-Match": tag})

    assert (again.status, again.text) == (304, "")
    assert found.headers["content-type"].startswith("text/javascript")


async def test_nothing_beside_the_page_is_given(page: ServedPage) -> None:
    for path in ("/none.js", "/..%2fapp.py", "/%2e%2e/app.py", "/../app.py", "/vendor/none.js"):
        assert (await page.ask("GET", path)).status == 404, path


async def test_a_path_that_no_file_can_have_is_told_as_all_that_is_not_there(page: ServedPage) -> None:
    for path in ("/%00", "/app.js%00", f"/{'a' * 300}", f"/{'a/' * 3_000}b"):
        found = await page.ask("GET", path)
        assert (found.status, found.json["error"]["message"]) == (404, "there is no such file"), path[:20]
