"""Print how many orders each file of pipelines/orders.yaml holds, and what they are worth."""

from __future__ import annotations

import json
from pathlib import Path

OUT = Path(__file__).parents[2] / "out" / "orders"


def main() -> None:
    count, worth = 0, 0.0
    for path in sorted(OUT.glob("*.jsonl")):
        orders = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        total = sum(order["total"] for order in orders)
        print(f"{path.stem:<10}{len(orders):>5} orders {total:>14,.2f}")
        count, worth = count + len(orders), worth + total
    print(f"{'all':<10}{count:>5} orders {worth:>14,.2f}")


if __name__ == "__main__":
    main()
