"""The page from a database's changes to a lake, run word for word on servers of its own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_walk import BLOCK
from tests.support.object_store import KEY, SECRET, Bucket, bucket, object_store
from tests.support.postgres import PostgresServer, own_postgres, postgres_binaries

__all__ = ["bucket", "object_store", "own_postgres", "postgres_binaries"]

PAGE = Path(__file__).parents[2] / "docs/guide/database-to-lake.md"

pytestmark = pytest.mark.docs

FILE_NAME = re.compile(r".*`([\w.]+\.(?:yaml|sql))`", re.DOTALL)

# What a reader's patience does after a block of commands: the block's number -> what is waited for.
UNTIL = """
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
soon() {
    for _ in $(seq 200); do
        if [ "$(psql "$PG" -A -t -c "$1")" = "$2" ]; then return; fi
        sleep 0.1
    done
    echo "not so after 20 s: $1"
    exit 1
}
"""
COUNTED = "select coalesce(sum(orders), 0) from daily_sales"
WAITS = {2: f"soon '{COUNTED}' 300\n", 3: f"soon '{COUNTED}' 301\n", 5: f"soon '{COUNTED}' 302\n"}


def script() -> str:
    parts, number = [UNTIL], 0
    text = PAGE.read_text()
    for found in BLOCK.finditer(text):
        kind, content = found.groups()
        if kind == "sh":
            number += 1
            parts += [content, WAITS.get(number, "")]
        elif kind:
            name = FILE_NAME.match(text[: found.start()])
            assert name
            parts.append(f"cat > {name[1]} <<'END OF FILE'\n{content}END OF FILE\n")
    return "".join(parts)


@pytest.mark.timeout(240)
def test_the_page_from_changes_to_a_lake_does_what_it_says(
    own_postgres: PostgresServer, bucket: Bucket, tmp_path: Path
) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("RSQ_", "OTEL_"))}
    folders = [str(Path(sys.executable).parent), environ["PATH"]]
    environ |= {"PATH": os.pathsep.join(folders), "PG": own_postgres.dsn, "BUCKET": f"s3://{bucket.name}"}
    environ |= {"S3": bucket.store.endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    done = subprocess.run(
        ["bash", "-e", "-u", "-c", script()],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    shown = [content for kind, content in BLOCK.findall(PAGE.read_text()) if not kind]
    for text in shown:
        assert text in done.stdout
    assert '"customer"' in done.stdout
    assert own_postgres.execute("select orders, revenue from daily_sales where country = 'FR'") == [(1, 1)]
    assert own_postgres.execute("select 1 from pg_replication_slots") == []
    ids = [one for name in bucket.objects() for one in ids_in(bucket.get(name))]
    assert sorted(ids) == list(range(1, 303))
    partitions = {name.split("/")[1] for name in bucket.names()}
    assert partitions == {"country=GB", "country=US", "country=FR"}


def ids_in(part: bytes) -> list[int]:
    from arro3.io import read_parquet

    found: list[int] = read_parquet(io.BytesIO(part)).read_all()["id"].to_pylist()
    return found
