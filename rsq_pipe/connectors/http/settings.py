"""Settings: the common settings of all connectors over HTTP."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from rsq_pipe.connectors.http.addresses import wrong_address
from rsq_pipe.connectors.settings import SettingError, Settings

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SPLIT = re.compile(r"[\r\n\0]")


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name; use letters, digits and -")
        if _SPLIT.search(text):
            raise ValueError(f"the header {name!r} holds a line break; write it in one line")
    return value


Headers = Annotated[dict[str, str], AfterValidator(_headers)]


class Basic(Settings):
    """A user and a password."""

    user: str = Field(min_length=1, description="The user.")
    password: str = Field(default="", repr=False, description="The password: `${secret:NAME}`.")


class OAuth(Settings):
    """OAuth 2 client credentials: a token is requested, and a new one before it expires."""

    token_url: str = Field(description="The address that issues tokens.")
    client_id: str = Field(min_length=1, description="The client.")
    client_secret: str = Field(repr=False, description="Its secret: `${secret:NAME}`.")
    scope: str = Field(default="", description="The requested scopes, separated by blanks.")
    extra: dict[str, str] = Field(default={}, description="Further parameters to send: `{audience: orders}`.")


class Auth(Settings):
    """How requests are authorised; one of these."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in ("bearer", "basic", "oauth")]}
    )

    bearer: str | None = Field(default=None, repr=False, description="A token: `${secret:NAME}`.")
    basic: Basic | None = Field(default=None, description="A user and a password.")
    oauth: OAuth | None = Field(default=None, description="OAuth 2 client credentials.")

    @model_validator(mode="after")
    def _one(self) -> Auth:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"it has {' and '.join(given)}" if given else "it says no way"
            raise ValueError(f"{what}; keep one of `bearer`, `basic` and `oauth`")
        return self


class Service(Settings):
    """What is known of a web service."""

    url: str = Field(description="The address.")
    headers: Headers = Field(
        default={}, repr=False, description="Headers to send with each request: `{X-Tenant: shop}`."
    )
    auth: Auth | None = Field(default=None, description="How requests are authorised.")
    allow: tuple[str, ...] = Field(
        default=(),
        description="Hosts that are allowed although they stand for a link-local or metadata address.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Service:
        urls: dict[tuple[str, ...], str] = {("url",): self.url}
        if self.auth and self.auth.oauth:
            urls["auth", "oauth", "token_url"] = self.auth.oauth.token_url
        for place, url in urls.items():
            if wrong := wrong_address(url, self.allow):
                raise SettingError(wrong, *place)
        if self.auth and "authorization" in map(str.lower, self.headers):
            raise ValueError("`auth` and a header `Authorization` contradict each other; remove one")
        return self


def shown(url: str) -> str:
    """Return an address for messages; the part after `?` may be a password."""
    return url.partition("?")[0]
