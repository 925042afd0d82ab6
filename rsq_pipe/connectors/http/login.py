"""Login: the header that authorises requests, and a new token before the current one expires."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from urllib.parse import quote_plus

import aiohttp
import msgspec

from rsq_pipe import redaction
from rsq_pipe.connectors.http.answers import cut, is_transient, retry_after
from rsq_pipe.connectors.http.proxies import through
from rsq_pipe.connectors.http.settings import Auth, OAuth, shown
from rsq_pipe.connectors.http.web_client import check_host, refusal, why
from rsq_pipe.errors import EndpointRefusedError, EndpointUnavailableError

MARGIN = 30.0
"""Seconds before its expiry at which a token is no longer used; a tenth of its life if that is less."""

_TTL = 300.0  # of a token that does not say how long it lives
_MAX_ANSWER = 64 * 1024


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


class Login:
    """
    Authorise requests.

    Args:
        stage: The stage, for messages.
        auth: The method; None for none.
        allow: As for the service.
    """

    def __init__(self, stage: str, auth: Auth | None, allow: tuple[str, ...] = ()) -> None:
        self._stage = stage
        self._oauth: OAuth | None = auth.oauth if auth else None
        self._allow = allow
        self._fixed: dict[str, str] = {}
        if auth and auth.bearer is not None:
            self._fixed = {"Authorization": f"Bearer {auth.bearer}"}
        elif auth and auth.basic:
            self._fixed = {"Authorization": f"Basic {_basic(auth.basic.user, auth.basic.password)}"}
        self._token = ""
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def headers(self, session: aiohttp.ClientSession) -> dict[str, str]:
        """
        Return the header of a request; a token is requested if there is none, or it expires soon.

        Raises:
            EndpointRefusedError: No token is given: the credentials are wrong.
            EndpointUnavailableError: The token server does not answer.
        """
        if self._oauth is None:
            return self._fixed
        async with self._asking:
            if not self._token or time.monotonic() >= self._until:
                await self._ask(session, self._oauth)
            return {"Authorization": f"Bearer {self._token}"}

    def renews(self, headers: dict[str, str]) -> bool:
        """Return whether a request answered with 401 is worth repeating with a new token."""
        if self._oauth is None:
            return False
        if headers.get("Authorization") == f"Bearer {self._token}":
            self._token = ""
        return True

    async def _ask(self, session: aiohttp.ClientSession, oauth: OAuth) -> None:
        where = shown(oauth.token_url)
        form = {"grant_type": "client_credentials", **({"scope": oauth.scope} if oauth.scope else {})}
        login = _basic(quote_plus(oauth.client_id), quote_plus(oauth.client_secret))  # RFC 6749, 2.3.1
        asked = time.monotonic()
        try:
            check_host(oauth.token_url, self._allow)
            async with session.post(
                oauth.token_url,
                data=form | oauth.extra,
                headers={"Authorization": f"Basic {login}", "Accept": "application/json"},
                allow_redirects=False,
                **through(oauth.token_url),
            ) as response:
                body = await response.content.read(_MAX_ANSWER)
                status, wait = response.status, retry_after(response.headers)
        except (aiohttp.ClientError, OSError) as exc:
            if refused := refusal(exc):
                raise EndpointRefusedError(self._message(where, str(refused)), stage=self._stage) from exc
            raise EndpointUnavailableError(self._message(where, why(exc)), stage=self._stage) from exc
        if is_transient(status) or status >= 500:
            raise EndpointUnavailableError(
                self._message(where, f"it answers {status}"), stage=self._stage, retry_after=wait
            )
        if status != 200:
            what = f"it answers {status}; check `auth`: {cut(body)}"
            raise EndpointRefusedError(self._message(where, what), stage=self._stage)
        try:
            token = msgspec.json.decode(body, type=_Token)
        except msgspec.DecodeError as exc:
            what = "its answer holds no `access_token`"
            raise EndpointRefusedError(self._message(where, what), stage=self._stage) from exc
        redaction.add([token.access_token])
        life = _TTL if token.expires_in is None else token.expires_in
        self._token, self._until = token.access_token, asked + life - min(MARGIN, life / 10)

    def _message(self, where: str, what: str) -> str:
        return redaction.redact(f"stage {self._stage!r}: no token from {where}: {what}")


def _basic(user: str, password: str) -> str:
    text = b64encode(f"{user}:{password}".encode()).decode()
    redaction.add([text])
    return text
