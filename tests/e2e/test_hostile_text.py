"""What stands in names, records, errors and servers' replies is shown on a terminal, and never acted on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsq_pipe import StreamClient
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.terminal import Terminal

CLEAR = "\x1b[2J"
NASTY = f"{CLEAR}\x1b]0;title\x07\x9b31m\u202e\x7f\nFORGED [bold]line"
ACTED_ON = ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\x7f", "\nFORGED")
QUOTED = json.dumps(NASTY)

STAGES = f"""
    read: {{source: {{type: jsonl, path: "in*.jsonl"}}}}
    work: {{call: "handlers:work"}}
    print: {{sink: {{type: stdout}}}}
    write: {{from: work, sink: {{type: jsonl, path: {json.dumps(f"out{CLEAR}.jsonl")}}}}}
"""
HANDLERS = f"""
    import logging
    from rsq_pipe import Drop

    NASTY = {NASTY!r}

    class Odd:
        def __repr__(self):
            return NASTY

    def work(record, ctx):
        ctx.logger.info(NASTY, **{{NASTY: Odd()}})
        logging.getLogger(NASTY).warning("%s", NASTY)
        match record["n"]:
            case 1:
                raise ValueError(NASTY)
            case 2:
                raise type(NASTY, (Exception,), {{}})(NASTY)
            case 3:
                return Drop(NASTY)
        return record
"""


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    project = Project(tmp_path / f"project{CLEAR}", name)
    project.spec(STAGES, top=f"telemetry: {{journal: 100, ui: {json.dumps('http://ui/' + NASTY)}}}")
    project.handlers(HANDLERS)
    project.records(range(5), f"in{NASTY}.jsonl", **{NASTY: NASTY})
    with (project.root / f"in{NASTY}.jsonl").open("a") as file:
        file.write(f"{NASTY}\n")
    return project


def shown(project: Project, *words: str | Path) -> str:
    """Run a command on a terminal, and see that it acted on nothing."""
    terminal = Terminal(200)
    code = terminal.run(*words, cwd=project.root)
    said = terminal.written.decode().replace("\r\n", "\n")
    assert code in (0, 1, 2, 3, 4), said
    assert [what for what in ACTED_ON if what in said] == [], (words, said)
    assert "\\x1b[2J" in said or "\\u001b" in said, (words, said)
    return said


@pytest.mark.timeout(180)  # it starts fifty processes
async def test_no_command_lets_a_terminal_act_on_what_others_wrote(
    project: Project, server: StreamServer
) -> None:
    spec = project.path.rename(project.root / f"pipe{NASTY}.yaml")
    wrong = project.root / f"wrong{CLEAR}.yaml"
    wrong.write_text(f'version: 1\npipeline: {QUOTED}\n{QUOTED}: 1\nstages: {{"a{CLEAR}": 1}}\n')
    wrong.write_text(wrong.read_text().replace(CLEAR, "\\e[2J"))
    at = (spec, "--redis", server.url)

    said = shown(project, "run", *at, "--trace-file", "traces.jsonl")
    assert "\\u009b" in said  # of the sink that prints
    async with StreamClient.from_url(server.url) as client:
        stream = f"{{{project.pipeline}}}:work"
        await client.channel.execute("XGROUP", "CREATE", stream, NASTY, "0", key=stream)
    for words in (
        ("run", *at),
        ("validate", spec, wrong),
        ("validate", "."),
        ("validate", f"none{NASTY}.yaml"),
        ("run", wrong),
        ("status", *at),
        ("status", wrong),
        ("graph", spec),
        ("graph", *at, "--live"),
        ("graph", spec, "--format", "mermaid"),
        ("graph", spec, "--format", "dot"),
        ("plan", *at),
        ("plan", *at, "--json"),
        ("trace", f"read:in{NASTY}.jsonl:2", spec, "--redis", server.url),
        ("trace", f"read:in{NASTY}.jsonl:2", "--file", "traces.jsonl"),
        ("trace", NASTY, "--file", "traces.jsonl"),
        ("trace", NASTY, *at),
        ("preview", spec),
        ("test", "capture", *at, "--from", f"trace:read:in{NASTY}.jsonl:2"),
        ("test", "capture", *at, "--from", f"trace:{NASTY}"),
        ("test", spec, "--json"),
        ("test", spec, "-k", NASTY),
        ("test", NASTY),
        ("dev", NASTY),
        ("docs", spec),
        ("connectors", NASTY),
        ("pause", spec, NASTY, "--redis", server.url),
        ("state", spec, NASTY, "--redis", server.url),
        ("dlq", "list", *at),
        ("dlq", "show", *at),
        ("dlq", "export", *at),
        ("dlq", "replay", *at, "--dry-run"),
        ("dlq", "show", *at, NASTY),
        ("plan", *at, "--prune"),
        ("acl", wrong),
        ("serve", "--redis", server.url, "--host", NASTY),
        (NASTY,),
        ("run", spec, f"--{NASTY}"),
        ("doctor", "--redis", f"unix:///none/{NASTY}"),
    ):
        shown(project, *words)


async def test_bytes_of_a_dead_letter_are_escaped_on_a_terminal_and_nowhere_else(
    project: Project, server: StreamServer
) -> None:
    at = (project.path, "--redis", server.url)
    rsq_pipe("run", *at, cwd=project.root)
    exported = rsq_pipe("dlq", "export", *at, "--stage", "read", cwd=project.root)
    first = json.loads(exported.stdout.splitlines()[0])
    words = ("dlq", "export", *at, "--id", f"read/{first['id']}", "--raw")

    assert rsq_pipe(*words, cwd=project.root).stdout.startswith(CLEAR)
    assert "\\x1b[2J" in shown(project, *words)


async def test_the_last_file_is_escaped_on_a_terminal_and_nowhere_else(
    project: Project, server: StreamServer
) -> None:
    project.path.write_text(f"{project.path.read_text()}# a comment: \u202e\n")
    at = (project.path, "--redis", server.url)
    rsq_pipe("run", *at, cwd=project.root)

    assert rsq_pipe("plan", *at, "--show-last", cwd=project.root).stdout == project.path.read_text()
    assert "\\u202e" in shown(project, "plan", *at, "--show-last")
