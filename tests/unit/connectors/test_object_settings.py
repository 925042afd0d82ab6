"""What a pipeline file says of objects: addresses, names of parts, credentials, formats."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rsq_pipe.connectors.objects.naming import Naming
from rsq_pipe.connectors.objects.settings import client_settings
from rsq_pipe.connectors.table import connector

URL = "s3://lake/orders/{date}/{part}.jsonl.gz"


def options(**given: Any) -> Any:
    return connector("sink", "objects").options(**{"url": URL, **given})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "orders/{part}.jsonl"}, "names no objects; write s3://BUCKET/PATH, gs://BUCKET/PATH or az:"),
        ({"url": "http://lake/{part}.jsonl"}, "names no objects"),
        ({"url": "s3://key:secret@lake/{part}.jsonl"}, "names no objects"),
        ({"url": "s3://lake/a//{part}.jsonl"}, "an empty part"),
        ({"url": "s3://lake/../{part}.jsonl"}, "an empty part, '.' or '..'"),
        ({"url": "s3://lake/orders.jsonl"}, "the path needs one `{part}`"),
        ({"url": "s3://lake/{part}/{part}.jsonl"}, "the path needs one `{part}`"),
        ({"url": "s3://lake/{day}/{part}.jsonl"}, "there is no {day}; use {part}, {date}, {hour}"),
        ({"url": "s3://lake/*/{part}.jsonl"}, "a brace or a wildcard"),
        ({"url": "s3://lake/{part}.txt"}, "`url` ends in 'txt', which is not a format"),
        ({"url": "s3://lake/{part}.parquet.gz"}, "Parquet is packed by itself; leave out .gz"),
        ({"format": {"type": "csv", "columns": {}}}, "columns"),
        ({"format": "json"}, "'jsonl', 'csv', 'parquet'"),
        ({"rotate": {"records": 0}}, "greater than 0"),
        ({"endpoint": "minio:9000"}, "pattern"),
        ({"endpoint": "http://u:p@minio:9000"}, "pattern"),
        ({"credentials": {"access_key": "a"}}, "`access_key` also needs `secret_key`"),
        (
            {"credentials": {"account_key": "a"}},
            "is for Azure Blob Storage (az://), and `url` begins with",
        ),
        (
            {"credentials": {"anonymous": True, "secret_key": "a", "access_key": "b"}},
            "`anonymous` leaves no use",
        ),
        ({"url": "gs://lake/{part}.csv", "region": "eu-west-1"}, "`region` is for S3"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        options(**given)
    assert told in str(caught.value)


def test_secrets_are_in_no_representation() -> None:
    shown = repr(options(credentials={"access_key": "A", "secret_key": "hush", "session_token": "hush"}))

    assert "hush" not in shown


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (
            {"credentials": {"access_key": "a", "secret_key": "s"}, "region": "eu-west-1"},
            {"access_key_id": "a", "secret_access_key": "s", "region": "eu-west-1"},
        ),
        ({"credentials": {"anonymous": True}}, {"skip_signature": True}),
        (
            {
                "url": "gs://lake/{part}.csv",
                "credentials": {"service_account": '{"type": "x"}'},
            },
            {"service_account_key": '{"type": "x"}'},
        ),
        (
            {"url": "gs://lake/{part}.csv", "credentials": {"service_account": "key.json"}},
            {"service_account": "key.json"},
        ),
        (
            {"url": "az://lake/{part}.csv", "credentials": {"account": "a", "account_key": "azE="}},
            {"account_name": "a", "account_key": "azE="},
        ),
        (
            {"url": "az://lake/{part}.csv", "credentials": {"account": "a", "sas_token": "sv=1"}},
            {"account_name": "a", "sas_token": "sv=1"},
        ),
    ],
)
def test_each_vendors_credentials_are_handed_to_the_client_by_its_names(
    given: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert client_settings(options(**given)) == settings


def test_names_of_parts_sort_as_their_numbers_do_and_are_read_back() -> None:
    naming = Naming("orders/{date}/{hour}/x-{part}.jsonl")
    name = naming.name(12, 1_769_854_000)

    assert naming.prefix == "orders/"
    assert name == "orders/2026-01-31/10/x-00000012.jsonl"
    assert naming.number(name) == 12
    assert naming.name(10**9, 0).endswith("x-1000000000.jsonl")
    for other in ("orders/2026-01-31/10/x-12.jsonl", "orders/x-00000012.jsonl", name + ".gz"):
        assert naming.number(other) is None


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_store_of_each_vendor_can_be_opened(scheme: str) -> None:
    from rsq_pipe.connectors.objects.bucket import Bucket

    account = {"credentials": {"account": "a"}} if scheme == "az" else {}
    bucket = Bucket(options(url=f"{scheme}://lake/{{part}}.csv", **account))

    assert bucket._store() is not None
