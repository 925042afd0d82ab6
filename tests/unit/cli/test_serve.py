"""`serve --host --port`: an address that cannot be taken is told with what is wrong with it."""

from __future__ import annotations

import socket

import click
import pytest
from click.testing import CliRunner

from rsq_pipe.cli.serve import command, listen


@pytest.mark.parametrize("host", ["256.1.1.1", "a b", "", "192.0.2.1", "fe80::1"])
def test_a_host_that_is_none_of_this_machine_is_told_and_no_other_port_advised(host: str) -> None:
    with pytest.raises(
        click.UsageError, match="the host must be an address or a name of this machine"
    ) as told:
        listen(host, 0)

    assert "--port" not in told.value.message


@pytest.mark.parametrize("option", ["--port", "--page"])
def test_a_port_that_is_taken_is_told_with_the_option_that_names_another(option: str) -> None:
    told = pytest.raises(click.UsageError, match=f"in use; take another {option}, or 0")
    with socket.create_server(("127.0.0.1", 0)) as taken, told:
        listen("127.0.0.1", taken.getsockname()[1], option)


def test_the_usage_shows_that_no_file_need_be_named() -> None:
    assert "serve [OPTIONS] [SPEC]" in CliRunner().invoke(command, ["--help"], prog_name="serve").output
