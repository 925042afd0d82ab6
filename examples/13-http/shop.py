"""A shop's web service: orders in pages of five, and a place to send bills to; it is not always well."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PORT = int(os.environ.get("RATES_PORT", "8765"))
ORDERS = [
    {"id": number, "amount": 10 * number, "country": "XX" if number == 7 else "DE"} for number in range(1, 13)
]
BILLS = Path("out/13-http/bills.jsonl")

calls = count(1)
known: set[str] = set()


class Shop(BaseHTTPRequestHandler):
    """Answer `GET /orders?after=5` and `POST /bills`."""

    protocol_version = "HTTP/1.1"  # connections stay open

    def do_GET(self) -> None:
        after = int(parse_qs(urlsplit(self.path).query).get("after", ["0"])[0])
        page = [order for order in ORDERS if order["id"] > after][:5]
        more = page[-1]["id"] if page and page[-1] is not ORDERS[-1] else None
        self.answer(200, {"data": {"items": page}, "meta": {"next": more}})

    def do_POST(self) -> None:
        bill = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        if next(calls) == 4:
            self.answer(429, {"error": "too many calls"}, {"Retry-After": "1"})
        elif bill["country"] == "XX":
            self.answer(422, {"error": "there is no country XX"})
        else:
            if key not in known:
                known.add(key)
                with BILLS.open("a") as file:
                    file.write(json.dumps({**bill, "key": key}) + "\n")
            self.answer(201, {})

    def answer(self, status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    BILLS.parent.mkdir(parents=True, exist_ok=True)
    HTTPServer(("127.0.0.1", PORT), Shop).serve_forever()
