"""Wrong tokens are counted by address, for a minute, and for so many addresses alone."""

from __future__ import annotations

from rsq_pipe.page.attempts import ADDRESSES, SECONDS, WRONG, Attempts


def test_after_so_many_an_address_waits_and_then_begins_anew() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(WRONG - 1):
        attempts.wrong("10.0.0.1")
    assert attempts.wait("10.0.0.1") == 0

    now[0] = 10.0
    attempts.wrong("10.0.0.1")
    assert attempts.wait("10.0.0.1") == SECONDS - 10
    assert attempts.wait("10.0.0.2") == 0

    now[0] = SECONDS
    assert attempts.wait("10.0.0.1") == 0
    attempts.wrong("10.0.0.1")
    assert attempts.wait("10.0.0.1") == 0


def test_the_addresses_of_one_network_of_ipv6_are_one() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(WRONG):
        attempts.wrong(f"2001:db8:0:1::{number + 1:x}")

    assert attempts.wait("2001:db8:0:1:ffff::1") == SECONDS
    assert attempts.wait("2001:db8:0:2::1") == 0
    assert attempts.wait("::ffff:10.0.0.1") == 0


def test_no_more_than_so_many_addresses_are_remembered_and_none_at_length() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(ADDRESSES + 500):
        attempts.wrong(f"{number} " + "x" * 10_000)

    assert len(attempts) == ADDRESSES
    assert attempts.longest <= 64
