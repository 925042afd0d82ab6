"""Endpoint: `/metrics` for Prometheus, `/livez` and `/readyz` for the supervisor of the process."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.hosts import is_of_host
from rsq_pipe.telemetry.health import Health

log = logging.getLogger("rsq_pipe.telemetry")

PATIENCE = 5.0
"""Maximum seconds for a client's whole request and the whole answer, even if it keeps sending."""

MOST = 32
"""Maximum number of clients; the one connected longest is closed for the next."""

Metrics = Callable[[str], tuple[str, bytes]]
"""Takes an `Accept` header; returns a content type and a body."""


class Endpoint:
    """
    Answer on a port, from its own threads: `/livez` must be able to report a stuck event loop.

    Args:
        host: The address to listen on; anyone who reaches it can read the names and rates of all stages.
        port: 0 for any free one.
        health, metrics: Read at each request.

    Raises:
        RsqPipeError: The port is taken, or the address does not belong to this machine.
    """

    def __init__(self, host: str, port: int, health: Health, metrics: Metrics) -> None:
        class Answer(_Request):
            sources = (health, metrics)

        try:
            self._server = _Server((host, port), Answer)
        except OSError as exc:
            option = "--metrics-host" if is_of_host(exc) else "--metrics-port"
            raise RsqPipeError(
                f"metrics cannot be served on {host}:{port}: {exc.strerror or exc}; choose another {option}"
            ) from exc
        self.port = self._server.server_port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, name="rsq-pipe metrics", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Give every client a thread, for a limited time, and limit the number of clients."""

    daemon_threads = True
    allow_reuse_address = True
    # Not 5, as in http.server: the system would keep connections that arrive all at once waiting for seconds.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._since: dict[socket.socket, float] = {}  # oldest first
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  the base class's
        """Make room for a client if there is none: a probe takes milliseconds, and must get through."""
        with self._lock:
            crowd = list(self._since)
            if len(crowd) >= MOST:
                # Their threads end in a moment, except those in the middle of an answer.
                for oldest in crowd[: len(crowd) - MOST + 1]:
                    _hang_up(oldest)
            if len(crowd) >= 2 * MOST:
                return False
            self._since[request] = time.monotonic()
            return True

    def service_actions(self) -> None:
        """Close the connections of clients that take too long; called twice a second."""
        with self._lock:
            for client, since in self._since.items():
                if time.monotonic() - since > PATIENCE:
                    _hang_up(client)

    def close_request(self, request: Any) -> None:
        """Remove a client that is done."""
        with self._lock:
            self._since.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  the base class's
        """Log an error of ours; a client that disconnected is not one."""
        if not isinstance(why := sys.exception(), OSError):
            log.error("a request for metrics could not be answered", exc_info=why)


def _hang_up(client: socket.socket) -> None:
    # Not close(): its thread still uses the descriptor, whose number may soon belong to another file.
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


class _Request(BaseHTTPRequestHandler):
    sources: ClassVar[tuple[Health, Metrics]]
    timeout = PATIENCE
    server_version = "rsq-pipe"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one request."""
        health, metrics = self.sources
        match self.path.partition("?")[0]:
            case "/metrics":
                kind, body = metrics(self.headers.get("Accept", ""))
                self._answer(200, kind, body)
            case "/livez":
                self._state(well=health.live, trouble="the event loop is stuck")
            case "/readyz":
                self._state(well=health.ready, trouble=health.why or "the server does not answer")
            case _:
                self._answer(404, "text/plain", b"there is /metrics, /livez and /readyz\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Log nothing: a probe every second is not news."""

    def _state(self, *, well: bool, trouble: str) -> None:
        self._answer(200 if well else 503, "text/plain", b"ok\n" if well else f"{trouble}\n".encode())

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
