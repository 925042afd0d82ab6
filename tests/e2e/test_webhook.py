"""Source webhook: what is answered 200 is stored, whoever is killed; a full pipeline says so."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import socket
import threading
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import pytest

from tests.support.command_line import start, status_of
from tests.support.ports import free_port
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually


class Sender:
    """Posts to the webhook of a project."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/orders"

    def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        named = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        request = urllib.request.Request(self.url, body, named)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()
        except (OSError, urllib.error.URLError) as exc:
            return 0, str(exc)

    def listens(self) -> bool:
        return self.post(b"[]")[0] in {200, 401}


def _reached(accepted: list[int], goal: int) -> bool:
    return len(accepted) >= goal


def numbers_so_far(project: Project) -> set[int]:
    return {json.loads(line)["n"] for line in project.lines_so_far("out.jsonl") if line.endswith("}")}


def processes(project: Project, server: StreamServer) -> int:
    return len(status_of(project, server)["runs"])


@pytest.fixture
def sender() -> Sender:
    return Sender(free_port())


def spec(project: Project, sender: Sender, more: str = "", *, top: str = "") -> None:
    listen = sender.url.removeprefix("http://").removesuffix("/orders")
    project.spec(
        f"""
        read: {{source: {{type: webhook, listen: "{listen}", path: /orders{more}}}}}
        out: {{sink: {{type: jsonl, path: out.jsonl, rid: true}}}}
        """,
        top=f"reclaim: {{idle: 500ms}}\n{top}",
    )


def test_objects_arrays_and_lines_are_stored_and_what_is_broken_is_refused_whole(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    spec(project, sender)
    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    try:
        eventually(sender.listens)
        assert sender.post(b'{"n": 1}') == (200, '{"stored": 1}')
        assert sender.post(b'[{"n": 2}, {"n": 3}]', Idempotency_Key="a/b") == (200, '{"stored": 2}')
        assert sender.post(b'[{"n": 2}, {"n": 3}]', Idempotency_Key="a/b") == (200, '{"stored": 0}')
        assert sender.post(b'{"n": 4}\n{"n": 5}\n', Content_Type="application/x-ndjson") == (
            200,
            '{"stored": 2}',
        )
        status, text = sender.post(b'[{"n": 6}, 7]')
        assert (status, "item 1: not a JSON object but a number" in text) == (400, True)
        assert sender.post(b'{"n": 6, "n": 7}')[0] == 400
        assert sender.post(b'{"n": "' + b"x" * 2**21 + b'"}')[0] == 413
        eventually(lambda: len(project.lines_so_far("out.jsonl")) >= 5)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, err
    assert project.numbers() == [1, 2, 3, 4, 5]
    assert {line["n"]: line["rid"] for line in project.lines()}[3] == "read:a/b:1"


@pytest.mark.timeout(120)
def test_what_was_answered_200_is_there_after_kills_and_once(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    draw = random.Random(5)
    spec(project, sender)
    accepted: list[int] = []
    over = threading.Event()

    def send() -> None:
        number = 0
        while not over.is_set():
            if sender.post(json.dumps({"n": number}).encode())[0] == 200:
                accepted.append(number)
            number += 1
            over.wait(0.002)

    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(4):
            goal = len(accepted) + draw.randint(5, 60)
            eventually(partial(_reached, accepted, goal))
            process.kill()
            process.communicate()
            process = start("run", project.path, "--redis", server.url, cwd=project.root)
        eventually(partial(_reached, accepted, len(accepted) + 20))
        over.set()
        thread.join()
        eventually(lambda: set(accepted) <= numbers_so_far(project))
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        over.set()
        thread.join()
        process.kill()
        process.communicate()

    assert process.returncode == 0, err
    found = project.numbers()
    assert len(found) == len(set(found))
    assert set(accepted) <= set(found)
    # Stored, and killed before the answer: one of each kill, at most, as one request was under way.
    assert len(found) - len(accepted) <= 4


def test_a_standby_listens_once_the_process_that_did_is_killed(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    spec(project, sender)
    words = ("run", project.path, "--redis", server.url)
    first = start(*words, cwd=project.root)
    standby = None
    try:
        eventually(sender.listens)
        standby = start(*words, cwd=project.root)
        assert sender.post(b'[{"n": 1}, {"n": 2}]')[0] == 200
        eventually(lambda: processes(project, server) == 2)
        first.kill()
        first.communicate()
        eventually(lambda: sender.post(b'{"n": 3}', Idempotency_Key="three")[0] == 200)
        eventually(lambda: numbers_so_far(project) == {1, 2, 3})
        standby.terminate()
        _, err = standby.communicate(timeout=PATIENCE)
        assert standby.returncode == 0, err
    finally:
        for process in filter(None, (first, standby)):
            process.kill()
            process.communicate()

    assert project.numbers() == [1, 2, 3]


def test_a_full_pipeline_is_told_to_the_sender(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    spec(project, sender, ", max_requests: 3, timeout: 1s", top="max_backlog: 8")
    process = start("run", project.path, "--redis", server.url, "--stage", "read", cwd=project.root)
    try:
        eventually(sender.listens)
        answers = [sender.post(json.dumps({"n": n}).encode()) for n in range(30)]
    finally:
        process.kill()
        process.communicate()

    statuses = [status for status, _ in answers]
    assert 200 in statuses[:5]
    assert statuses[-1] == 503
    assert "too many requests wait to be stored" in answers[-1][1]


def test_a_token_and_a_signature_are_asked_for(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    spec(project, sender, ', token: "${secret:TOKEN}", hmac_secret: "${secret:KEY}"')
    process = start(
        "run", project.path, "--redis", server.url, cwd=project.root, TOKEN="tell-nobody", KEY="sign-it"
    )
    body = b'{"n": 1}'
    signature = hmac.new(b"sign-it", body, hashlib.sha256).hexdigest()
    try:
        eventually(sender.listens)
        wrong: list[dict[str, Any]] = [
            {},
            {"Authorization": "Bearer other", "X_Signature": signature},
            {"Authorization": "Bearer tell-nobody"},
            {"Authorization": "Bearer tell-nobody", "X_Signature": "0" * 64},
        ]
        assert [sender.post(body, **headers)[0] for headers in wrong] == [401] * 4
        right = {"Authorization": "Bearer tell-nobody", "X_Signature": f"sha256={signature}"}
        assert sender.post(body, **right)[0] == 200
        eventually(lambda: project.lines_so_far("out.jsonl"))
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, err
    assert project.numbers() == [1]
    assert "tell-nobody" not in out + err


def sent(sender: Sender, headers: bytes, body: bytes, *, size: int | None = None) -> tuple[bytes, bytes]:
    """Send a request as it is; return the answer's status and body."""
    port = int(sender.url.split(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as open_:
        length = b"Content-Length: %d\r\n" % (len(body) if size is None else size)
        open_.sendall(b"POST /orders HTTP/1.1\r\nHost: x\r\n" + headers + length + b"\r\n" + body)
        answer = open_.recv(65_536)
    return answer.split(b" ", 2)[1], answer.rpartition(b"\r\n")[2]


def test_what_cannot_be_read_is_the_senders_mistake_and_no_traceback_is_logged(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    spec(project, sender, ", token: t")
    may = b"Authorization: Bearer t\r\n"
    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    try:
        eventually(sender.listens)

        assert sent(sender, b"Authorization: Bearer \xff\r\n", b"{}")[0] == b"401"
        status, answer = sent(sender, may, b"[" + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"]")
        assert (status, json.loads(answer)["error"]) == (b"400", "it is nested too deeply")
        status, answer = sent(sender, may + b"Content-Encoding: gzip\r\n", b"no gzip")
        assert status == b"400"
        assert "its body cannot be read: " in json.loads(answer)["error"]
        assert sent(sender, may + b"Content-Encoding: br\r\n", b"x")[0] == b"400"
        assert sent(sender, may, b'{"n": 1}') == (b"200", b'{"stored": 1}')
    finally:
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in log
    assert "a request cannot be read, and is refused: Can not decode content-encoding: brotli" in log


def test_requests_that_never_arrive_do_not_take_the_place_of_others_for_ever(
    server: StreamServer, project: Project, sender: Sender
) -> None:
    spec(project, sender, ", max_requests: 1, timeout: 500ms")
    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    try:
        eventually(sender.listens)
        status, answer = sent(sender, b"", b'{"n"', size=100)
        assert (status, json.loads(answer)["error"]) == (b"408", "it has not arrived within `timeout`")

        assert sender.post(b'{"n": 1}') == (200, '{"stored": 1}')
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
