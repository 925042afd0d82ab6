"""Settings: the settings of object stores and their credentials."""

from __future__ import annotations

import re
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from rsq_pipe.connectors.settings import Settings
from rsq_pipe.hosts import LAST_PORT
from rsq_pipe.units import Duration

SCHEMES = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}
_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<bucket>[^/{}*?\[\]@:]+)/(?P<path>.+)")

OF_S3 = ("access_key", "secret_key", "session_token")
OF_GOOGLE = ("service_account",)
OF_AZURE = ("account", "account_key", "sas_token")
_OF = {"s3": OF_S3, "gs": OF_GOOGLE, "az": OF_AZURE}


class Credentials(Settings):
    """Who is asking; if left out, whatever the environment has for the vendor's own tools."""

    access_key: str | None = Field(default=None, description="S3: the access key's id.")
    secret_key: str | None = Field(
        default=None, repr=False, description="S3: the secret access key: `${secret:NAME}`."
    )
    session_token: str | None = Field(
        default=None, repr=False, description="S3: the token of a temporary key: `${secret:NAME}`."
    )
    service_account: str | None = Field(
        default=None,
        repr=False,
        description="Google: the JSON of a service account's key, `${secret:NAME}`, or the path of its file.",
    )
    account: str | None = Field(default=None, description="Azure: the storage account.")
    account_key: str | None = Field(default=None, repr=False, description="Azure: its key: `${secret:NAME}`.")
    sas_token: str | None = Field(
        default=None, repr=False, description="Azure: a shared access signature: `${secret:NAME}`."
    )
    anonymous: bool = Field(
        default=False, description="Whether to send requests without credentials, for a public bucket."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in (*OF_S3, *OF_GOOGLE, *OF_AZURE) if getattr(self, name) is not None]
        if self.anonymous and set(given) - {"account"}:
            raise ValueError(f"`anonymous` leaves no use for `{given[0]}`; leave one of them out")
        for first, second in (("access_key", "secret_key"), ("secret_key", "access_key")):
            if first in given and second not in self.model_fields_set:
                raise ValueError(f"`{first}` also needs `{second}`")
        return self


class StoreOptions(Settings):
    """Settings that sources and sinks of objects share."""

    url: str = Field(description="Where the objects are.")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/@]+(/.*)?$",
        description="The server, if it is not the vendor's own: `http://minio:9000`.",
    )
    region: str | None = Field(
        default=None, description="S3: the bucket's region. Default: AWS_REGION, or us-east-1."
    )
    credentials: Credentials = Field(
        default=Credentials(),
        description="Who is asking. Default: what the environment has, such as `AWS_ACCESS_KEY_ID`, or the "
        "machine's role.",
    )
    timeout: Duration = Field(
        default="30s", validate_default=True, gt=0, description="Time for one request, including its body."
    )

    @field_validator("endpoint")
    @classmethod
    def _check_port(cls, endpoint: str | None) -> str | None:
        try:
            urlsplit(endpoint or "").port  # noqa: B018  it is parsed when it is accessed
        except ValueError:
            raise ValueError(f"{endpoint!r} has no port up to {LAST_PORT}; write http://minio:9000") from None
        return endpoint

    @model_validator(mode="after")
    def _check_store(self) -> Self:
        scheme = Address.of(self.url).scheme
        for other, names in _OF.items():
            wrong = next((name for name in names if getattr(self.credentials, name) is not None), None)
            if other != scheme and wrong:
                raise ValueError(
                    f"`credentials: {{{wrong}: ...}}` is for {SCHEMES[other]} ({other}://), and `url` begins "
                    f"with {scheme}://"
                )
        if self.region is not None and scheme != "s3":
            raise ValueError("`region` is for S3; leave it out")
        return self


class Address:
    """
    Hold the parts of a URL.

    Args:
        scheme: `s3`, `gs` or `az`.
        bucket: The bucket, which Azure calls a container.
        path: The rest: a template or a pattern.
    """

    def __init__(self, scheme: str, bucket: str, path: str) -> None:
        self.scheme, self.bucket, self.path = scheme, bucket, path

    @classmethod
    def of(cls, url: str) -> Address:
        """
        Split a URL.

        Raises:
            ValueError: It is not the URL of an object store.
        """
        found = _URL.fullmatch(url)
        if found is None or found["scheme"] not in SCHEMES:
            raise ValueError(
                f"{url!r} names no objects; write s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH"
            )
        path = found["path"]
        if any(part in {"", ".", ".."} for part in path.split("/")) or "\0" in path:
            raise ValueError(f"{url!r} has an empty part, '.' or '..' in its path; leave that out")
        return cls(found["scheme"], found["bucket"], path)

    def name(self, path: str) -> str:
        """Return the URL of an object."""
        return f"{self.scheme}://{self.bucket}/{path}"


def client_settings(options: StoreOptions) -> dict[str, Any]:
    """Return the settings under the names used by the client library."""
    login, scheme = options.credentials, Address.of(options.url).scheme
    account = login.service_account
    inline = account is not None and account.lstrip().startswith("{")
    given: dict[str, Any] = {
        "s3": {
            "access_key_id": login.access_key,
            "secret_access_key": login.secret_key,
            "session_token": login.session_token,
            "region": options.region,
            "endpoint": options.endpoint,
            "skip_signature": login.anonymous or None,
        },
        "gs": {
            "service_account_key": account if inline else None,
            "service_account": None if inline else account,
            "base_url": options.endpoint,
            "skip_signature": login.anonymous or None,
        },
        "az": {
            "account_name": login.account,
            "account_key": login.account_key,
            "sas_token": login.sas_token,
            "endpoint": options.endpoint,
            "skip_signature": login.anonymous or None,
        },
    }[scheme]
    return {name: value for name, value in given.items() if value is not None}
