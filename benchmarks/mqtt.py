"""The mqtt sink and source, compared with bare loops over paho, QoS 1, 500 messages per batch."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.measure import BenchmarkError, Figures, Job, Stopwatch
from benchmarks.single import ROWS, batches, made, read, timed, written
from rsq_pipe.model.batch import Batch
from tests.support.mosquitto import MqttBroker, binary
from tests.support.private_server import PASSWORD

TITLE = "Into and out of Mosquitto, QoS 1, by 500 messages"
SIZE = (40, 2)
BESIDE = {"sink mqtt": "bare publish", "source mqtt": "bare on_message"}
PATIENCE = 300.0


def connected(address: str, name: str = "") -> paho.Client:
    """Connect, with a session that the broker keeps if it has a name."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name)
    client.username_pw_set("rsq", PASSWORD)
    up = threading.Event()
    client.on_connect = lambda *_: up.set()
    client.on_subscribe = lambda *_: up.set()
    client.connect("127.0.0.1", int(address.rpartition(":")[2]))
    client.loop_start()
    _awaited(up)
    up.clear()
    if name:
        client.subscribe(f"{name}/#", 1)
        _awaited(up)
    return client


def left(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()


def sending(client: paho.Client, topic: str, batch: Batch) -> None:
    """Publish, and wait until the broker has everything."""
    waiting = [client.publish(topic, json.dumps(record), 1) for record in batch.records]
    for one in waiting:
        one.wait_for_publish(PATIENCE)


def kept(address: str, count: int) -> str:
    """Have the broker keep messages for a session of this name."""
    name = f"bench-{uuid.uuid4().hex}"
    left(connected(address, name))
    client = connected(address)
    for batch in batches(count):
        sending(client, f"{name}/in", batch)
    left(client)
    return name


def bare_sink(address: str, count: int) -> Figures:
    client = connected(address)
    figures = timed(list(batches(count)), partial(sending, client, "bench/out"))
    left(client)
    return figures


def sink(address: str, count: int) -> Figures:
    settings: dict[str, Any] = {"broker": address, "user": "rsq", "password": PASSWORD, "topic": "bench/out"}
    return written(made("sink", "mqtt", **settings), list(batches(count)))


def bare_source(address: str, count: int) -> Figures:
    """Decode each message; paho acknowledges it before it is decoded."""
    name, all_there, found = kept(address, count), threading.Event(), 0

    def arrived(_: Any, __: Any, message: Any) -> None:
        nonlocal found
        json.loads(message.payload)
        found += 1
        if found == count * ROWS:
            all_there.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
    client.username_pw_set("rsq", PASSWORD)
    client.on_message = arrived
    watch = Stopwatch()
    client.connect("127.0.0.1", int(address.rpartition(":")[2]))
    client.loop_start()
    _awaited(all_there)
    figures = watch.figures(found)
    left(client)
    return figures


def source(address: str, count: int) -> Figures:
    name = kept(address, count)
    settings: dict[str, Any] = {"broker": address, "user": "rsq", "password": PASSWORD, "topic": f"{name}/#"}
    return read(made("source", "mqtt", client_id=name, **settings), total=count * ROWS)


def _awaited(event: threading.Event) -> None:
    if not event.wait(PATIENCE):
        raise BenchmarkError("the broker does not answer")


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a broker; without Mosquitto there is nothing to measure."""
    if binary() is None:
        yield {}
        return
    with MqttBroker() as broker:
        yield {
            "bare publish": partial(bare_sink, broker.address, count),
            "sink mqtt": partial(sink, broker.address, count),
            "bare on_message": partial(bare_source, broker.address, count),
            "source mqtt": partial(source, broker.address, count),
        }
