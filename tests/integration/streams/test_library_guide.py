"""The library's guide shows code that runs."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import StreamServer, binaries

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "library.md"


@pytest.mark.docs
@pytest.mark.parametrize("kind", binaries())
async def test_the_guides_snippets_run_one_after_the_other(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snippets = re.findall(
        r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    names: dict[str, Any] = {"__name__": "guide"}

    # A server of its own: the guide names its streams as a reader would.
    with StreamServer(binaries()[kind]) as server:
        monkeypatch.setenv("RSQ_REDIS_URL", server.url)
        for snippet in snippets:
            code = compile(snippet, str(GUIDE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if inspect.isawaitable(result := eval(code, names)):
                await result

    printed = capsys.readouterr().out
    assert "10248 440.0" in printed
    assert "decode_error orders/" in printed
    assert "max_deliveries orders/" in printed
    assert "stream 'bounded' holds 100 entries" in printed
