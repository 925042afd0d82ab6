"""The guide to running in production: its settings make a healthy server, its commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import rich_click as click
import yaml

from rsq_pipe.cli.main import COMMANDS
from rsq_pipe.ops.acl import users
from rsq_pipe.ops.doctor.checkup import examine
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer, binaries

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guide/production.md").read_text()
BINARIES = binaries()

pytestmark = pytest.mark.docs


def block(language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return found[number]


def commands() -> list[str]:
    """Find every different `rsq-pipe ...` of the guide."""
    found = re.findall(r"`rsq-pipe\s([^`]+)`|^ {4,}rsq-pipe (.+)$", GUIDE, re.MULTILINE)
    return list(dict.fromkeys(" ".join((inline or line).split()) for inline, line in found))


@pytest.fixture(params=BINARIES)
def server(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    """A server with the settings of the guide, but less memory."""
    lines = [line.partition("#")[0].split() for line in block("conf").splitlines()]
    settings = dict(pair for pair in lines if pair) | {"maxmemory": "1gb"}
    with StreamServer(BINARIES[request.param], tcp=True, config=settings) as running:
        yield running


async def test_the_settings_and_the_users_of_the_guide_run_a_pipeline_and_leave_the_doctor_content(
    server: StreamServer, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project", "orders")
    project.records(range(5))
    project.spec(
        "read: {source: {type: jsonl, path: in.jsonl}}\nout: {sink: {type: jsonl, path: out/all.jsonl}}"
    )
    async with StreamClient.from_url(server.url) as admin:
        for user in users(load(project.path)):
            await admin.channel.execute(*user.setuser.split(), key="x")

    login = {"username": "orders-operate", "password": "PASSWORD"}
    async with StreamClient.from_url(server.tcp_url, **login) as client:
        findings = [
            finding for finding in await examine(client, load(project.path)) if finding.check != "defect"
        ]
    url = server.tcp_url.replace("//", "//orders:PASSWORD@")
    done = rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=url)

    assert [finding for finding in findings if finding.level in ("warning", "problem")] == []
    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(5))


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_guide_exists_with_its_options(line: str) -> None:
    name, *words = shlex.split(line)
    command: click.Command = import_module(COMMANDS[name][0]).command
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            assert command.invoke_without_command  # `test` has an argument, too
            break
        command, _ = found, words.pop(0)

    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_probes_of_the_deployment_are_answered_on_the_port_it_opens() -> None:
    (container,) = yaml.safe_load(block("yaml"))["spec"]["template"]["spec"]["containers"]

    port = int(container["command"][container["command"].index("--metrics-port") + 1])
    probes = [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert probes == [{"path": "/livez", "port": port}, {"path": "/readyz", "port": port}]


def test_the_proxy_of_the_guide_passes_on_what_the_page_asks_it_for() -> None:
    passed = dict(re.findall(r"proxy_set_header (\S+) (\S+);", block("nginx")))

    # Without the caller's address 20 wrong tokens of one keep out all, since all come from the proxy.
    assert passed == {
        "Host": "$http_host",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-For": "$remote_addr",
    }
