"""Templates: the files of a new project, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rsq_pipe.cli.project.sample import Sample
from rsq_pipe.testing.cases.yaml_text import entry

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]*[A-Za-z0-9_]")

SCHEMA = "# `rsq-pipe schema > pipeline.schema.json` writes what editors complete and check this file by.\n"

PYPROJECT = """\
# The project's root: paths and handlers are found from this folder.
[tool.pytest.ini_options]
pythonpath = ["."]
"""

GITIGNORE = ".rsq/\nout/\n__pycache__/\n"

ORDERS = """\
{"id": 1, "customer": "ada", "lines": [{"price": 400.0, "quantity": 3}]}
{"id": 2, "customer": "bob", "lines": [{"price": 2.5, "quantity": 4}, {"price": 1.0, "quantity": 2}]}
{"id": 3, "customer": "cyd", "lines": []}
{"id": 4, "customer": "dan", "lines": [{"price": 19.9, "quantity": 60}]}
"""

_EXAMPLE = """\
version: 1
pipeline: {name}
stages:
  read:
    source: {{type: jsonl, path: data/orders.jsonl}}
  check:                                  # reads the stage above, like every stage without `from`
    call: handlers:check                  # the function `check` in handlers.py
  price:
    map: {{total: "sum(line['price'] * line['quantity'] for line in lines)"}}
  route:
    route:                                # the first `when` that holds takes the record
      - {{to: large, when: total >= 1000}}
      - {{to: small, otherwise: true}}
  large:
    from: route.large
    sink: {{type: jsonl, path: out/large.jsonl}}
  small:
    from: route.small
    sink: {{type: jsonl, path: out/small.jsonl}}
"""

_EXAMPLE_HANDLERS = '''\
"""What the pipeline does in Python."""

from rsq_pipe import Drop


def check(order: dict) -> dict | Drop:
    """Let an order with lines go on; what is raised here would make it a dead letter."""
    if not order["lines"]:
        return Drop("no lines")
    return order
'''

_EXAMPLE_TEST = """\
# Tests of pipeline.yaml: `rsq-pipe test`. What editors complete and check this file by, this writes:
# `rsq-pipe schema --tests > pipeline_test.schema.json`

tests:
  an order without lines is dropped:
    stage: check
    given:
      - {id: 1, customer: ada, lines: [{price: 2.5, quantity: 4}]}
      - {id: 2, customer: bob, lines: []}
    expect:
      out:
        - {id: 1, customer: ada, lines: [{price: 2.5, quantity: 4}]}
      dropped: {no lines: 1}

  orders are priced and sorted by what they are worth:
    match: partial                        # a record may have more fields than are expected
    given:
      - {id: 1, lines: [{price: 400.0, quantity: 3}]}
      - {id: 2, lines: [{price: 2.5, quantity: 4}]}
    expect:
      large: [{id: 1, total: 1200.0}]
      small: [{id: 2, total: 10.0}]
"""

_HANDLERS = '''\
"""What the pipeline does in Python."""


def check(record: dict) -> dict:
    """Change the record here; return None to drop it, raise to make it a dead letter."""
    return record
'''

_TEST = """\
# Tests of pipeline.yaml: `rsq-pipe test`. What editors complete and check this file by, this writes:
# `rsq-pipe schema --tests > pipeline_test.schema.json`

tests:
  a record goes on:
    stage: check
"""


def example(name: str) -> dict[str, str]:
    """Build a project with sample data: file -> text."""
    return {
        "pipeline.yaml": SCHEMA + _EXAMPLE.format(name=name),
        "handlers.py": _EXAMPLE_HANDLERS,
        "pipeline_test.yaml": _EXAMPLE_TEST,
        "data/orders.jsonl": ORDERS,
    }


def of_file(name: str, path: str, found: Sample) -> dict[str, str]:
    """
    Build a project that reads a file: file -> text.

    Args:
        name: The pipeline's name.
        path: The file's path in the pipeline.
        found: The result of examining it.
    """
    return {
        "pipeline.yaml": SCHEMA + _pipeline(name, path, found),
        "handlers.py": _HANDLERS,
        "pipeline_test.yaml": _test(found.first),
    }


def _pipeline(name: str, path: str, found: Sample) -> str:
    lines = ["version: 1", f"pipeline: {name}", "stages:", "  read:", "    source:"]
    shown = path if _PLAIN_PATH.fullmatch(path) else json.dumps(path, ensure_ascii=False)
    lines += [f"      type: {found.kind}", f"      path: {shown}"]
    looked = f"# of its first {found.records:,} records"
    if found.kind == "csv":
        if found.delimiter != ",":
            lines.append(f"      delimiter: {json.dumps(found.delimiter)}")
        if found.encoding:
            encoding = f"      encoding: {found.encoding}"
            lines.append(f"{encoding:40}# it is not UTF-8; check letters such as é")
        if found.na:
            na = f"      na: [{', '.join(map(json.dumps, found.na))}]"
            lines.append(f"{na:40}# null, in columns of text, too")
        if found.types:
            lines.append(f"      types:{' ' * 28}{looked}; what is not named is text")
            lines += [f"        {_key(field)}: {type_}" for field, type_ in found.types.items()]
    elif found.types:
        lines += ["  shape:", "    validate:", f"      fields:{' ' * 27}{looked}; `?` may be missing or null"]
        lines += [f"        {_key(field)}: {rule}" for field, rule in found.types.items()]
    lines += ["  check:", "    call: handlers:check                  # the function `check` in handlers.py"]
    lines += ["  write:", f"    sink: {{type: jsonl, path: out/{name}.jsonl}}"]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    is_plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS
    return name if is_plain else json.dumps(name, ensure_ascii=False)


def _test(record: Mapping[str, Any]) -> str:
    lines = [*entry("given", [dict(record)], 4), "    expect:", *entry("out", [dict(record)], 6)]
    return _TEST + "\n".join(lines) + "\n"
