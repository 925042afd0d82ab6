"""Secrets planted in a URL, a pipeline file and a handler's errors: nothing says them, nothing keeps them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from rsq_pipe import StreamClient
from rsq_pipe.cli.main import COMMANDS
from rsq_pipe.ops.acl import User
from rsq_pipe.ops.rights import commands
from tests.e2e.traced_project import clean_environ, run, to
from tests.support.guarded_server import least
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.preloaded import COMMAND, PreloadedProcess
from tests.support.project import Project
from tests.support.server import StreamServer, binaries

USER = "operate"
PASSWORD = "canary-p4ss/word+1"
TOKEN = 'canary "quoted" t0ken\\n'
KEY = "canary-c0llector"
# The parts that stay as they are however a secret is escaped.
CANARIES = ("p4ss", "t0ken", "c0llector", "s0cket")

STAGES = """
    read:
      source: {type: jsonl, path: in.jsonl}
    work:
      call: handlers:work
      with: {token: "${secret:API_TOKEN}"}
    write:
      sink: {type: jsonl, path: out.jsonl}
"""
HANDLERS = """
    import logging
    from rsq_pipe import Reject, Retry

    def work(record, ctx):
        token = ctx.values["token"]
        ctx.logger.info(f"calling with {token}", token=token, nested={"token": [token]})
        logging.getLogger("library").warning("token %s", token)
        match record["n"]:
            case 1:
                raise ValueError(f"denied for {token} " + "x" * 990 + token)
            case 2:
                raise KeyError(token)
            case 3:
                raise RuntimeError("outer") from ValueError({"token": token})
            case 4:
                return Reject(f"no {token}")
            case 5:
                return Retry("1ms", f"later {token}")
            case 6:  # a server that only the handler knows
                raise OSError("cannot reach 'unix:///run/r.sock?db=1&password=canary-s0cket%2Fword'")
        return record
"""


@pytest.fixture(params=binaries())
def guarded(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    """A server with a password, and a user with the least rights who has the same."""
    user = User(USER, tuple(commands("operate")), ("*",), PASSWORD)
    with StreamServer(binaries()[request.param], tcp=True, config={"requirepass": PASSWORD}) as server:
        with closing(redis.Redis(port=server.port, password=PASSWORD)) as client:
            client.execute_command(*user.setuser.split())  # type: ignore[no-untyped-call]
        yield server


@pytest.fixture
def url(guarded: StreamServer) -> str:
    return f"redis://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{guarded.port}"


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    project.handlers(HANDLERS)
    project.records(range(8))
    return project


class Words:
    """Collect what commands say, and which were called."""

    def __init__(self, project: Project, environ: dict[str, str]) -> None:
        self._project = project
        self._environ = environ
        self.said = ""
        self.called: set[str] = set()

    def of(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = run(self._project.root, *arguments, environ=self._environ)
        self.called.add(arguments[0])
        self.said += done.stdout + done.stderr
        assert done.stdout + done.stderr, arguments
        assert "Traceback (most recent call last)" not in done.stderr or arguments[0] == "run"
        return done


def dev(words: Words, project: Project, *arguments: str, environ: dict[str, str]) -> None:
    """Have `dev` run the pipeline to its end, then press Ctrl-C."""
    command, variables = least(("dev", *arguments), clean_environ() | environ)
    with PreloadedProcess(
        [COMMAND, *command],
        cwd=project.root,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            words.said += line
            if "  done  " in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, words.said
    words.called.add("dev")


@pytest.mark.timeout(180)  # it starts fifty processes
async def test_no_command_says_a_secret_and_no_dead_letter_keeps_one(
    project: Project, url: str, tmp_path: Path
) -> None:
    spec = str(project.path)
    at = (spec, "--redis", url)
    with OtlpReceiver(tmp_path) as collector:
        headers = {"API_TOKEN": TOKEN, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={KEY}"}
        words = Words(project, to(collector.endpoint, **headers))

        for options in (["--log-format", "console"], ["--log-format", "json", "--fresh"]):
            assert words.of("run", *at, "--trace-file", "traces.jsonl", *options).returncode == 4
        words.of("run", *at, "--fresh", "--processes", "2")
        words.of("run", spec, "--redis", url.replace("127.0.0.1:", "127.0.0.1:1"))
        words.of("run", spec, "--redis", url.replace("redis", "rediz", 1))
        words.of("run", spec, url)
        dev(words, project, *at, environ=headers | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
        words.of("init", "new")
        words.of("docs", spec)
        words.of("preview", spec)
        words.of("preview", spec, "--json")
        words.of("test", "capture", *at, "--from", "trace:read:in.jsonl:2")
        words.of("test", spec)
        words.of("validate", spec)
        words.of("status", *at)
        words.of("status", *at, "--json")
        words.of("top", *at)
        words.of("graph", *at, "--live")
        words.of("doctor", *at)
        words.of("acl", *at)
        words.of("plan", *at)
        words.of("plan", *at, "--json")
        words.of("plan", *at, "--show-last")
        words.of("repair", *at)
        words.of("pause", spec, "work", "--redis", url)
        words.of("resume", spec, "work", "--redis", url)
        words.of("state", spec, "work", "--redis", url)
        words.of("peek", *at)
        words.of("peek", *at, "--json")
        words.of("trace", "read:in.jsonl:2", "--file", "traces.jsonl")
        words.of("trace", "read:in.jsonl:2", *at)
        words.of("dlq", "list", *at)
        words.of("dlq", "list", *at, "--json")
        words.of("dlq", "show", *at)
        words.of("dlq", "export", *at)
        words.of("dlq", "replay", *at, "--dry-run")
        kept = await dead_letters(url, f"{{{project.pipeline}}}:work:dlq")
        words.of("dlq", "purge", *at, "--yes")
        words.of("pipelines", "--redis", url)
        words.of("pipelines", "--redis", url, "--json")
        words.of("serve", "--redis", url, "--host", "0.0.0.0")
        words.of("delete", project.pipeline, "--redis", url, "--yes")
        words.of("connectors")
        words.of("schema")
        words.of("completion", "bash")
        project.path.write_text(
            project.path.read_text().replace("call:", "timeout: '${secret:API_TOKEN}'\n    call:")
        )
        assert words.of("validate", spec).returncode == 2

        assert words.called == set(COMMANDS)
        assert "***" in words.said
        seen = [words.said, kept, str(collector.spans), (project.root / "traces.jsonl").read_text()]
        assert "denied for ***" in kept
        found = [
            f"...{text[max(0, text.find(c) - 80) :][:120]}" for c in CANARIES for text in seen if c in text
        ]
        assert found == []


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:canary-p4ss@127.0.0.1:1/d",
        "postgresql://127.0.0.1:1/d?user=u&password=canary-p4ss",
        "host=127.0.0.1 port=1 user=u password='canary p4ss'",
        "postgresql://u:canary@p4ss@127.0.0.1:1/d",
        "postgresql://u:1/p4ss@127.0.0.1:1/d",
        "postgresql://u:canary%zzp4ss@127.0.0.1:1/d",
    ],
)
def test_where_a_slot_cannot_be_dropped_no_password_of_its_database_is_said(
    project: Project, url: str, dsn: str
) -> None:
    words = Words(project, clean_environ() | {"API_TOKEN": TOKEN, "PG": dsn})
    words.of("run", str(project.path), "--redis", url)
    for written in ("${PG}", dsn.replace("'", "''")):  # and not as a secret, whose value is masked anyway
        settings = f"dsn: '{written}', publication: p, slot: s, timeout: 1s"
        project.spec(f"""
            read: {{source: {{type: postgres_cdc, {settings}}}}}
            out: {{sink: {{type: jsonl, path: out.jsonl}}}}
        """)
        options = ("--drop-slots", str(project.path), "--redis", url, "--yes")

        assert words.of("delete", project.pipeline, *options).returncode in (1, 2)
        assert words.of("validate", "--connect", str(project.path)).returncode in (2, 3)

    assert [words.said[max(0, words.said.find(c) - 80) :] for c in CANARIES if c in words.said] == []


async def dead_letters(url: str, stream: str) -> str:
    """Everything that stands in a queue of dead letters, the records' own bytes left out."""
    async with StreamClient.from_url(url) as client:
        entries = await client.channel.execute("XRANGE", stream, "-", "+", key=stream)
    assert len(entries) == 6
    return "\n".join(str(field.decode()) for _, fields in entries for field in fields)
