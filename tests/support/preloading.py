"""
Preloading: a process that has imported what `rsq-pipe` imports, and forks for each command that tests start.

Importing costs a command most of a second of computing, and the tests start thousands of them. A fork has
what a started process has: an id, a folder, variables, streams, signals and an exit code of its own.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgpack

from rsq_pipe.cli.main import COMMANDS

INT = 4

IMPORTED = (
    "rsq_pipe.cli.running.structlog_alone",
    *(module for module, _ in COMMANDS.values()),
    "rsq_pipe.cli.running.run_report",
    # What many of the tested pipelines need.
    "aiohttp",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "psycopg",
)


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return it to the process that was forked, and None when nobody asks any more."""
    ended = selectors.DefaultSelector()
    ended.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in ended.select():
            if key.fileobj is not control:
                _tell(ended, key)
                continue
            size, streams, _, _ = socket.recv_fds(control, INT, 4)
            if not size:
                return None
            request = _read(control, int.from_bytes(size, "big"))
            pid = os.fork()
            if not pid:
                ended.close()
                control.detach()
                _become(request, streams)
                return request
            for stream in streams[:3]:
                os.close(stream)
            ended.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, streams[3]))
            control.sendall(pid.to_bytes(INT, sys.byteorder))


def _tell(ended: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Tell who asked for a process how it has ended."""
    pid, hears = key.data
    _, status = os.waitpid(pid, 0)
    ended.unregister(key.fileobj)
    os.close(key.fd)
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know
        os.write(hears, status.to_bytes(INT, sys.byteorder))
    os.close(hears)


def _read(control: socket.socket, size: int) -> dict[str, Any]:
    read = b""
    while len(read) < size:
        read += control.recv(size - len(read))
    request: dict[str, Any] = msgpack.unpackb(read, unicode_errors="surrogateescape")
    return request


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Give this process the session, folder, variables and streams that were asked for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["session"]:
        os.setsid()
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
    os.closerange(3, 1024)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        was = getattr(sys, name)
        opened = open(  # noqa: SIM115  it stays open, as it does in a process that was started
            number, mode, 1 if name == "stderr" else -1, was.encoding, was.errors, closefd=False
        )
        setattr(sys, name, opened)
        setattr(sys, f"__{name}__", opened)


def run(request: dict[str, Any]) -> None:
    """Run the command or the module, as Python itself does."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path[1:1] = [
        folder
        for folder in request["environ"].get("PYTHONPATH", "").split(os.pathsep)
        if folder and folder not in sys.path[1:]
    ]
    importlib.invalidate_caches()
    sys.argv = request["words"]
    if module := request["module"]:
        sys.path[0] = str(Path.cwd())
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    sys.path[0] = str(Path(sys.argv[0]).parent)
    sys.modules["__main__"] = ModuleType("__main__")
    from rsq_pipe.cli.start import main

    main()


if __name__ == "__main__":
    for imported in IMPORTED:
        importlib.import_module(imported)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is None:
        os._exit(0)
    run(asked)
