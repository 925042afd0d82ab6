"""WebTarget: a web service that takes numbered records, and keeps them with the keys they came under."""

from __future__ import annotations

from aiohttp import web

from tests.support.web_service import WebService

TOKEN = "of-the-target"


class WebTarget(WebService):
    """Serve `/NAME` for each name in `taken`."""

    def __init__(self) -> None:
        super().__init__(self._take)
        self.taken: dict[str, list[tuple[str, int]]] = {}

    async def _take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, text="who is that?")
        found = self.taken.get(request.path.strip("/"))
        if found is None:
            return web.Response(status=404, text="there is nothing")
        number = (await request.json())["n"]
        if number == "seven":
            return web.Response(status=422, text="no seven")
        found.append((request.headers["Idempotency-Key"], number))
        return web.Response(status=201)
