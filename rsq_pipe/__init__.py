"""
rsq-pipe: declarative pipelines on Redis Streams.

Every public name is importable from here and loaded on first use, so that `rsq-pipe --help` and handler
modules pay only for what they use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsq_pipe.version import __version__

if TYPE_CHECKING:
    from rsq_pipe.errors import (
        CodecError,
        DecodeError,
        DrainTimeoutError,
        EncodeError,
        EndpointError,
        EndpointRefusedError,
        EndpointUnavailableError,
        EvaluationError,
        ExpressionError,
        GroupLostError,
        HandlerContractError,
        HandlerError,
        HandlerNotFoundError,
        HandlerTimeoutError,
        LoginError,
        MissingFieldError,
        NeverRanError,
        NewerFormError,
        PipelineBusyError,
        PipelineChangedError,
        RecordInvalidError,
        ReplayError,
        RsqPipeError,
        ServerStartError,
        ServerTimeoutError,
        ServerUnavailableError,
        SettleError,
        SinkError,
        SourceError,
        SpecError,
        SpecSyntaxError,
        SpecValidationError,
        StreamError,
        StreamFullError,
        TableError,
        TableUnavailableError,
        UnknownStageError,
    )
    from rsq_pipe.handlers.batch_handler import batch_handler
    from rsq_pipe.model.outcome import Drop, Emit, Reject, Retry
    from rsq_pipe.streams.client import StreamClient
    from rsq_pipe.streams.config import ConsumerConfig
    from rsq_pipe.streams.consumer import StreamConsumer
    from rsq_pipe.streams.group import ConsumerGroup
    from rsq_pipe.streams.message import StreamMessage
    from rsq_pipe.streams.metrics import ConsumerMetrics, ProducerMetrics
    from rsq_pipe.streams.producer import StreamProducer
    from rsq_pipe.streams.retry import DLQHandler, RetryHandler
    from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, PickleSerializer, Serializer
    from rsq_pipe.streams.settlement import Counters, Entry, Output, Part, Position, Settled, Settlement
    from rsq_pipe.streams.stats import ConsumerInfo, PendingEntry, StreamStats
    from rsq_pipe.verbs.context import BatchContext, Context, StageContext

_HOMES = {
    "rsq_pipe.errors": (
        "CodecError DecodeError DrainTimeoutError EncodeError EndpointError EndpointRefusedError "
        "EndpointUnavailableError EvaluationError ExpressionError GroupLostError HandlerContractError "
        "HandlerError HandlerNotFoundError HandlerTimeoutError LoginError MissingFieldError NeverRanError "
        "NewerFormError PipelineBusyError PipelineChangedError RecordInvalidError ReplayError RsqPipeError "
        "ServerStartError ServerTimeoutError ServerUnavailableError SettleError SinkError SourceError "
        "SpecError SpecSyntaxError SpecValidationError StreamError StreamFullError TableError "
        "TableUnavailableError UnknownStageError"
    ),
    "rsq_pipe.handlers.batch_handler": "batch_handler",
    "rsq_pipe.verbs.context": "BatchContext Context StageContext",
    "rsq_pipe.model.outcome": "Drop Emit Reject Retry",
    "rsq_pipe.streams.client": "StreamClient",
    "rsq_pipe.streams.config": "ConsumerConfig",
    "rsq_pipe.streams.consumer": "StreamConsumer",
    "rsq_pipe.streams.group": "ConsumerGroup",
    "rsq_pipe.streams.message": "StreamMessage",
    "rsq_pipe.streams.metrics": "ConsumerMetrics ProducerMetrics",
    "rsq_pipe.streams.producer": "StreamProducer",
    "rsq_pipe.streams.retry": "DLQHandler RetryHandler",
    "rsq_pipe.streams.serializers": "JsonSerializer MsgpackSerializer PickleSerializer Serializer",
    "rsq_pipe.streams.settlement": "Counters Entry Output Part Position Settled Settlement",
    "rsq_pipe.streams.stats": "ConsumerInfo PendingEntry StreamStats",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "BatchContext",
    "CodecError",
    "ConsumerConfig",
    "ConsumerGroup",
    "ConsumerInfo",
    "ConsumerMetrics",
    "Context",
    "Counters",
    "DLQHandler",
    "DecodeError",
    "DrainTimeoutError",
    "Drop",
    "Emit",
    "EncodeError",
    "EndpointError",
    "EndpointRefusedError",
    "EndpointUnavailableError",
    "Entry",
    "EvaluationError",
    "ExpressionError",
    "GroupLostError",
    "HandlerContractError",
    "HandlerError",
    "HandlerNotFoundError",
    "HandlerTimeoutError",
    "JsonSerializer",
    "LoginError",
    "MissingFieldError",
    "MsgpackSerializer",
    "NeverRanError",
    "NewerFormError",
    "Output",
    "Part",
    "PendingEntry",
    "PickleSerializer",
    "PipelineBusyError",
    "PipelineChangedError",
    "Position",
    "ProducerMetrics",
    "RecordInvalidError",
    "Reject",
    "ReplayError",
    "Retry",
    "RetryHandler",
    "RsqPipeError",
    "Serializer",
    "ServerStartError",
    "ServerTimeoutError",
    "ServerUnavailableError",
    "SettleError",
    "Settled",
    "Settlement",
    "SinkError",
    "SourceError",
    "SpecError",
    "SpecSyntaxError",
    "SpecValidationError",
    "StageContext",
    "StreamClient",
    "StreamConsumer",
    "StreamError",
    "StreamFullError",
    "StreamMessage",
    "StreamProducer",
    "StreamStats",
    "TableError",
    "TableUnavailableError",
    "UnknownStageError",
    "__version__",
    "batch_handler",
]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  importing this package must stay cheap

    value: object = getattr(import_module(module), name)
    # The next access finds it without calling this.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
