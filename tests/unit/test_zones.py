"""Zones: time zones by name, and which one is meant by a name that is none."""

from __future__ import annotations

import pytest

from rsq_pipe.zones import time_zone


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", "EST5EDT"])
def test_a_time_zone_is_found_by_its_name(name: str) -> None:
    assert time_zone(name).key == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("america/new york", "did you mean 'America/New_York'?"),
        ("Kolkatta", "did you mean 'Asia/Kolkata'?"),
        ("PST", "write one such as Europe/Berlin, or UTC"),
        ("UTC+2", "write one such as Europe/Berlin, or UTC"),
        ("Europe", "write one such as Europe/Berlin, or UTC"),
        ("../etc/passwd", "write one such as Europe/Berlin, or UTC"),
        ("", "write one such as Europe/Berlin, or UTC"),
    ],
)
def test_a_name_that_is_no_zone_is_answered_with_the_one_that_is_meant(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone") as told:
        time_zone(name)

    assert str(told.value) == f"there is no time zone {name!r}; {meant}"


def test_a_name_longer_than_any_is_not_looked_for() -> None:
    with pytest.raises(ValueError, match="more than 100 characters"):
        time_zone("x" * 1_000_000)


def test_a_machine_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsq_pipe.zones.available_timezones", set)

    with pytest.raises(ValueError, match="install the system's package tzdata"):
        time_zone("Nowhere/Without")
