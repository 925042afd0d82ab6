"""Options: the settings of the `redis` sink."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.redis.template import parse_template
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.hosts import LAST_PORT, is_not_set, split_hosts
from rsq_pipe.units import Duration, OneOrMore

Kind = Literal["hash", "json", "string", "list", "set", "sorted_set", "pubsub"]
WHOLE = frozenset(("hash", "json", "string"))
"""Kinds that hold one record per key."""

_URL = re.compile(r"(rediss?(\+(cluster|sentinel))?|unix)://.+", re.DOTALL)
_TEXT = WithJsonSchema({"type": ["string", "number", "boolean"]})


def _key(text: str) -> str:
    parse_template(text)
    return text


def _url(url: str) -> str:
    if is_not_set(url):
        return url
    if url and not _URL.fullmatch(url):
        raise ValueError("it is not a server address; write redis://HOST:PORT/DB, rediss:// or unix://PATH")
    if url and not url.startswith("unix:"):
        try:
            split_hosts(url)
        except ValueError:
            # The exception's text may quote a part of a password.
            raise ValueError(
                f"its host is malformed, or its port no number up to {LAST_PORT}; it is "
                "redis://USER:PASSWORD@HOST:PORT/DB, where / in a password is written %2F and @ %40"
            ) from None
    return url


class Options(Settings):
    """Settings of the `redis` sink: keys of a Redis server, other than streams."""

    expressions: ClassVar[tuple[str, ...]] = ("value", "score")

    kind: Kind = Field(
        description="What the keys are: `hash`, `json` (with RedisJSON) and `string` (of JSON) hold one "
        "record each; records are added to a `list`, `set` or `sorted_set`; `pubsub` publishes them."
    )
    key: Annotated[str, Field(min_length=1), AfterValidator(_key)] = Field(
        description="The key, or the channel: `order:{id}`, with fields of the record in braces; `{{` is a "
        "literal one."
    )
    url: Annotated[str, AfterValidator(_url)] = Field(
        default="",
        repr=False,
        description="The server, best from `${secret:NAME}`. Default: the pipeline's own. Never printed.",
    )
    value: Annotated[Any, _TEXT] = Field(
        default=None,
        description="An expression for what is added or published. Default: the record as JSON. Not with "
        "`hash` and `json`.",
    )
    score: Annotated[Any, _TEXT] = Field(
        default=None, description="With `sorted_set`: an expression, a number."
    )
    merge: bool = Field(
        default=False,
        description="With `hash`: keep the fields that the record lacks instead of deleting them.",
    )
    max: OneOrMore | None = Field(
        default=None, description="With `list`: how many of the last items are kept."
    )
    ttl: Annotated[Duration, Field(ge=0.001)] | None = Field(
        default=None, description="How long a key is kept after it was last written. Default: forever."
    )
    fresh: Literal["error", "keep", "empty"] = Field(
        default="error",
        description="With a `list`, `set` or `sorted_set` of one key: what `--fresh` does if it is not "
        "empty: end with an error, add to it, or delete it first.",
    )
    rid: bool = rid_option()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "sorted_set") != (self.score is not None):
            raise ValueError("`score` is for `kind: sorted_set`, which needs it; write `score: total`")
        if self.value is not None and self.kind in ("hash", "json"):
            raise ValueError("a `hash` or `json` is the record itself; leave `value` out, or use `string`")
        if self.merge and self.kind != "hash":
            raise ValueError("`merge` is for `kind: hash`; leave it out")
        if self.max is not None and self.kind != "list":
            raise ValueError("`max` is for `kind: list`; leave it out")
        if self.ttl is not None and self.kind == "pubsub":
            raise ValueError("a channel keeps nothing; leave `ttl` out")
        if self.kind in WHOLE and parse_template(self.key).is_fixed:
            what = "every record would take the place of the one before"
            raise ValueError(f"{what}; write `key: {self.key}:{{id}}`")
        return self
