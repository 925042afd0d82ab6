"""A run that lasts, and tells of itself on a port of its own."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from threading import Thread

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.traced_project import clean_environ
from tests.support.guarded_server import least
from tests.support.preloaded import COMMAND, PreloadedProcess
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually


class ScrapedRun:
    """Run a project with `--metrics-port 0` until `end`."""

    def __init__(self, project: Project, server: StreamServer) -> None:
        options = ["--redis", server.url, "--metrics-port", "0"]
        words, environ = least(["run", project.path, *options], clean_environ())
        self._process: subprocess.Popen[str] = PreloadedProcess(
            [COMMAND, *words],
            cwd=project.root,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: list[str] = []
        Thread(target=self._listen, daemon=True).start()
        try:
            self.url = eventually(self._url, what="the run names its address")
        except AssertionError:
            self.end()
            raise AssertionError("".join(self._said)) from None

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def values(self, metric: str) -> dict[tuple[str, ...], float]:
        """The samples of a metric, by its stage and, where it has one, its outcome or reason."""
        return {
            tuple(
                sample.labels[label]
                for label in ("rsq_stage", "rsq_outcome", "rsq_reason")
                if label in sample.labels
            ): sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == metric
        }

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self._said.extend(iter(self._process.stderr.readline, ""))

    def _url(self) -> str:
        found = re.search(r"(http://127\.0\.0\.1:\d+)/metrics", "".join(self._said))
        return found[1] if found else ""
