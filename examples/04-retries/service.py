"""A service of exchange rates that is as reliable as some are: of every three calls one fails."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count

RATES = {"EUR": 1.0, "USD": 0.5, "GBP": 1.25, "CHF": 1.0}
PORT = int(os.environ.get("RATES_PORT", "8765"))

calls = count(1)


class Rates(BaseHTTPRequestHandler):
    """Answer `GET /rates/USD`."""

    protocol_version = "HTTP/1.1"  # connections stay open

    def do_GET(self) -> None:
        call = next(calls)
        if call % 6 == 3:
            self.answer(503, {"error": "the database is away"})
        elif call % 6 == 0:
            self.answer(429, {"error": "too many calls"}, {"Retry-After": "1"})
        else:
            self.answer(200, {"rate": RATES[self.path.rpartition("/")[2]]})

    def answer(self, status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", PORT), Rates).serve_forever()
