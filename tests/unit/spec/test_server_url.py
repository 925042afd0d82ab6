"""A server's URL is checked before anything is run, and no part of it that may be secret is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.spec.loader import check
from rsq_pipe.spec.server_url import SCHEMES, check_server_url
from rsq_pipe.streams.endpoint import SCHEMES as TAKEN
from rsq_pipe.streams.endpoint import Endpoint

UNREADABLE = "in the server's URL the host is malformed, or the port no number up to 65535; it is redis://"
SPEC = """version: 1
pipeline: p
redis:
  url: {url}
stages:
  read: {{source: {{type: stream, stream: in}}}}
  out: {{sink: {{type: stream, stream: out}}}}
"""


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://:pass%2Fword@db:6380/15?protocol=3",
        "redis://user:a:b@c@db",
        "rediss://user:password@db.example:6379",
        "redis://[::1]:6379",
        "redis+cluster://one:7000/0",
        "rediss+cluster://one",
        "redis+cluster://user:a,b@one:7000,two,[::1]:7002",
        "redis+sentinel://one,two:26380,[::1]/orders",
        "rediss+sentinel://user:password@one,two/orders/2?sentinel_username=me&sentinel_password=secret",
        "unix:///run/redis.sock",
        "unix://user:password@/run/redis.sock?db=2",
    ],
)
def test_what_the_server_can_be_reached_by_is_right(url: str) -> None:
    assert check_server_url(url) == url
    Endpoint.from_url(url)  # takes it, too


def test_an_empty_url_is_the_embedded_server() -> None:
    assert check_server_url("") == ""


def test_the_schemes_are_those_that_a_connection_takes() -> None:
    assert tuple(f"{scheme}://" for scheme in SCHEMES) == TAKEN


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redsi://hunter2@db", "'redsi' is not a scheme of a server's URL; did you mean 'redis'?"),
        ("REDIS://db", "'REDIS' is not a scheme of a server's URL; did you mean 'redis'?"),
        ("https://db", "'https' is not a scheme of a server's URL; use redis, rediss, unix, "),
        ("db:6379", "the server's URL does not begin with a scheme; write redis:// before it"),
        ("10.0.0.7", "the server's URL does not begin with a scheme; write redis:// before it"),
        ("/run/redis.sock", "the server's URL does not begin with a scheme; write unix:// before it"),
        ("hunter2@db", "the server's URL does not begin with a scheme; it is redis://"),
        ("redis://", "the server's URL names no host; for this machine: redis://localhost:6379"),
        ("redis://:6380", "the server's URL names no host; for this machine: redis://localhost:6380"),
        ("rediss://:hunter2@/0", "the server's URL names no host; for this machine: rediss://localhost:6379"),
        ("redis://db:hunter2", UNREADABLE),
        ("redis://db:65536", UNREADABLE),
        ("redis://[::1", UNREADABLE),
        ("redis://:hunter2/x@db:6379", UNREADABLE),
        ("redis://me:hunter2#x@db", UNREADABLE),
        ("redis://db/hunter2", "the database in the server's URL is not a number; it is redis://"),
        ("redis+cluster://db/1", "a cluster has only database 0; leave the number out"),
        ("redis://one,two:hunter2", UNREADABLE),
        (
            "redis://hunter2@one,two",
            "the server's URL names several hosts; so do only redis+cluster://HOST,HOST",
        ),
        (
            "redis+cluster://one,",
            "the server's URL names no host; for this machine: redis+cluster://localhost",
        ),
        ("redis+cluster://one,two:hunter2", UNREADABLE),
        (
            "redis+sentinel://hunter2@one,two",
            "the server's URL names no service; it is redis+sentinel://HOST,",
        ),
        (
            "redis+sentinel://one,two/",
            "the server's URL names no service; it is redis+sentinel://HOST,HOST/SERV",
        ),
        (
            "redis+sentinel://one,,two/orders",
            "the server's URL names no host; for this machine: redis+sentinel:",
        ),
        ("redis+sentinel://one/orders/hunter2", "the database in the server's URL is not a number; "),
        ("unix://", "the server's URL names no socket; write its whole path: unix:///run/redis.sock"),
        ("unix://run/redis.sock", "the server's URL names no socket; write its whole path: "),
    ],
)
def test_a_wrong_url_is_a_problem_with_its_fix_and_no_secret_in_it(
    tmp_path: Path, url: str, what: str
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(url=f"'{url}'"))

    checked = check(spec, environ={}, root=tmp_path)

    (problem,) = map(str, checked.problems)
    assert checked.graph is None
    assert problem.startswith(f"{spec}:4:8: redis.url: {what}")
    assert "hunter" not in problem


def test_a_variable_is_checked_by_what_it_stands_for(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(url="'redis://${HOST:-}:6379'"))

    assert check(spec, environ={"HOST": "db"}, root=tmp_path).graph is not None
    (problem,) = check(spec, environ={}, root=tmp_path).problems
    assert problem.what == "the server's URL names no host"
