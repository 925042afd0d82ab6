"""Who may look and who may act: hosts, origins, tokens, forged requests, headers, sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from rsq_pipe.page.access import cookie_name
from rsq_pipe.page.answers import MAX_BODY
from rsq_pipe.page.attempts import WRONG
from tests.integration.ops.shop import Shop
from tests.support.served_page import Answer, ServedPage, served
from tests.support.server import StreamServer

OPS, DEV = "ops-0123456789abcdef", "dev-0123456789abcdef"


@pytest.fixture
async def guarded(server: StreamServer) -> AsyncIterator[ServedPage]:
    """A page that asks for tokens."""
    async with served(server.url, tokens={"ops": OPS, "dev": DEV}) as page:
        yield page


def pause(shop: Shop) -> str:
    return f"/api/pipelines/{shop.pipeline}/stages/price/pause"


async def post(page: ServedPage, path: str, *, said: Any = None, **headers: str) -> Answer:
    return await page.ask(
        "POST", path, json=said or {}, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def held(shop: Shop) -> bool:
    return bool(await shop.redis("HEXISTS", shop.key("meta"), "paused:price:hold"))


async def test_every_answer_carries_the_headers_of_security(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    for path in ("/", "/app.js", "/api/session", "/api/pipelines", "/api/none", "/none.js"):
        headers = (await page.ask("GET", path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
        if path.startswith("/api"):
            assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "10.0.0.1", ""]
)
async def test_without_tokens_another_hosts_name_is_refused(page: ServedPage, host: str) -> None:
    found = await page.ask("GET", "/api/pipelines", headers={"Host": host})

    assert found.status in {400, 421}  # HTTP itself refuses a host that is empty
    assert "pipelines" not in found.text or found.json["error"]


async def test_this_machine_is_known_by_all_its_names(page: ServedPage) -> None:
    for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert (await page.ask("GET", "/api/session", headers={"Host": host})).status == 200, host


async def test_an_action_needs_the_token_against_forged_requests(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    csrf = (await page.get("/session"))["csrf"]

    assert (await post(page, pause(shop))).status == 403
    assert (await post(page, pause(shop), X_CSRF_Token=csrf[:-1])).status == 403
    assert not await held(shop)
    assert (await post(page, pause(shop), X_CSRF_Token=csrf)).status == 200
    assert await held(shop)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_an_action_from_another_site_is_refused(
    shop: Shop, page: ServedPage, guarded: ServedPage, headers: dict[str, str]
) -> None:
    await shop.add_letters([1])
    csrf = (await page.get("/session"))["csrf"]

    found = await page.ask("POST", pause(shop), json={}, headers={"X-CSRF-Token": csrf, **headers})
    known = {"Authorization": f"Bearer {OPS}", **headers}
    other = await guarded.ask("POST", pause(shop), json={}, headers=known)
    login = await guarded.ask("POST", "/api/login", json={"token": OPS}, headers=headers)

    assert (found.status, other.status, login.status) == (403, 403, 403)
    assert not await held(shop)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_another_site_has_a_browser_ask_for_is_refused(
    shop: Shop, page: ServedPage, site: str
) -> None:
    await shop.add_letters([1])
    own = f"/api/pipelines/{shop.pipeline}"

    for path in (own, f"{own}/events", f"{own}/stages/price/letters?where=n"):
        for mode in ("no-cors", "cors"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
            assert (await page.ask("GET", path, headers=headers)).status == 403, (path, mode)
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    assert (await page.ask("GET", own, headers=link)).status == 200
    assert (await page.ask("GET", "/app.js", headers={"Sec-Fetch-Site": "none"})).status == 200


async def test_an_action_from_the_page_itself_is_taken(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    csrf = (await page.get("/session"))["csrf"]

    found = await post(page, pause(shop), X_CSRF_Token=csrf, Origin=page.url, Sec_Fetch_Site="same-origin")

    assert found.status == 200


async def test_without_a_token_nothing_is_told(shop: Shop, guarded: ServedPage) -> None:
    await shop.add_letters([1])
    own = f"/api/pipelines/{shop.pipeline}"

    for path in ("/api/pipelines", "/api/v1/pipelines", own, f"{own}/audit", f"{own}/events", "/api/none"):
        found = await guarded.ask("GET", path)
        assert (found.status, shop.pipeline in found.text) == (401, False), path
    for scheme in (
        "Bearer",
        "Bearer wrong-0123456789",
        f"Basic {OPS}",
        f"Bearer {OPS} {OPS}",
        f"bearer{OPS}",
    ):
        assert (await guarded.ask("GET", own, headers={"Authorization": scheme})).status == 401, scheme
    told = await guarded.get("/session")
    assert (told["authenticated"], told["login_needed"], told["server"], told["csrf"]) == (
        False,
        True,
        None,
        "",
    )
    assert (await guarded.ask("GET", "/")).status == 200  # the page asks for it, and holds no data


async def test_a_token_in_a_header_may_look_and_act(shop: Shop, guarded: ServedPage) -> None:
    await shop.add_letters([1])
    known = {"Authorization": f"Bearer {DEV}"}

    assert (await guarded.ask("GET", "/api/pipelines", headers=known)).status == 200
    assert (await guarded.ask("POST", pause(shop), json={}, headers=known)).status == 200
    noted = await guarded.ask("GET", f"/api/pipelines/{shop.pipeline}/audit", headers=known)
    assert noted.json["audit"][0]["who"] == "dev"


async def test_a_browser_logs_in_once(shop: Shop, guarded: ServedPage) -> None:
    await shop.add_letters([1])

    assert (await guarded.ask("POST", "/api/login", json={"token": "wrong"})).status == 401
    found = await guarded.ask("POST", "/api/login", json={"token": OPS})
    cookie = found.headers["set-cookie"].lower()
    told = await guarded.get("/session")

    assert (found.status, OPS in str(found.headers)) == (200, False)
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert (told["authenticated"], told["token_name"]) == (True, "ops")
    assert (await post(guarded, pause(shop))).status == 403
    assert (await post(guarded, pause(shop), X_CSRF_Token=told["csrf"])).status == 200
    assert (await guarded.get(f"/pipelines/{shop.pipeline}/audit"))["audit"][0]["who"] == "ops"
    await guarded.ask("POST", "/api/logout", json={})
    assert (await guarded.ask("GET", "/api/pipelines")).status == 401


async def test_a_copy_of_the_cookie_of_a_browser_that_has_logged_out_is_none(guarded: ServedPage) -> None:
    await guarded.ask("POST", "/api/login", json={"token": DEV})
    (copied,) = [f"{one.key}={one.value}" for one in guarded.http.cookie_jar]
    await guarded.ask("POST", "/api/logout", json={})

    async with aiohttp.ClientSession() as other:
        found = await other.get(f"{guarded.url}/api/pipelines", headers={"Cookie": copied})
        assert found.status == 401

    await guarded.ask("POST", "/api/login", json={"token": DEV})
    assert (await guarded.get("/session"))["token_name"] == "dev", "another login has a cookie of its own"


async def test_a_cookie_that_was_changed_is_none(guarded: ServedPage) -> None:
    await guarded.ask("POST", "/api/login", json={"token": DEV})
    (value,) = [one.value for one in guarded.http.cookie_jar]
    name, at, salt, signature = value.split(".")
    forged = [
        f"{b'ops'.hex()}.{at}.{salt}.{signature}",
        f"{name}.{int(at) + 1}.{salt}.{signature}",
        f"{name}.{at}.{salt}.{'0' * 64}",
        *("", "...", "x", f"{name}.{at}", "é.1.2.3"),
    ]

    async with aiohttp.ClientSession() as http:
        for one in [*forged, value]:
            headers = {"Cookie": f"{cookie_name(guarded.url[7:])}={one}"}
            async with http.get(f"{guarded.url}/api/pipelines", headers=headers) as found:
                assert found.status == (200 if one == value else 401), one


async def test_cookies_of_other_pages_of_the_host_are_in_nobodys_way(guarded: ServedPage) -> None:
    await guarded.ask("POST", "/api/login", json={"token": DEV})
    (own,) = [one.value for one in guarded.http.cookie_jar]
    cookie = cookie_name(guarded.url[7:])

    async with aiohttp.ClientSession() as http:
        for others in ("a[]=1; ", '{"x":1}; ', 'a="b; ', "a=\xe4; ", "=; ;; ", f"x{cookie}=1; "):
            headers = {"Cookie": f"{others}{cookie}={own}"}
            async with http.get(f"{guarded.url}/api/session", headers=headers) as found:
                assert (await found.json())["token_name"] == "dev", others


async def test_a_token_may_hold_letters_of_any_language(server: StreamServer) -> None:
    token = "clé-0123456789-là"
    async with served(server.url, tokens={"ops": token}) as page:
        headers = {"Authorization": f"Bearer {token}"}
        found = await page.ask("GET", "/api/session", headers=headers)
        login = await page.ask("POST", "/api/login", json={"token": token})

    assert (found.json["token_name"], login.status) == ("ops", 200)


async def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_alone(guarded: ServedPage) -> None:
    headers = {"X-Forwarded-Proto": "https", "Host": "pipes.example"}
    found = await guarded.ask("POST", "/api/login", json={"token": OPS}, headers=headers)

    assert found.status == 200
    assert "secure" in found.headers["set-cookie"].lower()


async def test_a_page_to_look_at_refuses_every_action(shop: Shop, server: StreamServer) -> None:
    (name,) = await shop.add_letters([1])
    stage = f"/pipelines/{shop.pipeline}/stages/price"
    async with served(server.url, read_only=True) as page:
        for path in ("/pause", "/resume", "/letters/replay", "/letters/purge", f"/letters/{name}/mend"):
            found = await page.post(f"{stage}{path}", all=True, confirm=1)
            assert (found.status, "read-only" in found.json["error"]["message"]) == (403, True), path
        assert (await page.post(f"/pipelines/{shop.pipeline}/jobs/x/stop")).status == 403
        assert (await page.get("/session"))["read_only"] is True
        assert (await page.get(f"{stage}/letters"))["total"] == 1

    assert not await held(shop)


async def test_a_body_is_bounded_whether_its_length_is_told_or_not(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    csrf = (await page.get("/session"))["csrf"]
    headers = {"X-CSRF-Token": csrf, "Content-Type": "application/json"}

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 2**16 + 2):
            yield b" " * 2**16

    told = await page.ask("POST", pause(shop), data=BytesIO(b" " * (MAX_BODY + 1)), headers=headers)
    untold = await page.ask("POST", pause(shop), data=endless(), headers=headers)

    assert (told.status, untold.status) == (413, 413)
    assert not await held(shop)


async def test_a_body_that_is_no_json_object_is_refused(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    csrf = (await page.get("/session"))["csrf"]
    for data, kind, status in (
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"why": "x"}', "text/plain", 415),
        (b"why=x", "application/x-www-form-urlencoded", 415),
        (b'{"why": 7}', "application/json", 400),
    ):
        headers = {"X-CSRF-Token": csrf, "Content-Type": kind}
        found = await page.ask("POST", pause(shop), data=data, headers=headers)
        assert (found.status, bool(found.json["error"]["message"])) == (status, True), data[:20]
    assert not await held(shop)


async def test_other_sites_are_told_nothing_by_a_question_beforehand(page: ServedPage) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    found = await page.ask("OPTIONS", "/api/pipelines", headers=headers)

    assert found.status == 403
    assert not [name for name in found.headers if name.lower().startswith("access-control")]


async def test_a_page_that_asks_for_no_token_minds_none(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    known = {"Authorization": f"Bearer {OPS}"}

    assert (await page.ask("GET", "/api/pipelines", headers=known)).status == 200
    # And lets nobody act by it: what a browser was made to send is still held against the page's own word.
    assert (await page.ask("POST", pause(shop), json={}, headers=known)).status == 403
    assert not await held(shop)


async def test_two_pages_of_one_host_do_not_log_each_other_out(server: StreamServer) -> None:
    async with served(server.url, tokens={"ops": OPS}) as one, served(server.url, tokens={"dev": DEV}) as two:
        two.http = one.http  # one browser: cookies are of a host, whatever the port
        for page, token in ((one, OPS), (two, DEV)):
            assert (await page.ask("POST", "/api/login", json={"token": token})).status == 200

        assert (await one.get("/session"))["token_name"] == "ops"
        assert (await two.get("/session"))["token_name"] == "dev"
        await two.ask("POST", "/api/logout", json={})
        assert (await one.get("/session"))["token_name"] == "ops"
        assert (await two.get("/session"))["authenticated"] is False


@pytest.mark.parametrize("way", ["login", "header"])
async def test_wrong_tokens_are_refused_unread_after_so_many_in_a_minute(
    guarded: ServedPage, way: str
) -> None:
    async def tried(token: str, address: str = "10.0.0.1") -> Answer:
        told = {"X-Forwarded-For": address}
        if way == "login":
            return await guarded.ask("POST", "/api/login", json={"token": token}, headers=told)
        told["Authorization"] = f"Bearer {token}"
        return await guarded.ask("GET", "/api/pipelines", headers=told)

    for number in range(WRONG):
        assert (await tried(f"wrong-{number}")).status == 401
    for token in ("wrong", OPS):
        found = await tried(token)
        assert found.status == 429
        assert 0 < int(found.headers["retry-after"]) <= 60
        assert "10.0.0.1" in found.json["error"]["message"]

    assert (await tried(OPS, "10.0.0.2")).status == 200
    assert (await guarded.ask("GET", "/api/session", headers={"X-Forwarded-For": "10.0.0.1"})).status == 200


async def test_who_is_logged_in_is_not_held_up_by_wrong_tokens_of_its_address(guarded: ServedPage) -> None:
    assert (await guarded.ask("POST", "/api/login", json={"token": OPS})).status == 200
    for number in range(WRONG + 1):
        await guarded.ask("POST", "/api/login", json={"token": f"wrong-{number}"})

    assert (await guarded.ask("GET", "/api/pipelines")).status == 200
