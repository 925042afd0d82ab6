"""What our connectors offer beyond a Source or a Sink: a type checker says whether they have the methods."""

from __future__ import annotations

from rsq_pipe.connectors.csv.sink import CsvSink
from rsq_pipe.connectors.csv.source import CsvSource
from rsq_pipe.connectors.dlt.loading import DltSink
from rsq_pipe.connectors.dlt.reading import DltSource
from rsq_pipe.connectors.exec.reading import ExecSource
from rsq_pipe.connectors.generate.source import GenerateSource
from rsq_pipe.connectors.json.source import JsonSource
from rsq_pipe.connectors.jsonl.sink import JsonlSink
from rsq_pipe.connectors.jsonl.source import JsonlSource
from rsq_pipe.connectors.kafka.reading import KafkaSource
from rsq_pipe.connectors.kafka.writing import KafkaSink
from rsq_pipe.connectors.ledger.shared_sink import SharedLedgerSink
from rsq_pipe.connectors.ledger.sink import LedgerSink
from rsq_pipe.connectors.mqtt.reading import MqttSource
from rsq_pipe.connectors.objects.object_parts import ObjectParts
from rsq_pipe.connectors.objects.object_reader import ObjectReader
from rsq_pipe.connectors.parquet.sink import ParquetSink
from rsq_pipe.connectors.parquet.source import ParquetSource
from rsq_pipe.connectors.postgres_cdc.source import PostgresCdcSource
from rsq_pipe.connectors.python.reading import PythonSource
from rsq_pipe.connectors.redis.writing import RedisSink
from rsq_pipe.connectors.schedule.source import ScheduleSource
from rsq_pipe.connectors.sink import (
    CheckedSink,
    GatheringSink,
    LimitedSink,
    NotifiedSink,
    PreparingSink,
    RepairableSink,
    RowSink,
    SharedSink,
)
from rsq_pipe.connectors.source import (
    ClosableSource,
    EndlessSource,
    MeasuredSource,
    PreviewedSource,
    SharedSource,
)
from rsq_pipe.connectors.webhook.reading import WebhookSource

CHECKED: list[type[CheckedSink]] = [LedgerSink, KafkaSink, RedisSink, DltSink]
GATHERING: list[type[GatheringSink]] = [ObjectParts]
LIMITED: list[type[LimitedSink]] = [JsonlSink, CsvSink, ParquetSink]
NOTIFIED: list[type[NotifiedSink]] = [JsonlSink, CsvSink, ParquetSink, ObjectParts]
PREPARING: list[type[PreparingSink]] = [ObjectParts]
REPAIRABLE: list[type[RepairableSink]] = [JsonlSink, CsvSink, ParquetSink]
ROWS: list[type[RowSink]] = [CsvSink]
SHARED_SINKS: list[type[SharedSink]] = [SharedLedgerSink]

CLOSABLE: list[type[ClosableSource]] = [
    DltSource,
    ExecSource,
    GenerateSource,
    KafkaSource,
    MqttSource,
    PostgresCdcSource,
    PythonSource,
    ScheduleSource,
    WebhookSource,
]
ENDLESS: list[type[EndlessSource]] = [CsvSource, JsonSource, JsonlSource, ParquetSource, ObjectReader]
MEASURED: list[type[MeasuredSource]] = [CsvSource, JsonSource, JsonlSource, ParquetSource, GenerateSource]
PREVIEWED: list[type[PreviewedSource]] = [KafkaSource, MqttSource, ScheduleSource, PostgresCdcSource]
SHARED_SOURCES: list[type[SharedSource]] = [KafkaSource]
