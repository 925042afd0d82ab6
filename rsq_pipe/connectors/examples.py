"""Examples: settings of each connector as written in a pipeline file, for `rsq-pipe connectors NAME`."""

from __future__ import annotations

from rsq_pipe.connectors.table import Kind

EXAMPLES: dict[tuple[Kind, str], str] = {
    ("source", "csv"): "{type: csv, path: 'data/*.csv.gz', delimiter: ';', types: {id: int, '*': infer}}",
    ("source", "dlt"): "{type: dlt, call: 'feeds:github', resource: issues, every: 10m}",
    ("source", "exec"): "{type: exec, command: [journalctl, -f, -o, json], format: jsonl}",
    ("source", "generate"): "{type: generate, count: 10k, rate: 100/s, fields: {id: n, total: random * 100}}",
    ("source", "http"): "{type: http, url: 'https://shop.example/orders', records: items, every: 1m}",
    ("source", "json"): "{type: json, path: export.json, records: data.items}",
    ("source", "jsonl"): "{type: jsonl, path: ['data/*.jsonl', 'more/*.jsonl.gz']}",
    ("source", "kafka"): "{type: kafka, brokers: 'kafka-1:9092', topic: orders, fields: {customer: key}}",
    ("source", "objects"): "{type: objects, url: 's3://lake/orders/**/*.jsonl.gz', every: 30s}",
    ("source", "mqtt"): "{type: mqtt, broker: 'broker:1883', topic: 'sensors/#', fields: {sensor: topic}}",
    ("source", "parquet"): "{type: parquet, path: 'lake/**/*.parquet'}",
    ("source", "postgres"): "{type: postgres, dsn: '${secret:PG}', table: orders, key: [id], every: 10s}",
    ("source", "python"): "{type: python, call: 'feeds:orders', with: {region: eu}}",
    ("source", "schedule"): "{type: schedule, cron: '30 2 * * MON-FRI', zone: Europe/Berlin, catch_up: last}",
    ("source", "stream"): "{type: stream, stream: events, format: fields, types: {total: float}, start: $}",
    (
        "source",
        "postgres_cdc",
    ): "{type: postgres_cdc, dsn: 'postgresql://db/shop', publication: p, slot: s}",
    ("source", "webhook"): "{type: webhook, listen: '127.0.0.1:8080', path: /orders}",
    ("sink", "csv"): "{type: csv, path: out/small.csv, fields: [id, total], extra: ignore, formulas: escape}",
    ("sink", "mysql"): "{type: mysql, dsn: '${secret:MYSQL}', table: orders, mode: upsert, key: [id]}",
    (
        "sink",
        "dlt",
    ): "{type: dlt, destination: duckdb, credentials: out/shop.duckdb, dataset: shop, table: orders}",
    ("sink", "http"): "{type: http, url: 'https://shop.example/orders', auth: {bearer: '${secret:TOKEN}'}}",
    ("sink", "jsonl"): "{type: jsonl, path: out/large.jsonl.gz, rotate: {size: 64MiB, every: 1h}}",
    ("sink", "kafka"): "{type: kafka, brokers: 'kafka-1:9092', topic: priced, key: customer_id}",
    ("sink", "objects"): "{type: objects, url: 's3://lake/{part}.parquet', rotate: {every: 1m}}",
    ("sink", "parquet"): "{type: parquet, path: out/x.parquet, columns: {id: int, at: datetime}}",
    (
        "sink",
        "duckdb",
    ): "{type: duckdb, path: shop.duckdb, table: orders, mode: upsert, key: [id], create: true}",
    ("sink", "exec"): "{type: exec, command: [./load.sh, orders], ack: exit, rid: true}",
    ("sink", "postgres"): "{type: postgres, dsn: '${secret:PG}', table: orders, mode: upsert, key: [id]}",
    ("sink", "python"): "{type: python, call: 'stores:store', with: {table: orders}}",
    ("sink", "redis"): "{type: redis, kind: hash, key: 'order:{id}', ttl: 7d}",
    (
        "sink",
        "sqlite",
    ): "{type: sqlite, path: shop.sqlite, table: orders, mode: upsert, key: [id], create: true}",
    ("sink", "mqtt"): "{type: mqtt, broker: 'broker:1883', topic_by: \"'alarms/' + sensor\"}",
    ("sink", "stdout"): "{type: stdout, rid: true}",
    ("sink", "stream"): "{type: stream, stream: priced}",
}
