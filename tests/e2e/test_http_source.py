"""Source http against a real server: pages, what is new, and what kills and outages make of them."""

from __future__ import annotations

import json
from subprocess import CompletedProcess
from typing import Any

import pytest
from aiohttp import web

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually
from tests.support.web_service import WebService

COUNT = 1_000
PAGE = 50


class Store:
    """Has items, and gives them in pages of every kind."""

    def __init__(self) -> None:
        self.items: list[Any] = [{"n": n, "at": f"2026-01-01T{n // 60:02}:{n % 60:02}"} for n in range(COUNT)]
        self.requests: list[str] = []
        self.limit_at = -1
        self.token = ""
        self.body: bytes | None = None

    async def __call__(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="who is that?")
        if len(self.requests) == self.limit_at:
            return web.Response(status=429, headers={"Retry-After": "1"})
        if self.body is not None:
            return web.Response(body=self.body)
        query = request.query
        found = [
            item for item in self.items if not isinstance(item, dict) or item["at"] >= query.get("since", "")
        ]
        start = int(query.get("offset", query.get("cursor", int(query.get("page", 0)) * PAGE)))
        size = int(query.get("limit", PAGE))
        end = start + size
        more = end < len(found)
        answer: dict[str, Any] = {"data": {"items": found[start:end]}, "total": len(found)}
        headers = {}
        link = request.url.update_query(cursor=str(end))
        if more:
            answer |= {"next": str(link.relative()), "cursors": {"next": str(end)}}
            headers["Link"] = f'<{link}>; rel="next"'
        return web.json_response(answer, headers=headers)


def spec(project: Project, url: str, more: str) -> None:
    project.spec(
        f"""
        read: {{source: {{type: http, url: "{url}/items", records: data.items, {more}}}}}
        out: {{sink: {{type: jsonl, path: out.jsonl, rid: true}}}}
        """,
        top="reclaim: {idle: 500ms}",
    )


def run(project: Project, server: StreamServer, token: str = "") -> CompletedProcess[str]:
    return rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, TOKEN=token)


@pytest.mark.parametrize(
    "paginate",
    [
        "json_link",
        "header_link",
        "cursor",
        "{type: offset, limit: 70}",
        "{type: offset, limit: 70, total_path: total}",
        "page_number",
    ],
)
def test_all_pages_are_read_once_and_a_second_run_finds_nothing_new(
    server: StreamServer, project: Project, paginate: str
) -> None:
    store = Store()
    with WebService(store) as service:
        spec(project, service.url, f"paginate: {paginate}")
        first = run(project, server)
        asked = len(store.requests)
        again = run(project, server)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert project.numbers() == list(range(COUNT))
    assert 15 <= asked <= 21
    assert len(store.requests) == asked
    assert project.lines()[0]["rid"] == "read:1.0:0"


def test_only_what_is_new_is_read_again_and_what_has_the_highest_value_comes_once(
    server: StreamServer, project: Project
) -> None:
    store = Store()
    store.items = store.items[:100]
    with WebService(store) as service:
        spec(project, service.url, "paginate: cursor, cursor: {field: at, param: since}, key: n")
        run(project, server)
        # One of the very value that was the highest, and one behind it.
        store.items += [{"n": 100, "at": store.items[-1]["at"]}, {"n": 101, "at": "2027-01-01"}]
        asked = len(store.requests)
        done = run(project, server)
        run(project, server)

    assert done.returncode == 0, done.stderr
    assert project.numbers() == list(range(102))
    assert "since=2026-01-01T01:39" in store.requests[asked].replace("%3A", ":")
    assert store.requests[-1].endswith("since=2027-01-01")


def test_every_reads_again_until_told_to_stop(server: StreamServer, project: Project) -> None:
    store = Store()
    store.items = store.items[:10]
    with WebService(store) as service:
        spec(project, service.url, "cursor: {field: at, param: since}, every: 100ms")
        process = start("run", project.path, "--redis", server.url, cwd=project.root)
        try:
            eventually(lambda: len(project.lines_so_far("out.jsonl")) == 10)
            store.items.append({"n": 10, "at": "2027"})
            eventually(lambda: len(project.lines_so_far("out.jsonl")) == 11)
            process.terminate()
            _, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.communicate()

    assert process.returncode == 0, err
    assert project.numbers() == list(range(11))


def test_what_is_no_record_is_a_dead_letter_and_429_is_waited_for(
    server: StreamServer, project: Project
) -> None:
    store = Store()
    store.items[17] = [1]
    store.limit_at = 3
    with WebService(store) as service:
        spec(project, service.url, "paginate: json_link")
        done = run(project, server)
        letters = rsq_pipe("dlq", "export", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 4, done.stderr
    assert project.numbers() == [n for n in range(COUNT) if n != 17]
    letter = json.loads(letters.stdout)
    assert letter["rid"] == "read:1.0:17"
    assert "page 0, record 17: it is not an object" in letter["message"]


def test_wrong_credentials_and_broken_answers_end_the_run_and_tell_where(
    server: StreamServer, project: Project
) -> None:
    store = Store()
    store.token = "another"
    with WebService(store) as service:
        spec(project, service.url, 'auth: {bearer: "${secret:TOKEN}"}')
        refused = run(project, server, token="hunter2-hunter2")
        store.token, store.body = "", b'{"data":\n  {"items": [}}'
        broken = run(project, server, token="hunter2-hunter2")

    assert refused.returncode == broken.returncode == 1
    assert "it answers 401: who is that?; check the credentials" in refused.stderr
    assert "its answer is not JSON: 2:14" in broken.stderr
    assert "hunter2" not in refused.stderr + broken.stderr
    assert "Traceback" not in refused.stderr + broken.stderr


def test_a_next_page_on_another_host_is_not_asked(server: StreamServer, project: Project) -> None:
    store = Store()
    store.body = b'{"data": {"items": [{"n": 1}]}, "next": "http://localhost:1/steal"}'
    with WebService(store) as service:
        spec(project, service.url, "paginate: json_link")
        done = run(project, server)

    assert done.returncode == 1
    assert "its next page is on another host, localhost:1, which is not asked" in done.stderr
