"""The plain loop of benchmarks/delays.py: flights counted by carrier and day.

python benchmarks/delays_loop.py FLIGHTS FILE
"""

from __future__ import annotations

import csv
import gzip
import sys
from datetime import datetime
from pathlib import Path

FIELDS = ["carrier", "day", "flights", "mean", "worst", "miles"]


def main(flights: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[str, str], list[int]] = {}
    with gzip.open(flights, "rt", encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source):
            if row["dep_delay"] in {"NA", ""}:
                continue
            delay, miles = int(row["dep_delay"]), int(row["distance"])
            day = datetime.fromisoformat(row["time_hour"]).date().isoformat()
            group = groups.setdefault((row["carrier"], day), [0, 0, delay, 0])
            group[0] += 1
            group[1] += delay
            group[2] = max(group[2], delay)
            group[3] += miles
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for (carrier, day), (count, total, worst, miles) in groups.items():
            writer.writerow([carrier, day, count, total / count, worst, miles])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
