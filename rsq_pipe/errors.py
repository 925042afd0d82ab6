"""Every error rsq-pipe raises, in one hierarchy.

    RsqPipeError                      every class keeps its facts as attributes
    ├── SpecError                     exit 2, never a traceback
    │   ├── SpecSyntaxError           the file is not YAML
    │   ├── SpecValidationError       .problems: all mistakes of the file(s) at once
    │   ├── ExpressionError           .column: text that is not an allowed expression
    │   ├── PipelineChangedError      .stages: the file lacks stages that still hold something
    │   └── HandlerNotFoundError      .fix: a handler that cannot be imported, or not be called as one
    ├── CodecError
    │   ├── EncodeError               a value the serializer cannot write
    │   └── DecodeError               bytes that are not a record: a dead letter, never the end of a loop
    ├── StreamError
    │   ├── ServerUnavailableError *  the server cannot be reached, or went away
    │   ├── ServerTimeoutError *      the server did not answer in time
    │   ├── GroupLostError            a consumer group that must exist does not
    │   ├── NewerFormError            .form: what a newer release stored, which this one would misread
    │   ├── StreamFullError           a bounded stream is full of entries that a group still needs
    │   └── SettleError               a settlement or command the server refused
    │       └── LoginError            the server refused user or password
    ├── HandlerError                  user code raised
    │   ├── HandlerTimeoutError       a call ran past its `timeout`
    │   ├── HandlerContractError      wrong number or type of outcomes
    │   └── RecordInvalidError        .fields: the record is not what an annotation or `validate` asks for
    ├── EvaluationError               an expression that failed for a record
    │   └── MissingFieldError         .field: it asks for a field the record does not have
    ├── TableError                    a lookup's table that cannot be used: its file is broken, say
    ├── TableUnavailableError *       a lookup's server does not answer
    ├── EndpointError                 .status: a web service refuses a record a sink sent
    ├── EndpointRefusedError          a web service that refuses whatever is sent: wrong credentials, say
    ├── EndpointUnavailableError *    .retry_after: a web service that does not answer, or cannot now
    ├── SourceError                   a source that cannot go on: its file changed under it, say
    ├── SinkError                     a sink that cannot go on: its disk is full, say
    ├── ServerStartError              the embedded server cannot be started
    ├── PipelineBusyError             something that needs the pipeline to stand still, while it runs
    ├── ReplayError                   a dead letter that cannot be sent back
    │   ├── UnknownStageError         .stage: a stage the pipeline does not have
    │   └── NeverRanError             it never ran on that server
    └── DrainTimeoutError             handlers still running when the drain deadline passed

Errors marked * are `retryable`: the same call may succeed later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from rsq_pipe.spec.problem import Problem

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """
    Remove the traceback from an error that is kept as a value, and from its causes.

    A traceback's frames hold all their variables, and their callers'. If one of these holds the error, that
    is a reference cycle, and the batch stays in memory until the next garbage collection.
    """
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            todo += [one.__cause__, one.__context__]
    return error


class RsqPipeError(Exception):
    """Base of every error raised by rsq-pipe; `place` is the one in the pipeline file, if it is known."""

    retryable: ClassVar[bool] = False
    place: str = ""


class SpecError(RsqPipeError):
    """A pipeline file that cannot be run as it is written."""


class SpecSyntaxError(SpecError):
    """A pipeline file that is not YAML."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class SpecValidationError(SpecError):
    """Every mistake found in one or more pipeline files, in order of place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class ExpressionError(SpecError):
    """Text that is not an expression, or does something forbidden in one; `column` counts from 1."""

    def __init__(self, message: str, *, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


class HandlerNotFoundError(SpecError):
    """A handler that cannot be imported, or cannot be called as a handler is; `fix` says what to do."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}; {fix}" if fix else what)
        self.what = what
        self.fix = fix

    def in_stage(self, stage: str, cannot: str) -> HandlerNotFoundError:
        """Add the stage, and what it cannot do: `call its handler`."""
        return HandlerNotFoundError(f"stage {stage!r} cannot {cannot}: {self.what}", self.fix)


class PipelineChangedError(SpecError):
    """
    A pipeline file that lacks stages in which an earlier run left something; `stages` names them.

    Args:
        message: What is wrong and what can be done, given the options that the commands in it need.
    """

    def __init__(
        self, message: Callable[[str], str], *, stages: Sequence[str] = (), options: str = ""
    ) -> None:
        super().__init__(message(options))
        self.message = message
        self.stages = tuple(stages)

    def with_options(self, options: str) -> PipelineChangedError:
        """Repeat the user's options in the message's commands: ` --redis URL`, say."""
        return PipelineChangedError(self.message, stages=self.stages, options=options)


class CodecError(RsqPipeError):
    """A record that cannot be turned into bytes, or bytes into a record."""


class EncodeError(CodecError):
    """A value the serializer cannot write."""

    def __init__(self, message: str, value: object = None) -> None:
        super().__init__(message)
        self.value = value


class DecodeError(CodecError):
    """Bytes that are not a record."""

    def __init__(self, message: str, raw: bytes = b"", *, stream: str = "", entry_id: str = "") -> None:
        super().__init__(message)
        self.raw = raw
        self.stream = stream
        self.entry_id = entry_id


class StreamError(RsqPipeError):
    """The server refused something, or could not be asked."""


class ServerUnavailableError(StreamError):
    """The server cannot be reached; whether the last command was applied is unknown."""

    retryable = True

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class ServerTimeoutError(ServerUnavailableError):
    """The server did not answer in time; whether the command was applied is unknown."""


class GroupLostError(StreamError):
    """A consumer group, or its stream, that must exist does not."""

    def __init__(self, message: str, *, stream: str = "", group: str = "") -> None:
        super().__init__(message)
        self.stream = stream
        self.group = group


class NewerFormError(StreamError):
    """What a newer release stored, in a `form` that this one would misread."""

    def __init__(self, message: str, *, form: int = 0) -> None:
        super().__init__(message)
        self.form = form


class StreamFullError(StreamError):
    """A bounded stream that is full of entries some group has not acknowledged."""

    def __init__(self, message: str, *, stream: str = "", bound: int = 0) -> None:
        super().__init__(message)
        self.stream = stream
        self.bound = bound


class SettleError(StreamError):
    """A command the server refused for good: wrong type of key, no permission, bad script."""

    def __init__(self, message: str, *, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply


class LoginError(SettleError):
    """A login the server refused: wrong user or password, or none although one is required."""


class HandlerError(RsqPipeError):
    """User code that raised; the cause is the exception it raised."""

    def __init__(self, message: str, *, stage: str = "") -> None:
        super().__init__(message)
        self.stage = stage


class HandlerTimeoutError(HandlerError):
    """A handler call that ran past the stage's `timeout`."""

    def __init__(self, message: str, *, stage: str = "", timeout: float = 0.0) -> None:
        super().__init__(message, stage=stage)
        self.timeout = timeout


class HandlerContractError(HandlerError):
    """A handler that returned something that is not an outcome, or too many or too few of them."""


class RecordInvalidError(HandlerError):
    """A record that is not what an annotation or `validate` asks for; `fields` names what is wrong."""

    def __init__(self, message: str, *, stage: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message, stage=stage)
        self.fields = dict(fields or {})


class EvaluationError(RsqPipeError):
    """An expression that failed for a record; the cause is what it raised."""

    def __init__(self, message: str, *, stage: str = "") -> None:
        super().__init__(message)
        self.stage = stage


class MissingFieldError(EvaluationError):
    """An expression that asks for a field the record does not have."""

    def __init__(self, message: str, *, stage: str = "", field: str = "") -> None:
        super().__init__(message, stage=stage)
        self.field = field


class TableError(HandlerError):
    """A lookup's table that cannot be used, whatever the record: its file is broken, say."""


class TableUnavailableError(RsqPipeError):
    """
    A lookup's server that does not answer, or cannot now.

    Args:
        certain: Whether it is known that no record is to blame.
        retry_after: Seconds for which the server asks to be left alone.
    """

    retryable = True

    def __init__(
        self, message: str, *, stage: str = "", certain: bool = True, retry_after: float = 0.0
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.certain = certain
        self.retry_after = retry_after


class EndpointError(RsqPipeError):
    """A record that a web service refuses; sent again it would be refused again."""

    def __init__(self, message: str, *, stage: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.stage = stage
        self.status = status


class EndpointRefusedError(HandlerError):
    """A web service that refuses whatever is sent: the credentials are wrong, say."""


class EndpointUnavailableError(RsqPipeError):
    """
    A web service that does not answer, or cannot now.

    Args:
        certain: Whether it is known that no record is to blame.
        broke: Whether the connection broke during the request, maybe because of the record.
        away: Whether the service was found to be unreachable just after: nothing else need be sent.
        partly: Whether others may be served, as by other servers behind the same address.
        retry_after: Seconds for which the service asks to be left alone.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        stage: str = "",
        certain: bool = True,
        broke: bool = False,
        away: bool = False,
        partly: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.certain = certain
        self.broke = broke
        self.away = away
        self.partly = partly
        self.retry_after = retry_after


class SourceError(RsqPipeError):
    """A source that cannot go on without risking a loss or a second reading."""

    def __init__(self, message: str, *, stage: str = "") -> None:
        super().__init__(message)
        self.stage = stage


class SinkError(RsqPipeError):
    """A sink that cannot go on without risking a loss or a duplicate; `repairable` if `repair` may help."""

    def __init__(self, message: str, *, stage: str = "", repairable: bool = False) -> None:
        super().__init__(message)
        self.stage = stage
        self.repairable = repairable


class ServerStartError(RsqPipeError):
    """The embedded server cannot be started."""


class PipelineBusyError(RsqPipeError):
    """Something that needs the pipeline stopped, while others run it; `runs` names them."""

    def __init__(self, message: str, *, runs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.runs = tuple(runs)


class ReplayError(RsqPipeError):
    """A dead letter that cannot be sent back to its stage."""

    def __init__(self, message: str, *, dead_letter: str = "") -> None:
        super().__init__(message)
        self.dead_letter = dead_letter


class UnknownStageError(ReplayError):
    """A named stage that the pipeline neither has nor ever had."""

    def __init__(self, message: str, *, stage: str = "") -> None:
        super().__init__(message)
        self.stage = stage


class NeverRanError(ReplayError):
    """A pipeline that never ran on the given server; all commands that look at one use this message."""

    def __init__(self, pipeline: str, server: str = "") -> None:
        where = f" on {server}" if server else ": its embedded server was never started"
        emptied = "; if it did here, it was deleted, or the server has lost its data" if server else ""
        super().__init__(
            f"{pipeline}: never ran{where}; if it did on another, name that: --redis URL{emptied}"
        )


class DrainTimeoutError(RsqPipeError):
    """Handlers that were still running when the drain deadline passed."""

    def __init__(self, message: str, *, in_flight: int = 0) -> None:
        super().__init__(message)
        self.in_flight = in_flight
