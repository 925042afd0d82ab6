"""HTTP address: what may be wrong with an address in which a key stands."""

from __future__ import annotations

from collections.abc import Collection

from rsq_pipe.connectors.http.addresses import wrong_address
from rsq_pipe.spec.key_template import KeyTemplate

_EXAMPLE = "https://HOST/{id}"


def wrong_url(url: KeyTemplate, allow: Collection[str]) -> str:
    """Say what is wrong with an address, and how to mend it; empty where nothing is."""
    beginning = url.parts[0] if isinstance(url.parts[0], str) else ""
    wrong = wrong_address(beginning, allow, _EXAMPLE)
    if wrong.startswith("the address names no host") or (not wrong and beginning.count("/") < 3):
        return f"the key may not stand in the name of the host; write {_EXAMPLE}"
    return wrong
