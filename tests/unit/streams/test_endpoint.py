"""An endpoint's address as people read it."""

from __future__ import annotations

import pytest

from rsq_pipe.streams.endpoint import Endpoint, parted, spelt


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://[::1]:6390", "[::1]:6390"),
        ("redis://user:secret@10.0.0.1", "10.0.0.1:6379"),
        ("redis://cache.example:6390/3", "cache.example:6390"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_credentials_and_with_ipv6_in_brackets(url: str, shown: str) -> None:
    assert Endpoint.from_url(url).address == shown


@pytest.mark.parametrize("node", [("::1", 6390), ("10.0.0.1", 6379), ("cache.example", 1)])
def test_a_written_address_is_split_as_it_was(node: tuple[str, int]) -> None:
    assert parted(spelt(*node)) == node
