"""run_pipeline: a whole pipeline on given records, on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from types import MappingProxyType

from rsq_pipe.server.embedded import acquire
from rsq_pipe.spec.loader import load
from rsq_pipe.testing.own_loop import own_loop
from rsq_pipe.testing.pipeline_test import Given, prepare
from rsq_pipe.testing.runs import PipelineRun

TIMEOUT = 30.0
"""Seconds a pipeline may take, unless the test says otherwise."""

_NOTHING: Given = MappingProxyType({})


def run_pipeline(
    spec: str | Path,
    sources: Given = _NOTHING,
    *,
    streams: Given = _NOTHING,
    timeout: float = TIMEOUT,
) -> PipelineRun:
    """
    Run a whole pipeline on given records, on a private server, until it is drained.

    Given records take the place of what the sources would read, and what reaches the sinks is collected: no
    file, stream or server that the pipeline names is touched. Handlers and whatever they open are real. Of
    sources and sinks only the records count: a csv source's types or a csv sink's fields are not applied.
    Failed records are tried as often as the pipeline says, without the pauses between: a test must not
    wait out a backoff. Blocks; the server takes a fraction of a second to start.

    Args:
        spec: The pipeline file.
        sources: Source stage -> its records; every source must be named.
        streams: Key of a stream from outside -> its records; every one that only others write must be named.
        timeout: Seconds the pipeline may take.

    Raises:
        SpecError: The pipeline file is wrong; all mistakes at once.
        EncodeError: A given record is none that a stream can hold.
        ValueError: A source or a stream is not named, or a name is none of a source or a stream.
        TimeoutError: The pipeline was not drained in time; the message says where its records stand.
        HandlerError: A stage with `on_error: stop` stopped.
        ServerStartError: The private server cannot be started.
        RuntimeError: The calling thread runs an event loop; `await asyncio.to_thread(run_pipeline, ...)`.
    """
    # Here: run_stage needs no server, and a test file with no other call pays for no client.
    from rsq_pipe.testing.execution import execute  # noqa: PLC0415

    graph = load(Path(spec), connect=False)
    with TemporaryDirectory(prefix="rsq-test-") as name:
        test = prepare(graph, Path(name), sources, streams)
        with _private_server(Path(name)) as address:
            return own_loop("run_pipeline", lambda: execute(test, address, timeout))


@contextmanager
def _private_server(folder: Path) -> Iterator[str]:
    with acquire(folder) as server:
        try:
            yield server.url
        finally:
            # Before it is told to end: a server that ends writes once more, into a folder that must be empty.
            rmtree(folder / ".rsq")
