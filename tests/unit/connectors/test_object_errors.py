"""What a store's answers mean: which are waited for, which need somebody, and what is said of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.objects.bucket import RETRIES, Bucket, MissingError, TakenError
from rsq_pipe.connectors.table import connector

SECRET = "of-the-tests-alone"


def options_of(**given: Any) -> Any:
    return connector("sink", "objects").options(**given)


class Answers(BaseHTTPRequestHandler):
    """Answer all requests alike."""

    status, code, requests = 200, "", 0

    def answer(self) -> None:
        type(self).requests += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<Error><Code>{self.code}</Code><Message>because</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def answers() -> Iterator[tuple[type[Answers], Bucket]]:
    kind = type("Own", (Answers,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = options_of(
            url="s3://lake/{part}.csv",
            endpoint=f"http://127.0.0.1:{server.server_address[1]}",
            credentials={"access_key": "key", "secret_key": SECRET},
            timeout="2s",
        )
        yield kind, Bucket(options)
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (503, "SlowDown", AwayError, "s3://lake/x: it answers 503 SlowDown"),
        (500, "InternalError", AwayError, "s3://lake/x: it answers 500 InternalError"),
        (429, "TooManyRequests", AwayError, "s3://lake/x: it answers 429 TooManyRequests"),
        (403, "AccessDenied", RefusedError, "access is denied (403 AccessDenied); check `credentials`"),
        (401, "Unauthorized", RefusedError, "access is denied (401 Unauthorized); check `credentials`"),
        (
            400,
            "InvalidRequest",
            RefusedError,
            "it refuses the request (400 InvalidRequest); check `url`",
        ),
        (404, "NoSuchBucket", RefusedError, "there is no bucket 'lake'; make it, or correct `url`"),
        (412, "PreconditionFailed", TakenError, "412 PreconditionFailed"),
        (409, "ConditionalRequestConflict", TakenError, "409 ConditionalRequestConflict"),
    ],
)
def test_each_answer_to_a_put_is_waited_for_or_told(
    answers: tuple[type[Answers], Bucket], status: int, code: str, kind: type[Exception], said: str
) -> None:
    server, bucket = answers
    server.status, server.code = status, code

    with pytest.raises(kind) as caught:
        bucket.put("x", b"1", part="a", content="text/csv")

    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert server.requests <= 1 + RETRIES


def test_object_that_is_not_there_is_missing(answers: tuple[type[Answers], Bucket], tmp_path: Path) -> None:
    server, bucket = answers
    server.status, server.code = 404, "NoSuchKey"

    acts: list[Callable[[], object]] = [lambda: bucket.part("x"), lambda: bucket.fetch("x", tmp_path / "x")]
    for act in acts:
        with pytest.raises(MissingError):
            act()


def test_a_server_that_is_not_there_is_away(answers: tuple[type[Answers], Bucket]) -> None:
    options = options_of(
        url="s3://lake/{part}.csv",
        endpoint="http://127.0.0.1:9",
        credentials={"access_key": "key", "secret_key": SECRET},
        timeout="1s",
    )
    with pytest.raises(AwayError, match=r"s3://lake/x: no answer .*; check `endpoint`, and the network"):
        Bucket(options).put("x", b"1", part="a", content="text/csv")
