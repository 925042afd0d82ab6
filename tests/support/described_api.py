"""The API as documented: finds the description of an answer, and checks the answer against it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from rsq_pipe.page.openapi import document

DOCUMENT = document()


def hold(method: str, path: str, status: int, value: Any) -> None:
    """Check a JSON answer against its description; AssertionError if it differs."""
    template = described(path)
    if status >= 400:
        schema: Any = {"$ref": "#/components/schemas/Error"}
    else:
        assert template, f"{path} answers {status} and is not described"
        replies = DOCUMENT["paths"][template][method.lower()]["responses"]
        assert str(status) in replies, (method, template, status)
        schema = replies[str(status)]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    wrong = [
        f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in validator.iter_errors(value)
    ]
    assert not wrong, (method, path, wrong[:5])


@cache
def described(path: str) -> str:
    """Find the path in the description that a path matches; empty if there is none."""
    own = re.sub(r"^/api(/v1)?", "", path.partition("?")[0])
    # `groups` is not the id of a letter: literal paths come first.
    for template in sorted(DOCUMENT["paths"], key=lambda one: one.count("{")):
        pattern = re.sub(r"{(\w+)}", lambda name: ".+" if name[1] == "record" else "[^/]+", template)
        if re.fullmatch(pattern, own):
            return str(template)
    return ""
