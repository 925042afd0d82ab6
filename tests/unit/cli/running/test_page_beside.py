"""`run --page ADDRESS`: what is an address, and what is a mistake of the user's."""

from __future__ import annotations

import click
import pytest

from rsq_pipe.cli.running.page_beside import PageAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8711", ("127.0.0.1", 8711)),
        ("localhost", ("localhost", 8710)),
        ("[::1]:8711", ("::1", 8711)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
    ],
)
def test_a_host_a_port_or_both_are_an_address(text: str, address: tuple[str, int]) -> None:
    assert PageAddress().convert(text, None, None) == address


@pytest.mark.parametrize("port", ["65536", "x", "-1", "²", "9" * 5_000])
def test_a_port_that_is_none_is_told_whatever_its_length(port: str) -> None:
    with pytest.raises(click.UsageError, match="is not an address"):
        PageAddress().convert(f"127.0.0.1:{port}", None, None)
