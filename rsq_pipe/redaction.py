"""Redaction: keep secrets out of what is printed, logged, traced or written into a dead letter."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

from rsq_pipe.hosts import split_hosts

MASK = "***"

SHORTEST = 4
"""Minimum characters of a secret to be masked by its value: a shorter one would mask ordinary text."""

# Up to the last @ before the path: a password may contain one.
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:@/'\"]{0,256}):[^\s/'\"]{1,1024}@")

_SECRET_NAME = r"\w{0,64}(?:password|passwd|secret|token)"  # noqa: S105  names, not secrets
_PARAMETER = re.compile(rf"([?&]{_SECRET_NAME}=)[^\s&#'\"]{{1,1024}}", re.IGNORECASE)


class Redactor:
    """Hold the secrets of this process and mask them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these from now on, including their escaped forms in a URL or in JSON."""
        with self._lock:
            self._secrets |= {spelt for secret in secrets for spelt in _spellings(secret)}
            # The longest first: one secret may be the beginning of another.
            found = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def add_url(self, url: str) -> None:
        """Mask a URL's passwords from now on: the one before its hosts, and those among its parameters."""
        try:
            parts = urlsplit(split_hosts(url)[0])
        except ValueError:  # not a URL; its user will report that
            return
        named = (pair.partition("=")[::2] for pair in parts.query.split("&"))
        secrets = [value for name, value in named if re.fullmatch(_SECRET_NAME, name, re.IGNORECASE)]
        if parts.password:
            secrets.append(parts.password)
        self.add(form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret)))

    def redact(self, text: str) -> str:
        """Return a text with every secret, and the passwords of every URL, masked."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if "://" in text:
            text = _URL.sub(rf"\1:{MASK}@", text)
        return _PARAMETER.sub(rf"\1{MASK}", text) if "=" in text else text


_process = Redactor()
add = _process.add
add_url = _process.add_url
redact = _process.redact


def _spellings(secret: str) -> set[str]:
    lines = [secret, secret.strip()]
    # Tracebacks and logs show a multi-line secret, such as a private key, line by line.
    lines += [line.strip() for line in secret.splitlines()]
    spelt = {
        form
        for line in lines
        for form in (line, quote(line, safe=""), quote_plus(line), json.dumps(line)[1:-1], repr(line)[1:-1])
    }
    # Again, for doubly escaped text, such as a value's repr inside JSON.
    spelt |= {json.dumps(form)[1:-1] for form in spelt}
    return {form for form in spelt if len(form) >= SHORTEST}
