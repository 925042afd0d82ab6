"""The source and sink `exec` and the sink `stdout`, 500 records per batch, compared with bare pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import orders
from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import batches, made, read, sender, sent, timed, written
from rsq_pipe.model.batch import Batch

TITLE = "Commands by 500 records: `cat`, and `sed` that answers each line; CPU is that of our process alone"
SIZE = (200, 4)
BESIDE = {
    "source exec": "bare cat, json.loads",
    "sink exec": "bare cat for each batch",
    "sink exec, ack: line": "bare sed for all",
    "sink stdout": "bare print",
}
SED = ["sed", "-u", "s/.*/ok/"]


def lines(batch: Batch) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in batch.records).encode()


def bare_source(path: Path) -> Figures:
    watch, found = Stopwatch(), 0
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        for line in command.stdout:
            json.loads(line)
            found += 1
    return watch.figures(found)


def source(path: Path) -> Figures:
    return read(made("source", "exec", command=["cat", str(path)]))


def bare_exit(count: int) -> Figures:
    def write(batch: Batch) -> None:
        subprocess.run(["cat"], input=lines(batch), stdout=subprocess.DEVNULL, check=True)

    return timed(list(batches(count)), write)


def bare_line(count: int) -> Figures:
    """Write a batch, and read as many answers."""
    with subprocess.Popen(SED, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        asked, answered = command.stdin, command.stdout

        def write(batch: Batch) -> None:
            asked.write(lines(batch))
            asked.flush()
            for _ in batch.records:
                assert answered.readline() == b"ok\n"

        figures = timed(list(batches(count)), write)
        asked.close()
    return figures


def sink(count: int, ack: str, command: list[str]) -> Figures:
    return sent(sender("exec", command=command, ack=ack), list(batches(count)))


@contextmanager
def into_cat() -> Iterator[None]:
    """Connect this process's standard output to a pipe that another process empties."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        kept = os.dup(1)
        os.dup2(reader.stdin.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            reader.stdin.close()


def bare_print(count: int) -> Figures:
    def write(batch: Batch) -> None:
        for record in batch.records:
            sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()

    with into_cat():
        return timed(list(batches(count)), write)


def printed(count: int) -> Figures:
    with into_cat():
        return written(made("sink", "stdout"), list(batches(count)))


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Write the file that `cat` reads."""
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        path = Path(folder) / "orders.jsonl"
        orders.write(path, count * 500)
        yield {
            "bare cat, json.loads": partial(bare_source, path),
            "source exec": partial(source, path),
            "bare cat for each batch": partial(bare_exit, count),
            "sink exec": partial(sink, count, "exit", ["cat"]),
            "bare sed for all": partial(bare_line, count),
            "sink exec, ack: line": partial(sink, count, "line", SED),
            "bare print": partial(bare_print, count),
            "sink stdout": partial(printed, count),
        }
