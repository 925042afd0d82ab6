"""Source webhook: others send a record a request, and again what was not answered 200."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import urllib.request
from collections.abc import Sequence
from typing import Any, ClassVar

from tests.contract.sources.rig import Rig, Why
from tests.support.ports import free_port


class Origin(Rig):
    """Each process listens on a port of its own, as on another machine; the sender tries them all."""

    server = "requests on loopback"
    pipeline_server = "webhook_redis"  # what is away is where requests are stored
    nothing: ClassVar[Why] = {
        "bad": "a request that is not a record is answered 400, and nothing of it is stored",
        "login": "it asks others for their token, and has none to show",
        "missing": "it looks for nothing; a port that is taken is told",
    }
    count = 100
    ends = False
    again = 10
    """The request under way, as often as it is sent again while a paused process does not answer."""

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self._ports: list[int] = []
        self._numbers: queue.Queue[int] = queue.Queue()
        self._over = threading.Event()
        self._sender = threading.Thread(target=self._send_all, daemon=True)

    @property
    def options(self) -> dict[str, Any]:
        return {"listen": "127.0.0.1:${PORT}"}

    def environ(self) -> dict[str, str]:
        self._ports.append(free_port())
        return {"PORT": str(self._ports[-1])}

    def fill(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._numbers.put(number)
        if not self._sender.is_alive():
            self._sender.start()

    def stop(self) -> None:
        self.place.fixture(self.pipeline_server).stop()

    def start(self) -> None:
        self.place.fixture(self.pipeline_server).start()

    def close(self) -> None:
        self._over.set()
        if self._sender.is_alive():
            self._sender.join()

    def _send_all(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Empty):
                number = self._numbers.get(timeout=0.1)
                while not self._over.is_set() and not self._is_taken(number):
                    self._over.wait(0.02)

    def _is_taken(self, number: int) -> bool:
        return any(self._post(port, number) for port in reversed(self._ports))

    def _post(self, port: int, number: int) -> bool:
        body = json.dumps({"n": number}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self.patience) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
