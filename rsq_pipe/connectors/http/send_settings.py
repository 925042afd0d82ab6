"""SendSettings: what the sink `http` is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rsq_pipe.connectors.http.settings import Service
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.units import Size


class SendSettings(Service):
    """Settings of the `http` sink: a request for each record, or for each batch."""

    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="The request's method.")
    body: Literal["record", "array", "ndjson"] = Field(
        default="record",
        description="What a request holds: one record as a JSON object; or a batch, as a JSON array or one "
        "object a line.",
    )
    max_body: Size = Field(
        default="1MiB",
        validate_default=True,
        gt=0,
        description="Bytes of one request of a batch, at most; a record that is larger goes alone.",
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10,
        description="Requests under way at once, in each worker. With 1 records are sent in their order.",
    )
    key_header: str = Field(
        default="Idempotency-Key",
        pattern=r"^[A-Za-z0-9-]+$",
        description="The header by which the service can tell that it has had a request before.",
    )
    rid: bool = rid_option()
