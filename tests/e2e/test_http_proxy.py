"""HTTP connectors behind a company's proxy: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from tests.support.command_line import rsq_pipe
from tests.support.object_store import Bucket
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.tls import AUTHORITY, tls_front
from tests.support.web_proxy import WebProxy
from tests.support.web_service import WebService

PIPELINE = """
    read: {source: {type: http, url: "BASE/items", records: ""}}
    look: {lookup: {table: {http: "BASE/names/{key}"}, key: n, as: name}}
    out: {sink: {type: http, url: "BASE/all"}}
"""
PASSWORD = "pr0xy-pass"


class Service:
    """Gives items and names, and takes records."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        self.got: list[int] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.hosts.add(request.host.partition(":")[0])
        if request.path == "/items":
            return web.json_response([{"n": n} for n in range(5)])
        if request.path == "/all":
            found = json.loads(await request.read())
            assert found["name"] == {"name": f"no {found['n']}"}
            self.got.append(found["n"])
            return web.json_response({})
        return web.json_response({"name": f"no {request.path.rpartition('/')[2]}"})


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def web_service(service: Service) -> Iterator[WebService]:
    with WebService(service) as started:
        yield started


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_source_lookup_and_sink_take_the_proxy_of_the_environment(
    project: Project, server: StreamServer, service: Service, web_service: WebService
) -> None:
    project.spec(PIPELINE.replace("BASE", "http://shop.test"))  # a name that only the proxy knows

    with WebProxy(web_service.port, f"me:{PASSWORD}") as proxy:
        there: dict[str, Any] = {"HTTP_PROXY": f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"}
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, **there)
        checked = rsq_pipe(
            "validate", project.path, "--connect", "--redis", server.url, cwd=project.root, **there
        )

    assert done.returncode == 0, done.stderr
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert sorted(service.got) == [0, 1, 2, 3, 4]
    assert proxy.hosts == {"shop.test"}
    assert PASSWORD not in done.stderr + done.stdout + checked.stdout + checked.stderr


def test_what_no_proxy_names_is_asked_directly(
    project: Project, server: StreamServer, service: Service, web_service: WebService
) -> None:
    project.spec(PIPELINE.replace("BASE", web_service.url))

    with WebProxy(web_service.port) as proxy:
        there: dict[str, Any] = {
            "HTTP_PROXY": f"http://127.0.0.1:{proxy.port}",
            "NO_PROXY": "example.org,127.0.0.0/8",
        }
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, **there)

    assert done.returncode == 0, done.stderr
    assert sorted(service.got) == [0, 1, 2, 3, 4]
    assert not proxy.asked


@pytest.fixture
def tls_port(web_service: WebService) -> Iterator[int]:
    """A port where the service speaks TLS, under the name localhost."""
    loop, stop, ready, ports = asyncio.new_event_loop(), asyncio.Event(), threading.Event(), list[int]()

    async def serve() -> None:
        async with tls_front(web_service.port) as port:
            ports.append(port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def test_https_goes_through_the_proxy_unread(
    project: Project,
    server: StreamServer,
    service: Service,
    tls_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RSQ_TEST_ANEW", "1")  # authorities are read when the client is imported
    project.spec(PIPELINE.replace("BASE", "https://localhost"))

    with WebProxy(tls_port, f"me:{PASSWORD}") as proxy:
        there: dict[str, Any] = {
            "https_proxy": f"me:{PASSWORD}@127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(AUTHORITY),
        }
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, **there)

    assert done.returncode == 0, done.stderr
    assert sorted(service.got) == [0, 1, 2, 3, 4]
    assert {*proxy.asked} == {"CONNECT localhost:443"}
    assert PASSWORD not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("proxy_url", "said"),
    [
        ("http://me:wr0ng-pass@127.0.0.1:PORT", "the proxy of the environment answers 407 Who Are You"),
        ("http://me:wr0ng-pass@127.0.0.1:1", "cannot connect to the proxy of the environment, 127.0.0.1:1:"),
        ("socks5://me:wr0ng-pass@127.0.0.1:PORT", "not the address of an HTTP proxy; write http://HOST:PORT"),
    ],
)
def test_a_proxy_that_does_not_serve_is_named_without_its_password(
    project: Project, server: StreamServer, web_service: WebService, proxy_url: str, said: str
) -> None:
    project.spec(PIPELINE.replace("BASE", "https://shop.test"))

    with WebProxy(web_service.port, f"me:{PASSWORD}") as proxy:
        there: dict[str, Any] = {"HTTPS_PROXY": proxy_url.replace("PORT", str(proxy.port))}
        done = rsq_pipe(
            *("validate", project.path, "--connect", "--redis", server.url), cwd=project.root, **there
        )

    told = done.stdout + done.stderr
    assert said in told
    assert "wr0ng-pass" not in told
    assert done.returncode != 0
    assert "Traceback" not in told


def test_object_stores_are_reached_through_it(project: Project, server: StreamServer, bucket: Bucket) -> None:
    bucket.put("in/1.jsonl", b'{"n": 1}\n')
    source = {"type": "objects", "url": bucket.url("in/*.jsonl"), "format": "jsonl", **bucket.settings}
    project.spec(f"""
        read: {{source: {json.dumps(source)}}}
        out: {{sink: {{type: jsonl, path: out.jsonl}}}}
    """)

    with WebProxy(int(bucket.store.endpoint.rpartition(":")[2])) as proxy:
        there: dict[str, Any] = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}"}
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, **there)

    assert done.returncode == 0, done.stderr
    assert project.numbers() == [1]
    assert proxy.hosts == {"127.0.0.1"}


def test_traces_are_sent_through_it(project: Project, server: StreamServer) -> None:
    project.records(range(3))
    project.spec("""
        read: {source: {type: jsonl, path: in.jsonl}}
        out: {sink: {type: jsonl, path: out.jsonl}}
    """)

    with OtlpReceiver(project.root) as receiver, WebProxy(int(receiver.endpoint.rpartition(":")[2])) as proxy:
        there: dict[str, Any] = {
            "HTTP_PROXY": f"http://127.0.0.1:{proxy.port}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.test:4318",
        }
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, **there)

    assert done.returncode == 0, done.stderr
    assert receiver.span_count
    assert proxy.hosts == {"collector.test"}
