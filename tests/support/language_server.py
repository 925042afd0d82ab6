"""A YAML language server as editors use one: opens a file, completes, hovers and checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.absent import absent


def command() -> str:
    """Find the server; if it is missing, a test that needs it is skipped, except in CI."""
    found = os.environ.get("YAML_LANGUAGE_SERVER") or shutil.which("yaml-language-server")
    if not found:
        absent("yaml-language-server on PATH", "npm install --global yaml-language-server")
    return found


class LanguageServer:
    """
    Speak the Language Server Protocol with `yaml-language-server --stdio`.

    Args:
        command: The server.
        root: The folder that is open in the editor.
        schemas: Schema file -> the names of files it is for.
    """

    def __init__(self, command: str, root: Path, schemas: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._settings = {
            "schemas": schemas,
            "schemaStore": {"enable": False},
            "completion": True,
            "hover": True,
        }
        self._number = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        capabilities = {
            "textDocument": {"hover": {"contentFormat": ["markdown"]}},
            "workspace": {"configuration": True},
        }
        self._ask("initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": capabilities})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": {"yaml": self._settings}})

    def open(self, file: Path) -> list[str]:
        """Open a file; return what is wrong with it, each as `line: message`, lines from 1."""
        document = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": file.read_text()}
        self._diagnostics.pop(file.as_uri(), None)
        self._tell("textDocument/didOpen", {"textDocument": document})
        while file.as_uri() not in self._diagnostics:
            self._take(self._read())
        return [
            f"{found['range']['start']['line'] + 1}: {found['message']}"
            for found in self._diagnostics[file.as_uri()]
        ]

    def complete(self, file: Path, line: int, column: int) -> list[str]:
        """Return the completions offered at a place, line and column from 1."""
        found = self._ask("textDocument/completion", _place(file, line, column))
        items = found["items"] if isinstance(found, dict) else found or []
        return [item["label"] for item in items]

    def hover(self, file: Path, line: int, column: int) -> str:
        """Return what is shown for a place, line and column from 1."""
        found = self._ask("textDocument/hover", _place(file, line, column))
        return str(found["contents"]["value"]) if found else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, method: str, params: object) -> Any:
        self._number += 1
        number = self._number
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            said = self._read()
            if said.get("id") == number and "method" not in said:
                assert "error" not in said, said
                return said["result"]
            self._take(said)

    def _tell(self, method: str, params: object) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def _take(self, said: dict[str, Any]) -> None:
        if said.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[said["params"]["uri"]] = said["params"]["diagnostics"]
        elif said.get("method") == "workspace/configuration":
            asked = [
                self._settings if item.get("section") == "yaml" else {} for item in said["params"]["items"]
            ]
            self._write({"jsonrpc": "2.0", "id": said["id"], "result": asked})
        elif "id" in said and "method" in said:
            self._write({"jsonrpc": "2.0", "id": said["id"], "result": None})

    def _write(self, message: object) -> None:
        assert self._process.stdin is not None
        body = json.dumps(message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        size = 0
        while line := self._process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        said: dict[str, Any] = json.loads(self._process.stdout.read(size))
        return said


def _place(file: Path, line: int, column: int) -> dict[str, Any]:
    return {
        "textDocument": {"uri": file.as_uri()},
        "position": {"line": line - 1, "character": column - 1},
    }
