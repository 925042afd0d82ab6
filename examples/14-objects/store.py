"""An S3 on this machine, by moto, with a bucket of orders; it says when it is there."""

from __future__ import annotations

import gzip
import os
import threading

import obstore
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

PORT = int(os.environ.get("RATES_PORT", "8765"))
JANUARY = """id;state;total;placed
1;paid;19.90;2026-01-03T10:00:00+01:00
2;open;5.00;2026-01-04T11:30:00+01:00
3;paid;120.00;2026-01-31T23:59:59+01:00
"""
FEBRUARY = """id;state;total;placed
4;paid;7.5;2026-02-01T08:00:00+01:00
5;paid;1.005;2026-02-02T08:00:00+01:00
"""


def bucket() -> S3Store:
    """Reach the bucket."""
    return S3Store(
        "lake",
        endpoint=f"http://127.0.0.1:{PORT}",
        region="us-east-1",
        access_key_id="example",
        secret_access_key="example",
        client_options={"allow_http": True},
    )


if __name__ == "__main__":
    from urllib.request import Request, urlopen

    ThreadedMotoServer("127.0.0.1", PORT, verbose=False).start()
    urlopen(Request(f"http://127.0.0.1:{PORT}/lake", method="PUT")).close()
    for month, orders in (("01", JANUARY), ("02", FEBRUARY)):
        obstore.put(bucket(), f"incoming/2026-{month}/orders.csv.gz", gzip.compress(orders.encode()))
    print("there", flush=True)
    threading.Event().wait()
