"""Source http: a web service that gives its records in pages, and asks for a token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from aiohttp import web

from tests.contract.sources.files import few
from tests.contract.sources.rig import WRONG, Rig
from tests.support.web_service import WebService

TOKEN = "of-the-tests"
PAGE = 20


class Origin(Rig):
    server = "a web service on loopback"
    bad_said = "page 0, record 7: it is not an object"
    login_said = "it answers 401: who is that?; check the credentials"
    missing_said = "it answers 404: there is none"

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self._items: list[Any] = []

    @cached_property
    def _service(self) -> WebService:
        return WebService(self._answer).__enter__()

    @property
    def options(self) -> dict[str, Any]:
        return {
            "url": f"{self._service.url}/items",
            "auth": {"bearer": "${secret:TOKEN}"},
            "records": "items",
            "paginate": "cursor",
            "key": "n",
        }

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "url": f"{self._service.url}/nothing"}

    def environ(self) -> dict[str, str]:
        return {"TOKEN": TOKEN}

    def wrong_environ(self) -> dict[str, str]:
        return {"TOKEN": WRONG}

    def fill(self, numbers: Sequence[int]) -> None:
        self._items += [{"n": n} for n in numbers]

    def fill_with_a_bad_one(self) -> None:
        self._items += few([1])

    def stop(self) -> None:
        self._service.stop()

    def start(self) -> None:
        self._service.start()

    def close(self) -> None:
        if "_service" in vars(self):
            vars(self).pop("_service").__exit__()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, text="who is that?")
        if request.path != "/items":
            return web.Response(status=404, text="there is none")
        begin = int(request.query.get("cursor", 0))
        end = begin + PAGE
        more = {"next": str(end)} if end < len(self._items) else {}
        return web.json_response({"items": self._items[begin:end], "cursors": more})
