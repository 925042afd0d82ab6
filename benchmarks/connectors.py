"""Every connector on its own, without a pipeline around it, most compared with an equivalent bare loop.

    python -m benchmarks.connectors
    python -m benchmarks.rates          # writes the results into docs/reference/connectors.md

A contender whose name begins with `source` or `sink` and a type is that connector; if there are several, the
first is the connector with its defaults.
"""

from __future__ import annotations

from importlib import import_module

from benchmarks.harness import Harness, command

GROUPS = (
    "formats",
    "embedded",
    "tables",
    "mysql",
    "changes",
    "messages",
    "mqtt",
    "objects",
    "keys",
    "streams",
    "functions",
    "commands",
    "loads",
    "web_requests",
    "web_pages",
)
"""Modules with a TITLE, a SIZE (usual and quick), contenders(size), and BESIDE: who is compared with whom."""


def main(harness: Harness) -> None:
    for name in GROUPS:
        # Here, because each measurement is a process that imports this module, but not what other groups
        # need.
        group = import_module(f"benchmarks.{name}")
        with group.contenders(harness.options.size(*group.SIZE)) as contenders:
            if contenders:  # none if its server is not installed
                harness.turns(name, group.TITLE, contenders, beside=group.BESIDE)


if __name__ == "__main__":
    command(main, __doc__)
