"""Child: a child process of `dev`: loads the pipeline, reports the result, and runs stages on request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from rsq_pipe import redaction
from rsq_pipe.cli.errors import FAILED, exit_code, placing, report
from rsq_pipe.cli.options.server_address import connect
from rsq_pipe.cli.reloading.parts import described
from rsq_pipe.cli.running.before_run import check_columns, check_sources
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.choices import refusal
from rsq_pipe.engine.runner import Runner
from rsq_pipe.errors import DrainTimeoutError, RsqPipeError, SpecError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.telemetry.logs import set_up

GLANCE = 0.005


def main(spec: str, answers: int) -> None:
    """
    Run the child process.

    Its instructions come on standard input, one object per line: `{"plan": ADDRESS}`, `{"run": {...}}`. Its
    answers go to a pipe in the same form. It ends when standard input ends: `dev` is gone then.

    Args:
        spec: The pipeline file.
        answers: The pipe's file descriptor.
    """
    set_up("auto", level=logging.WARNING)
    answer = Answers(answers)
    try:
        graph = load(Path(spec), check_fields=True)
        check_sources(graph, [], shared=False)
        check_columns(graph, [])
    except SpecError as exc:
        answer(wrong=str(exc))
        sys.exit(exit_code(exc))
    redaction.add(graph.secrets)
    answer(ready=described(graph))
    code = 0
    try:
        with placing(graph):
            for line in iter(sys.stdin.readline, ""):
                request: dict[str, Any] = json.loads(line)
                if "plan" in request:
                    answer(plan=asyncio.run(_plan(graph, request["plan"])))
                if "run" in request:
                    code = asyncio.run(_run(graph, answer, **request["run"]))
                    break
    except RsqPipeError as exc:
        report(exc)
        code = exit_code(exc)
    answer(ended=code)
    sys.stdout.flush()
    # Python would wait for a hanging handler before it exits.
    os._exit(code)


class Answers:
    """
    Send answers to `dev`.

    Args:
        number: The pipe's file descriptor.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, **what: Any) -> None:
        """Write an object on a line of its own."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._number, json.dumps(what).encode() + b"\n")


async def _plan(graph: Graph, address: str) -> str:
    """Return why the pipeline may not be run as it is now; empty if it may."""
    async with connect(address) as client:
        found = await plan(client, graph)
    return refusal(graph, found, "") if found.stranded else ""


async def _run(graph: Graph, answer: Answers, *, address: str, stages: list[str], fresh: bool) -> int:
    async with connect(address) as client:
        everything = len(stages) == len(graph.stages)
        runner = Runner(graph, client, stages=None if everything else stages, fresh=fresh)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, runner.stop)
        loop.add_reader(sys.stdin.fileno(), runner.stop)
        reporting = asyncio.ensure_future(_report_running(runner, answer))
        try:
            summary = await runner.run()
        except DrainTimeoutError as exc:
            report(exc)
            return FAILED
        finally:
            reporting.cancel()
            loop.remove_reader(sys.stdin.fileno())
    moved = {name: stage.received or stage.emitted for name, stage in summary.stages.items()}
    answer(done={"finished": summary.finished, "moved": moved, "dead": summary.dead_letters})
    return 0


async def _report_running(runner: Runner, answer: Answers) -> None:
    """Report once that the stages are running."""
    while runner.state is None:  # noqa: ASYNC110  nothing signals it; once per process, for some milliseconds
        await asyncio.sleep(GLANCE)
    answer(running=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
