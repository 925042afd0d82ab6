"""Client: a connection to an MQTT broker, which paho maintains in its own thread."""

from __future__ import annotations

import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from rsq_pipe.connectors.endpoint import AwayError, RefusedError, UnreachableError
from rsq_pipe.connectors.mqtt.settings import Broker
from rsq_pipe.connectors.outage import SourceBackoff
from rsq_pipe.error_text import one_line

_PAUSE = 0.5
"""Seconds between two attempts to connect at the beginning."""

_LONGEST = 5
"""Maximum seconds between two attempts to connect."""

_ANY_NUMBER = 65_535  # what MQTT means where a broker names no other number

_TOO_OLD = "Unsupported protocol version"

_REFUSED = ("Not authorized", "Bad user name or password", "Client identifier not valid", "Unsupported")
"""Beginnings of a broker's answers for which no retry helps."""


class Client:
    """
    Connect, and reconnect whenever the connection is lost.

    Args:
        settings: The broker.
        root: The project root, for the file of the authority.
        name: The client's id; empty lets the broker choose one, without a session.
        connected: `connected(goes_on=...)` is called in the client's thread each time there is a connection;
            `goes_on` says whether the broker continues the session.
        more: Further arguments for paho.
    """

    def __init__(
        self,
        settings: Broker,
        root: Path,
        name: str,
        connected: Callable[..., None] = lambda **_: None,
        **more: Any,
    ) -> None:
        self._settings = settings
        self._connected = connected
        self._is_up = threading.Event()
        self._why = "it does not answer"
        self._refused = ""
        self._refused_since = 0.0
        self.is_too_old = False
        """Whether the broker does not know the version of MQTT that the client speaks."""
        self.largest = 0
        """The most bytes of a packet that the broker takes; 0 if it names no limit."""
        self.at_once = _ANY_NUMBER
        """How many messages the broker takes before it has acknowledged one of them."""
        clean = None if more.get("protocol") == paho.MQTTv5 else not name  # MQTT 5 has no such setting
        made = self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, **more
        )
        if settings.user:
            made.username_pw_set(settings.user, settings.password)
        if settings.tls:
            try:
                made.tls_set_context(
                    ssl.create_default_context(cafile=str(root / settings.ca) if settings.ca else None)
                )
            except (OSError, ssl.SSLError) as exc:
                raise RefusedError(f"the file of `ca` cannot be used: {exc}; correct its path") from exc
        made.reconnect_delay_set(1, _LONGEST)
        made.connect_timeout = settings.timeout
        made.on_connect = self._on_connect
        made.on_connect_fail = self._on_connect_fail
        made.on_disconnect = self._on_disconnect

    def start(self, *, patient: bool = True) -> None:
        """
        Connect.

        Args:
            patient: Try again, as long as the broker may take, if it cannot be reached.

        Raises:
            RefusedError, AwayError: It cannot connect within the time.
        """
        host, _, port = self._settings.broker.rpartition(":")
        deadline, backoff = time.monotonic() + self._settings.timeout, broker_backoff(self._settings.broker)
        while True:
            try:
                self.paho.connect(host.strip("[]"), int(port))
                break
            except ssl.SSLError as exc:
                raise RefusedError(
                    f"a TLS connection to it fails: {exc}; correct `tls`, `ca` or the port"
                ) from exc
            except OSError as exc:
                why = exc.strerror or one_line(exc)
                if not patient or time.monotonic() > deadline:
                    raise AwayError(why) from exc
                time.sleep(backoff.fails(why))
        self.paho.loop_start()
        self.wait(deadline)

    def wait(self, deadline: float) -> None:
        """
        Wait for a connection.

        Raises:
            RefusedError, AwayError: There is none.
        """
        while not self._is_up.wait(0.05):
            if self._refused:
                raise RefusedError(self._refused)
            if time.monotonic() > deadline:
                raise AwayError(self._why)

    def check_refused(self) -> None:
        """
        Give up a broker that accepts connections and has refused this client for as long as allowed.

        A broker that is starting may not know its users yet, so the client retries until then.

        Raises:
            RefusedError: The broker has refused for too long.
        """
        if self._refused and time.monotonic() - self._refused_since > self._settings.timeout:
            raise RefusedError(self._refused)

    @property
    def why_away(self) -> str:
        """Why there is no connection at the moment (it is being retried); empty while there is one."""
        return "" if self._is_up.is_set() else self._why

    def stop(self) -> None:
        """Disconnect."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def _on_connect(self, _: Any, __: Any, flags: Any, reason: Any, limits: Any) -> None:
        if reason.is_failure:
            self._why = str(reason)
            self.is_too_old = self._why == _TOO_OLD
            if self._why.startswith(_REFUSED):
                self._refused_since = self._refused_since if self._refused else time.monotonic()
                self._refused = (
                    f"it refuses the client: {self._why}; correct `user`, `password` or `client_id`"
                )
            return
        self._refused = ""
        self.largest = getattr(limits, "MaximumPacketSize", 0)
        self.at_once = getattr(limits, "ReceiveMaximum", _ANY_NUMBER)
        self._connected(goes_on=bool(flags.session_present))
        self._is_up.set()

    def _on_connect_fail(self, _: Any, __: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it has caught the error
        if isinstance(error, OSError):
            self._why = error.strerror or one_line(error)

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if self._is_up.is_set():
            self._why = "the connection is lost"
        self._is_up.clear()
        if reason.is_failure and str(reason) != "Unspecified error":
            self._why = str(reason)


def broker_backoff(broker: str, **more: str) -> SourceBackoff:
    """Make the backoff that reports and logs that a broker is away; `more` goes into the log lines."""
    return SourceBackoff(
        _PAUSE,
        _PAUSE,
        where=f"mqtt broker {broker}",
        log=structlog.get_logger("rsq_pipe").bind(broker=broker, **more),
        away="the broker does not answer; trying again",
        back="the broker answers again",
    )


def reach_broker(settings: Broker, root: Path, seconds: float) -> None:
    """
    Connect without a name, so that no session is taken over.

    Raises:
        RefusedError, UnreachableError: The connection fails.
    """
    client = Client(settings.model_copy(update={"timeout": seconds}), root, "")
    try:
        client.start(patient=False)
    except AwayError as exc:
        raise UnreachableError(f"{exc}; check `broker` and `tls`, and that it runs") from exc
    finally:
        client.stop()
