"""Sink http against a real server: what a kill, an outage, a limit and a bad record make of the records."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from subprocess import Popen
from typing import Any
from weakref import WeakSet

import pytest
from aiohttp import web

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually
from tests.support.web_service import WebService

COUNT = 2_000
ONE_ATTEMPT = """
defaults:
  batch: {size: 100}
  retry: {attempts: 1}
  breaker: {first: 100ms, max: 500ms}
"""


class Shop:
    """Takes orders; refuses, or cannot, as it is told."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.taken: list[int] = []
        self.requests = 0
        self.refuse = frozenset[int]()
        self.broken = frozenset[int]()
        self.limits: list[tuple[float, int]] = []  # when a 429 was answered, and to which request
        self.limit_at = -1
        self.token = ""
        self.tokens: list[str] = []
        self.form: dict[str, Any] = {}
        self.login = ""

    async def __call__(self, request: web.Request) -> web.Response:
        if request.path == "/token":
            self.form, self.login = dict(await request.post()), request.headers.get("Authorization", "")
            self.token = f"token-{len(self.tokens)}-secret"
            self.tokens.append(self.token)
            return web.json_response({"access_token": self.token, "expires_in": 3600})
        self.requests += 1
        if self.requests == self.limit_at:
            self.limits.append((time.monotonic(), self.requests))
            return web.Response(status=429, headers={"Retry-After": "2"})
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="who is that?")
        text = await request.text()
        if request.content_type == "application/x-ndjson":
            numbers = [json.loads(line)["n"] for line in text.splitlines()]
        else:
            found: Any = json.loads(text)
            numbers = [one["n"] for one in (found if isinstance(found, list) else [found])]
        if bad := self.refuse.intersection(numbers):
            return web.Response(status=422, text=f"no such product in order {min(bad)}")
        if self.broken.intersection(numbers):
            return web.Response(status=500, text="it broke")
        self.keys[request.headers["Idempotency-Key"]] += 1
        self.taken += numbers
        return web.Response(status=201)


def spec(project: Project, url: str, *, more: str = "", defaults: str = ONE_ATTEMPT) -> None:
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: http, url: "{url}/orders"{more}}}}}
        """,
        top="reclaim: {idle: 500ms}",
        defaults=defaults,
    )


def came_to(shop: Shop, goal: int, process: Popen[str]) -> bool:
    return len(shop.taken) >= goal or process.poll() is not None


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    made = Project(tmp_path / "project", name)
    made.records(range(COUNT))
    return made


def waits(project: Project, server: StreamServer) -> bool:
    """Whether a record waits for another attempt, alone or with a stage that pauses, or is a dead letter."""
    said = rsq_pipe("status", project.path, "--redis", server.url, "--json", cwd=project.root)
    stages = json.loads(said.stdout)["stages"] if said.returncode == 0 else []
    return any(stage["retry"] or stage["paused"] or stage["counters"]["dead"] for stage in stages)


def letters(project: Project, server: StreamServer) -> list[dict[str, Any]]:
    done = rsq_pipe("dlq", "export", project.path, "--redis", server.url, cwd=project.root)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("body", ["record", "array", "ndjson"])
def test_each_record_is_sent_and_a_refused_one_is_a_dead_letter_with_the_answer(
    server: StreamServer, project: Project, body: str
) -> None:
    shop = Shop()
    shop.refuse = frozenset((0, 17, 1_234))
    with WebService(shop) as service:
        spec(project, service.url, more=f", body: {body}")
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 4, done.stderr
    assert sorted(shop.taken) == [n for n in range(COUNT) if n not in shop.refuse]
    errors = sorted(letter["message"] for letter in letters(project, server))
    assert len(errors) == 3
    assert "POST http://127.0.0.1" in errors[0]
    assert "it answers 422: no such product in order 0" in errors[0]
    assert body == "record" or shop.requests < 100
    if body == "record":
        assert set(shop.keys) == {f"read:in.jsonl:{n + 1}" for n in range(COUNT)} - {
            f"read:in.jsonl:{n + 1}" for n in shop.refuse
        }


def test_a_record_that_breaks_the_service_is_found_in_its_batch_and_alone_is_a_dead_letter(
    server: StreamServer, project: Project
) -> None:
    shop = Shop()
    shop.broken = frozenset((0, 250))
    with WebService(shop) as service:
        spec(project, service.url, more=", body: array")
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 4, done.stderr
    assert sorted(shop.taken) == [n for n in range(COUNT) if n not in shop.broken]
    assert ["it answers 500: it broke" in one["message"] for one in letters(project, server)] == [True, True]


def test_a_server_that_is_not_there_yet_costs_no_record_its_one_attempt(
    server: StreamServer, project: Project
) -> None:
    shop = Shop()
    with WebService(shop) as service:
        spec(project, service.url)
        service.stop()
        process = start("run", project.path, "--redis", server.url, "--json", cwd=project.root)

        def paused() -> Any:
            said = rsq_pipe("status", project.path, "--redis", server.url, "--json", cwd=project.root)
            return json.loads(said.stdout)["stages"][1]["paused"] if said.returncode == 0 else None

        try:
            assert "EndpointUnavailableError" in eventually(paused)["why"]
            service.start()
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.communicate()

    assert process.returncode == 0, err
    assert json.loads(out)["dead_letters"] == 0
    assert sorted(shop.taken) == list(range(COUNT))


@pytest.mark.parametrize("count", [1, 40])
def test_a_request_under_way_when_its_service_dies_costs_its_record_no_attempt(
    server: StreamServer, project: Project, count: int
) -> None:
    shop, came = Shop(), threading.Event()

    async def dies(request: web.Request) -> web.Response:
        if json.loads(await request.text())["n"] == count // 2 and not came.is_set():
            came.set()
            await asyncio.Event().wait()
        return await shop(request)

    (project.root / "in.jsonl").unlink()
    project.records(range(count))
    with WebService(dies) as service:
        spec(project, service.url, more=", concurrency: 4")
        process = start("run", project.path, "--redis", server.url, cwd=project.root)
        try:
            assert came.wait(PATIENCE)
            service.stop()
            eventually(lambda: waits(project, server))
            service.start()
            assert process.wait(60) == 0, letters(project, server)
        finally:
            process.kill()
            process.communicate()
    assert sorted(shop.taken) == list(range(count))


@pytest.mark.parametrize("count", [1, 40])
def test_a_request_whose_service_dies_and_is_back_at_once_costs_its_record_no_attempt(
    server: StreamServer, project: Project, count: int
) -> None:
    shop, number, came = Shop(), count // 2, Counter[int]()

    async def dies(request: web.Request) -> web.Response:
        n = json.loads(await request.text())["n"]
        came[n] += 1
        # On a kept connection it is sent once more by a new one; the first of all connections is new.
        if n == number and came[n] <= (2 if n else 1) and request.transport is not None:
            request.transport.abort()
            return web.Response()  # which nobody gets
        return await shop(request)

    (project.root / "in.jsonl").unlink()
    project.records(range(count))
    with WebService(dies) as service:
        spec(project, service.url, more=", concurrency: 4")
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, letters(project, server)
    assert sorted(shop.taken) == list(range(count))


class Closing:
    """
    Closes each connection that it has answered on as the next request comes on it.

    Args:
        shop: Takes the orders.
        broken: Orders whose connection is closed whenever they come.
    """

    def __init__(self, shop: Shop, broken: frozenset[int] = frozenset()) -> None:
        self._shop = shop
        self._broken = broken
        self._used = WeakSet[asyncio.BaseTransport]()
        self.came: Counter[int] = Counter()

    async def __call__(self, request: web.Request) -> web.Response:
        number = json.loads(await request.text())["n"]
        self.came[number] += 1
        assert isinstance(request.transport, asyncio.Transport)
        if request.transport in self._used or number in self._broken:
            request.transport.abort()
            return web.Response()  # which nobody gets
        self._used.add(request.transport)
        return await self._shop(request)


def test_a_request_whose_kept_connection_the_service_closes_is_sent_once_more_on_a_new_one(
    server: StreamServer, project: Project
) -> None:
    shop = Shop()
    (project.root / "in.jsonl").unlink()
    project.records(range(40))
    with WebService(Closing(shop)) as service:
        spec(project, service.url, more=", concurrency: 4")
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, letters(project, server)
    assert sorted(shop.taken) == list(range(40))


def test_a_record_that_closes_every_connection_is_excused_once_and_sent_twice_each_time_at_most(
    server: StreamServer, project: Project
) -> None:
    shop = Shop()
    closing = Closing(shop, frozenset((0, 20)))
    (project.root / "in.jsonl").unlink()
    project.records(range(40))
    with WebService(closing) as service:
        spec(project, service.url)
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 4, done.stderr
    assert sorted(one["rid"] for one in letters(project, server)) == ["read:in.jsonl:1", "read:in.jsonl:21"]
    assert max(closing.came[0], closing.came[20]) <= 2 * 2
    assert sorted(shop.taken) == [n for n in range(40) if n not in (0, 20)]


def test_retry_after_is_waited_for_and_burns_no_attempt(server: StreamServer, project: Project) -> None:
    shop = Shop()
    shop.limit_at = 500
    arrived: list[float] = []

    async def noted(request: web.Request) -> web.Response:
        arrived.append(time.monotonic())
        return await shop(request)

    with WebService(noted) as service:
        spec(project, service.url)
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert sorted(shop.taken) == list(range(COUNT))
    ((limited, _),) = shop.limits
    later = [at - limited for at in arrived if at > limited + 0.2]  # what was under way by then came at once
    assert 1.9 < min(later) < 4


@pytest.mark.parametrize("fails", ["503", "reset"])
def test_one_answer_that_failed_is_asked_for_again_at_once(
    server: StreamServer, project: Project, fails: str
) -> None:
    shop, arrived = Shop(), list[float]()

    async def fails_once(request: web.Request) -> web.Response:
        arrived.append(time.monotonic())
        if len(arrived) > 1:
            return await shop(request)
        if fails == "reset":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=503)

    (project.root / "in.jsonl").unlink()
    project.records([7])
    with WebService(fails_once) as service:
        spec(project, service.url, defaults="")
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, letters(project, server)
    assert shop.taken == [7]
    assert ("paused: a call failed, and is tried again" in done.stderr) == (fails == "503")
    assert "calls fail one after another" not in done.stderr, "it was one"
    assert arrived[-1] - arrived[0] < 1.0, "after a tenth of a second, where the machine has time"


@pytest.mark.parametrize(("status", "body"), [(503, "record"), (502, "record"), (504, "ndjson")])
def test_where_one_request_in_forty_cannot_be_served_now_the_others_are_sent(
    server: StreamServer, project: Project, status: int, body: str
) -> None:
    shop, asked = Shop(), count()

    async def now_and_then(request: web.Request) -> web.Response:
        return web.Response(status=status) if next(asked) % 40 == 5 else await shop(request)

    with WebService(now_and_then) as service:
        defaults = ONE_ATTEMPT.replace("100}", "20}")
        spec(project, service.url, more=f", concurrency: 1, body: {body}", defaults=defaults)
        done = rsq_pipe("run", project.path, "--json", "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert sorted(shop.taken) == list(range(COUNT))
    (retried,) = [one["retried"] for one in json.loads(done.stdout)["stages"] if one["name"] == "out"]
    assert 40 <= retried <= 80, "what failed comes back, and nothing with it"


def test_a_replay_has_a_new_key(server: StreamServer, project: Project) -> None:
    shop = Shop()
    shop.refuse = frozenset((3,))
    with WebService(shop) as service:
        spec(project, service.url)
        rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
        shop.refuse = frozenset()
        (letter,) = letters(project, server)
        rsq_pipe("dlq", "replay", project.path, "--yes", "--redis", server.url, cwd=project.root)
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert sorted(shop.taken) == list(range(COUNT))
    (key,) = [key for key in shop.keys if key.startswith("read:in.jsonl:4+")]
    assert key == f"read:in.jsonl:4+{letter['id']}"


def test_wrong_credentials_end_the_run_and_are_not_printed(server: StreamServer, project: Project) -> None:
    shop = Shop()
    shop.token = "another"
    with WebService(shop) as service:
        spec(project, service.url, more=', auth: {bearer: "${secret:TOKEN}"}')
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, TOKEN="hunter2-hunter2")
        assert done.returncode == 1
        assert "it answers 401: who is that?; check the credentials" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        shop.token = "hunter2-hunter2"
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, TOKEN="hunter2-hunter2")

    assert done.returncode == 0, done.stderr
    assert sorted(shop.taken) == list(range(COUNT))


def test_a_token_is_asked_for_once_and_again_when_it_is_refused(
    server: StreamServer, project: Project
) -> None:
    shop = Shop()
    with WebService(shop) as service:
        auth = (
            f"oauth: {{token_url: '{service.url}/token', client_id: me, "
            "client_secret: '${secret:S}', scope: orders}"
        )
        spec(project, service.url, more=f", auth: {{{auth}}}")
        process = start("run", project.path, "--redis", server.url, cwd=project.root, S="client-secret")
        try:
            eventually(lambda: len(shop.taken) > 100)
            shop.token = "revoked"
            _, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.communicate()

    assert process.returncode == 0, err
    assert sorted(shop.taken) == list(range(COUNT))
    assert len(shop.tokens) == 2
    assert shop.form == {"grant_type": "client_credentials", "scope": "orders"}
    assert shop.login.startswith("Basic ")


def test_metadata_addresses_are_mistakes_of_the_file(project: Project, server: StreamServer) -> None:
    spec(project, "http://169.254.169.254")
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 2
    assert "169.254.169.254 is a link-local or metadata address" in done.stderr
