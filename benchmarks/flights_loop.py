"""The plain loop of benchmarks/flights.py: what pipelines/flights.yaml does, in 60 lines of Python.

python benchmarks/flights_loop.py FLIGHTS AIRLINES FOLDER
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

INTEGERS = [
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time"),
    *("arr_delay", "flight", "air_time", "distance", "hour", "minute"),
]
FIELDS = ["date", "carrier", "carrier_name", "flight", "origin", "dest", "dep_delay", "arr_delay"]


def converted(row: dict[str, str]) -> dict[str, Any]:
    """Convert a row's fields to numbers and a time."""
    record: dict[str, Any] = {name: None if value in {"NA", ""} else value for name, value in row.items()}
    for name in INTEGERS:
        if record[name] is not None:
            record[name] = int(record[name])
    datetime.fromisoformat(record["time_hour"])
    return record


def shaped(record: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Add the carrier's name, and replace five fields with one date."""
    record["carrier_name"] = names[record["carrier"]]
    record["date"] = f"{record['year']}-{record['month']:02d}-{record['day']:02d}"
    for name in ("year", "month", "day", "hour", "minute"):
        del record[name]
    return record


def main(flights: Path, airlines: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with airlines.open(encoding="utf-8", newline="") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    with (
        gzip.open(flights, "rt", encoding="utf-8", newline="") as source,
        (folder / "cancelled.jsonl").open("w", encoding="utf-8") as cancelled,
        (folder / "delayed.csv").open("w", encoding="utf-8", newline="") as delayed,
        (folder / "on-time.csv").open("w", encoding="utf-8", newline="") as on_time,
    ):
        writers = [csv.DictWriter(file, FIELDS, extrasaction="ignore") for file in (delayed, on_time)]
        for writer in writers:
            writer.writeheader()
        for row in csv.DictReader(source):
            record = shaped(converted(row), names)
            if record["dep_time"] is None:
                cancelled.write(json.dumps(record, ensure_ascii=False) + "\n")
            else:
                writers[not record["dep_delay"] > 15].writerow(record)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
