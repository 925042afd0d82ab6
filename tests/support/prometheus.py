"""Prometheus: a real one, which scrapes a run and answers queries about it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from tests.support.signals import PATIENCE, eventually

PROMETHEUS = shutil.which("prometheus")


class Prometheus:
    """
    Run a Prometheus on a free port of 127.0.0.1, with one target that it scrapes four times a second.

    Args:
        target: The address of a run, `http://127.0.0.1:PORT`.
        folder: Where it may keep its data; it is created.
    """

    def __init__(self, target: str, folder: Path) -> None:
        folder.mkdir()
        address = target.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 250ms}\n"
            f"scrape_configs: [{{job_name: rsq, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        self._folder = folder
        self._said: list[str] = []
        self._url = ""

    def __enter__(self) -> Self:
        assert PROMETHEUS is not None
        self._process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        Thread(target=self._listen, daemon=True).start()
        self._url = eventually(self._listening, what="Prometheus names its address")
        eventually(self._is_ready, what="Prometheus is ready")  # until then it answers with 503
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def ask(self, question: str) -> dict[tuple[str, ...], float]:
        """Answer a PromQL query, by stage and, if it has one, outcome."""
        query = urllib.parse.urlencode({"query": question})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{query}", timeout=PATIENCE) as answer:
            found = json.load(answer)["data"]["result"]
        labels = ("rsq_stage", "rsq_outcome")
        return {
            tuple(item["metric"][label] for label in labels if label in item["metric"]): float(
                item["value"][1]
            )
            for item in found
        }

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=PATIENCE) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._said.extend(lines)

    def _listening(self) -> str:
        found = re.search(r"address=(127\.0\.0\.1:[1-9]\d*)", "".join(self._said))
        return f"http://{found[1]}" if found else ""


def lint(page: str) -> str:
    """Return what Prometheus's own checker finds wrong with a page of metrics."""
    promtool = shutil.which("promtool")
    assert promtool is not None
    done = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
