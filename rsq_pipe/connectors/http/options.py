"""Options: the settings of the source and the sink `http`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from rsq_pipe.connectors.http.settings import Service
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.units import Duration, Size, parse_duration

Kind = Literal["single_page", "json_link", "header_link", "cursor", "offset", "page_number"]


class Paginate(Settings):
    """How one page leads to the next; a type alone stands for `{type: TYPE}`."""

    type: Kind = Field(description="The method, by dlt's names.")
    next_url_path: str = Field(default="next", description="`json_link`: where the next page's address is.")
    cursor_path: str = Field(
        default="cursors.next", description="`cursor`: where an answer has the next page's cursor."
    )
    cursor_param: str = Field(default="cursor", description="`cursor`: the parameter that gets it.")
    limit: Annotated[int, Field(ge=1)] = Field(
        default=100, description="`offset`: how many records a page has."
    )
    limit_param: str = Field(default="limit", description="`offset`: the parameter that gets `limit`.")
    offset_param: str = Field(default="offset", description="`offset`: the parameter that gets the offset.")
    base_page: Annotated[int, Field(ge=0)] = Field(
        default=0, description="`page_number`: the number of the first page."
    )
    page_param: str = Field(default="page", description="`page_number`: the parameter that gets the number.")
    total_path: str = Field(
        default="",
        description="`offset`: where the total number of records is; `page_number`: that of pages. "
        "Default: an empty page is the last.",
    )


class Incremental(Settings):
    """Read only what is new since the last time."""

    field: str = Field(
        min_length=1, description="The field that grows: `updated_at`; `.` leads into objects."
    )
    param: str = Field(min_length=1, description="The parameter that gets the highest value read so far.")
    initial: str = Field(default="", description="Its value the first time. Default: it is not sent.")


def _paginate(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


def _every(value: object) -> object:
    if value is None or value == "once":
        return None
    if not isinstance(value, str):
        raise ValueError("must be a duration or `once`; write 10m")  # noqa: TRY004  as pydantic wants it
    if parse_duration(value) <= 0:
        raise ValueError("it is read without a pause; write 10m")
    return value


class ReadSettings(Service):
    """Settings of the `http` source: the records of a web service, a page at a time."""

    params: dict[str, str] = Field(default={}, description="The parameters after `?` in the address.")
    records: str = Field(
        default="",
        description="Where an answer has its records: `data.items`. Default: the answer is a list.",
    )
    paginate: Annotated[Paginate, BeforeValidator(_paginate)] = Field(
        default=Paginate(type="single_page"), description="How one page leads to the next."
    )
    cursor: Incremental | None = Field(default=None, description="Read only what is new since the last time.")
    key: str = Field(
        default="",
        description="The field that identifies a record, for its id; `.` leads into objects. Default: its "
        "round, page and place.",
    )
    every: Annotated[Duration | None, BeforeValidator(_every)] = Field(
        default=None, description="When to read again; `once`: never."
    )
    timeout: Duration = Field(default=30.0, gt=0, description="How long one request may take.")
    max_page: Size = Field(
        default="16MiB", validate_default=True, gt=0, description="The largest answer in bytes."
    )


class SendSettings(Service):
    """Settings of the `http` sink: a request for each record, or for each batch."""

    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="The request's method.")
    body: Literal["record", "array", "ndjson"] = Field(
        default="record",
        description="What a request contains: one record as a JSON object; or a batch, as a JSON array or "
        "one object per line.",
    )
    max_body: Size = Field(
        default="1MiB",
        validate_default=True,
        gt=0,
        description="The largest request of a batch in bytes; a larger record is sent alone.",
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10,
        description="How many requests may be in flight at once, per worker. With 1, records are sent in "
        "order.",
    )
    key_header: str = Field(
        default="Idempotency-Key",
        pattern=r"^[A-Za-z0-9-]+$",
        description="The header by which the service can recognise a request that it has had before.",
    )
    rid: bool = rid_option()
