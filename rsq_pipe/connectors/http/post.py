"""Post: one request with records, and the result according to its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

import aiohttp

from rsq_pipe.connectors.http.answers import GATEWAY, LOGIN, MAX_SHOWN, cut, is_transient, retry_after
from rsq_pipe.connectors.http.login import Login
from rsq_pipe.connectors.http.options import SendSettings
from rsq_pipe.connectors.http.proxies import through
from rsq_pipe.connectors.http.settings import shown
from rsq_pipe.connectors.http.unanswered import Unanswered
from rsq_pipe.connectors.http.web_client import (
    Connection,
    as_is,
    check_host,
    is_away,
    refusal,
    session,
    why,
)
from rsq_pipe.error_text import one_line
from rsq_pipe.errors import EndpointError, EndpointRefusedError, EndpointUnavailableError
from rsq_pipe.model.batch import Batch
from rsq_pipe.redaction import redact
from rsq_pipe.streams.headers import PARENT, REPLAY, STATE

MAX_KEY = 255
"""Maximum characters of a key; of a longer one, the digest is sent."""

_DISCARDED = 64 * 1024  # how many bytes of a good answer are read so that its connection can be used again
_Answer = tuple[int, bytes, float]  # status, the beginning of the body, seconds of Retry-After
_JSON, _NDJSON = "application/json", "application/x-ndjson"


class Post:
    """
    Send requests to one service.

    Args:
        options: The service, and the form of requests.
        stage: The stage, for messages.
        timeout: Maximum seconds for one request.
    """

    def __init__(self, options: SendSettings, *, stage: str, timeout: float) -> None:
        self.stage = stage
        self.waits = Unanswered(f"{options.method} {shown(options.url)}", timeout)
        """The requests that have no answer yet."""
        self._options = options
        self._timeout = timeout
        self._login = Login(stage, options.auth, options.allow)
        self._session: aiohttp.ClientSession | None = None
        self._accepted = False  # whether any request was accepted: if so, the credentials are right

    async def close(self) -> None:
        """Close the connections."""
        opened, self._session = self._session, None
        if opened is not None:
            await opened.close()

    async def send(self, batch: Batch, places: Sequence[int], rows: Sequence[bytes]) -> EndpointError | None:
        """
        Send some records of a batch in one request.

        Returns:
            None if they were accepted; otherwise the service's refusal.

        Raises:
            EndpointUnavailableError: It does not answer, or cannot now; whether it has them is unknown.
            EndpointRefusedError: It refuses every request.
        """
        headers = self._headers(batch, places)
        body = self._body(rows)
        try:
            check_host(self._options.url, self._options.allow)
            status, answer, wait = await self._asked(headers, body)
        except TimeoutError as exc:
            what = f"no answer within `timeout`, {self._timeout:g} s"
            # Searching for the slow record by sending halves would take as long each time.
            raise self._unavailable(what, certain=len(places) > 1) from exc
        except aiohttp.ClientConnectorError as exc:
            if refused := refusal(exc):
                raise self._refused(str(refused)) from exc
            raise self._unavailable(why(exc)) from exc
        except aiohttp.InvalidURL as exc:
            raise self._refused(one_line(exc)) from exc
        except (aiohttp.ClientError, OSError) as exc:
            if refused := refusal(exc):
                raise self._refused(str(refused)) from exc
            # The connection broke while the request was in flight. Either the request breaks the service, or
            # the service was stopped: if nothing listens any more, no other is sent.
            alone = len(places) == 1
            away = alone and await is_away(self._options.url)
            raise self._unavailable(why(exc), certain=False, broke=alone, away=away) from exc
        return self._judged(status, answer, wait)

    def _judged(self, status: int, answer: bytes, wait: float) -> EndpointError | None:
        if 200 <= status < 300:
            self._accepted = True
            return None
        what = f"it answers {status}" + (f": {cut(answer)}" if answer.strip() else "")
        if is_transient(status):
            raise self._unavailable(what, partly=status in GATEWAY and not wait, retry_after=wait)
        if status >= 500:
            raise self._unavailable(what, certain=False, retry_after=wait)
        if 300 <= status < 400:
            raise self._refused(f"it answers {status}, a redirect; name the new address in `url`")
        if status in LOGIN and not (status == 403 and self._accepted):
            raise self._refused(f"{what}; check the credentials")
        return EndpointError(self._message(what), stage=self.stage, status=status)

    async def _asked(self, headers: dict[str, str], body: bytes) -> _Answer:
        opened = self._opened()
        login = await self._login.headers(opened)
        found = await self._sent(opened, headers | login, body)
        if found[0] == 401 and self._login.renews(login):
            found = await self._sent(opened, headers | await self._login.headers(opened), body)
        return found

    async def _sent(self, opened: aiohttp.ClientSession, headers: dict[str, str], body: bytes) -> _Answer:
        """Send a request, and again over a new connection if a kept one is closed without an answer."""
        used = Connection()
        try:
            response = await self._begun(opened, headers, body, used)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
            # RFC 9110, 9.2.2: only if the service can recognise a repetition, which the key makes possible.
            if not used.kept or not isinstance(getattr(exc, "message", ""), str):  # else a part of an answer
                raise
            async with session(1, self._options.allow, self._timeout) as new:
                try:
                    response = await self._begun(new, headers, body)
                except aiohttp.ClientConnectorError:
                    # Nothing listens any more: this request may have broken the service.
                    raise exc from None
                return await self._read(response)
        return await self._read(response)

    async def _begun(
        self,
        opened: aiohttp.ClientSession,
        headers: dict[str, str],
        body: bytes,
        used: Connection | None = None,
    ) -> aiohttp.ClientResponse:
        # A redirect would bypass the check of addresses.
        return await opened.request(
            *(self._options.method, as_is(self._options.url)),
            data=body,
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=used,
            **through(self._options.url),
        )

    @staticmethod
    async def _read(response: aiohttp.ClientResponse) -> _Answer:
        async with response:
            limit = _DISCARDED if response.status < 300 else 4 * MAX_SHOWN
            answer = b""
            while len(answer) < limit and (more := await response.content.read(limit - len(answer))):
                answer += more
            return response.status, answer, retry_after(response.headers)

    def _headers(self, batch: Batch, places: Sequence[int]) -> dict[str, str]:
        keys = [_key(batch, place) for place in places]
        key = keys[0] if len(keys) == 1 else _digest("\n".join(keys))
        headers = {
            "Content-Type": _NDJSON if self._options.body == "ndjson" else _JSON,
            **self._options.headers,
            self._options.key_header: key,
        }
        if len(places) == 1:
            beside = batch.headers_at(places[0])
            headers |= {
                name: text for name in (PARENT, STATE) if (text := beside.get(name)) and text.isascii()
            }
        return headers

    def _body(self, rows: Sequence[bytes]) -> bytes:
        match self._options.body:
            case "record":
                return rows[0]
            case "array":
                return b"[" + b",".join(rows) + b"]"
            case "ndjson":
                return b"\n".join(rows) + b"\n"

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = session(self._options.concurrency, self._options.allow, self._timeout)
        return self._session

    def _unavailable(
        self,
        what: str,
        *,
        certain: bool = True,
        broke: bool = False,
        away: bool = False,
        partly: bool = False,
        retry_after: float = 0.0,
    ) -> EndpointUnavailableError:
        return EndpointUnavailableError(
            self._message(what),
            stage=self.stage,
            certain=certain,
            broke=broke,
            away=away,
            partly=partly,
            retry_after=retry_after,
        )

    def _refused(self, what: str) -> EndpointRefusedError:
        return EndpointRefusedError(self._message(what), stage=self.stage)

    def _message(self, what: str) -> str:
        where = f"{self._options.method} {shown(self._options.url)}"
        return redact(f"stage {self.stage!r}: {where}: {what}")


def _key(batch: Batch, place: int) -> str:
    """Return the key of a record for the service: its id, and if it was replayed also its dead letter."""
    replay = batch.headers_at(place).get(REPLAY)
    key = quote(batch.rids[place] + (f"+{replay}" if replay else ""), safe=":/+@,=*!'()")
    return key if len(key) <= MAX_KEY else _digest(key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
