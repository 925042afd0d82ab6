"""ReadOptions: what the source `dlt` is told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rsq_pipe.connectors.function_name import function_name
from rsq_pipe.units import Duration


class ReadOptions(BaseModel):
    """Settings of the `dlt` source: what a source or resource of dlt brings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    call: Annotated[str, *function_name("feeds:github")] = Field(
        description="What makes the source: `module:function`, found from the project root, else beside "
        "this file; a function with `@dlt.source` or `@dlt.resource`, or one that returns such a thing."
    )
    with_: dict[str, Any] = Field(
        default={},
        alias="with",
        repr=False,
        description="Arguments for it: `{owner: dlt-hub, token: ${secret:T}}`.",
    )
    resource: str = Field(
        default="", description="Which resource of the source is read, where it has more than one."
    )
    every: Duration | None = Field(
        default=None,
        gt=0,
        description="Read again after so long, with the state that the last reading left; left out: once a "
        "run.",
    )
