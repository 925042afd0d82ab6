"""lookup over HTTP: a GET a key, some at once; addresses that hand out credentials are not asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.http.addresses import is_refused
from rsq_pipe.engine.pauses.breaker import cause_of
from rsq_pipe.errors import TableError, TableUnavailableError
from rsq_pipe.model.outcome import Failure, Outcomes
from rsq_pipe.spec.key_template import KeyTemplate
from rsq_pipe.spec.stages.lookup import HttpRef
from rsq_pipe.verbs.tables.http_table import HttpTable
from tests.integration.verbs.given import looked, sent, unavailable, verb_of
from tests.support.signals import wait_until


class Service:
    """Customers by number; what it was asked, and how many requests were under way at once at most."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[str | None] = []
        self.status = 0
        self.broken: dict[str, int] = {}
        self.hangs = ""
        self.wait = ""
        self.most = self._now = 0
        self.go = asyncio.Event()
        self.go.set()

    async def customer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        self.headers.append(request.headers.get("Authorization"))
        self._now += 1
        self.most = max(self.most, self._now)
        await self.go.wait()
        self._now -= 1
        number = request.match_info["id"]
        if number == self.hangs:
            await asyncio.Event().wait()
        if number in self.broken:
            return web.Response(
                status=self.broken[number], headers={"Retry-After": self.wait}, text="no\nsuch tier"
            )
        if self.status:
            return web.Response(status=self.status, headers={"Location": "/customers/7"})
        answers = {"7": '{"name": "Ada"}', "8": '{"name": "Bob", "land": "DE"}', "list": "[1]", "half": "{"}
        answers["large"] = '{"name": "' + "x" * 2**21 + '"}'
        return (
            web.Response(text=answers.get(number, '{"name": "?"}'))
            if number != "9"
            else web.Response(status=404)
        )


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def server(service: Service) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_get("/customers/{id}", service.customer)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


def url(server: TestServer) -> str:
    return f"http://{server.host}:{server.port}/customers/{{id}}"


async def once(root: Path, where: str, *records: object, more: str = "", timeout: str = "30s") -> Outcomes:
    text = f'table: {{http: {{url: "{where}"{more}}}}}, key: id, fields: [name, land]'
    verb = verb_of(root, text, environ={"TOKEN": "hunter2"}, timeout=timeout)
    try:
        return await looked(verb, *records)
    finally:
        await verb.close()


async def test_an_object_is_a_row_and_404_is_none(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    header = ', headers: {Authorization: "Bearer ${secret:TOKEN}"}'

    out = await once(tmp_path, url(server), {"id": 7}, {"id": "8"}, {"id": 9}, {"id": 7}, more=header)

    assert sent(out) == [
        {"id": 7, "name": "Ada", "land": None},
        {"id": "8", "name": "Bob", "land": "DE"},
        {"id": 9, "name": None, "land": None},
        {"id": 7, "name": "Ada", "land": None},
    ]
    assert out.unknown == {"9": [2]}
    assert sorted(service.asked) == ["/customers/7", "/customers/8", "/customers/9"]
    assert set(service.headers) == {"Bearer hunter2"}


async def test_what_is_no_row_is_the_records_error(server: TestServer, tmp_path: Path) -> None:
    out = await once(
        tmp_path, url(server), *({"id": key} for key in ("list", "half", "large", "..", "", "7"))
    )

    errors = [str(one.error) for one in out.failed.values() if isinstance(one, Failure) and not one.retryable]
    assert len(errors) == 5
    for part in (
        "not a JSON object but an array",
        "it is not JSON",
        "longer than",
        "cannot be part of an address",
    ):
        assert any(part in error for error in errors), part
    assert len(sent(out)) == 1


async def test_a_key_stays_one_part_of_the_path(server: TestServer, service: Service, tmp_path: Path) -> None:
    await once(tmp_path, url(server), {"id": "a/../b?c=d#e %2F"})

    assert service.asked == ["/customers/a%2F..%2Fb%3Fc%3Dd%23e%20%252F"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_service_that_cannot_now_blames_no_record(
    server: TestServer, service: Service, tmp_path: Path, status: int
) -> None:
    service.status = status

    out = await once(tmp_path, url(server), {"id": 7}, {"id": 8})

    assert f"it answers {status}" in unavailable(out)


@pytest.mark.parametrize(("status", "why"), [(401, "check the credentials"), (302, "a redirect")])
async def test_a_service_that_refuses_stops_the_stage(
    server: TestServer, service: Service, tmp_path: Path, status: int, why: str
) -> None:
    service.status = status

    with pytest.raises(TableError, match=why):
        await once(tmp_path, url(server), {"id": 7})

    assert service.asked == ["/customers/7"], "a redirect is not followed"


async def test_a_service_that_is_away_blames_no_record(server: TestServer, tmp_path: Path) -> None:
    where = url(server)
    await server.close()

    assert "stage 'enrich': its table cannot be read now: http://" in unavailable(
        await once(tmp_path, where, {"id": 7}, {"id": 8})
    )


async def test_a_service_that_does_not_answer_is_left_after_the_timeout(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    service.go.clear()

    out = await once(tmp_path, url(server), {"id": 7}, timeout="300ms")

    service.go.set()
    assert "no answer within `timeout`, 0.3 s" in unavailable(out)


async def test_a_dead_letter_quotes_what_the_service_answered(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    service.broken = {"50": 400}

    out = await once(tmp_path, url(server), {"id": 50}, {"id": 7})

    (failure,) = out.failed.values()
    assert isinstance(failure, Failure)
    assert not failure.retryable
    assert "it answers 400: no such tier" in str(failure.error)


def excused(out: Outcomes) -> dict[int, bool]:
    """Place -> whether it is known that no record is to blame, of those to be looked up again."""
    errors = {place: one.error for place, one in out.failed.items() if isinstance(one, Failure)}
    return {place: one.certain for place, one in errors.items() if isinstance(one, TableUnavailableError)}


async def test_one_key_that_a_service_fails_at_holds_up_no_other(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    service.broken = {"50": 500}

    out = await once(tmp_path, url(server), *({"id": n} for n in range(40, 60)))

    assert len(sent(out)) == 19
    assert excused(out) == {10: False}, "it may be the key, so its attempts are counted"


async def test_what_a_service_answered_before_it_could_no_longer_is_used(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    service.broken = {"50": 503}

    out = await once(tmp_path, url(server), *({"id": n} for n in range(40, 60)), more=", concurrency: 1")

    assert len(sent(out)) == 10
    assert excused(out) == dict.fromkeys(range(10, 20), True)
    assert len(service.asked) == 11


async def test_one_key_without_an_answer_holds_up_no_other(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    service.hangs = "59"

    records = ({"id": n} for n in range(40, 60))
    out = await once(tmp_path, url(server), *records, timeout="2s", more=", concurrency: 2")

    assert len(sent(out)) == 19
    assert excused(out) == {19: False}


async def test_a_service_is_left_alone_for_as_long_as_it_asks(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    service.broken, service.wait = {"50": 429}, "120"
    text = f'table: {{http: {{url: "{url(server)}"}}}}, key: id, fields: [name, land]'
    verb = verb_of(tmp_path, text)

    await looked(verb, {"id": 50}, {"id": 7})
    asked = len(service.asked)
    out = await looked(verb, {"id": 8})
    await verb.close()

    (failure,) = out.failed.values()
    assert isinstance(failure, Failure)
    cause = cause_of(failure)
    assert cause is not None
    assert cause.certain
    assert 60 < cause.pause <= 120
    assert len(service.asked) == asked


async def test_no_more_are_asked_at_once_than_is_said(
    server: TestServer, service: Service, tmp_path: Path
) -> None:
    records = [{"id": n} for n in range(100, 140)]

    service.go.clear()

    asking = asyncio.create_task(once(tmp_path, url(server), *records, more=", concurrency: 4"))
    await wait_until(lambda: len(service.asked) == 4)
    service.go.set()

    assert len(sent(await asking)) == 40
    assert service.most == 4


@pytest.mark.parametrize(
    "host",
    [
        "2852039166",
        "0xA9FEA9FE",
        "169.254.43518",
        "169.254.169.254.",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "fe80::1%eth0",
        "100.100.100.200",
    ],
)
def test_addresses_that_hand_out_credentials_are_known(host: str) -> None:
    assert is_refused(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]", "a.org", "169.253.0.1", "1", "größe", ""])
def test_other_addresses_hand_out_no_credentials(host: str) -> None:
    assert not is_refused(host)


@pytest.mark.parametrize("host", ["2852039166", "0xA9FEA9FE", "169.254.43518"])
async def test_another_spelling_of_such_an_address_is_not_connected_to(host: str) -> None:
    table = HttpTable(HttpRef(KeyTemplate("", (f"http://{host}/", 0))))
    try:
        with pytest.raises(RefusedError, match="link-local or metadata address"):
            await table.fetch(["7"], 30)
    finally:
        await table.close()
