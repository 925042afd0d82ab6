"""Pipeline files, for the tests of the loader."""

from __future__ import annotations

from pathlib import Path

ORDERS = """
version: 1
pipeline: orders
redis: {url: "${RSQ_REDIS_URL:-}"}
defaults:
  batch: {size: 100, wait: 20ms}
  retry: {attempts: 4, backoff: {max: 10s}}
stages:
  read:
    source: {type: jsonl, path: data/*.jsonl}
  check:
    filter: total > 0
  enrich:
    call: handlers:enrich
    with: {rate: 0.2}
    ports: [odd]
    workers: 2
    retry: {backoff: {first: 1s}}
  price:
    from: [enrich, enrich.odd]
    map: {total: price * 2, price: null, fixed: 3}
  route:
    route:
      - {to: large, when: total >= 1000}
      - {to: small, otherwise: true}
  large:
    from: route.large
    sink: {type: stream, stream: large-orders}
  small:
    from: [route.small, check.errors, {stream: late}]
    filter: total
    to: {stream: small-orders}
"""
ENRICH = "def enrich(order, ctx):\n    return order\n"


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    spec = folder / name
    spec.write_text(text)
    return spec


def short(stages: str, *, head: str = "") -> str:
    return (
        f"version: 1\npipeline: p\n{head}stages:\n  read: {{source: {{type: stream, stream: in}}}}\n{stages}"
    )
