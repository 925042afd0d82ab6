"""validate: passes on valid records; the others fail, with all their errors listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import isclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from rsq_pipe.errors import HandlerContractError, HandlerNotFoundError, RecordInvalidError
from rsq_pipe.handlers.mistakes import got, invalid, place
from rsq_pipe.handlers.model import InvalidError, maker
from rsq_pipe.handlers.named import named
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.record_check import Extra, FieldsCheck, ModelCheck, SchemaCheck
from rsq_pipe.spec.stages.record_schema import THE_VALUE, compiled
from rsq_pipe.verbs.executor import ThreadExecutor
from rsq_pipe.verbs.normalise import Normaliser
from rsq_pipe.verbs.passing import remade
from rsq_pipe.verbs.verb import PlainVerb, Verb

_MISSING = object()
_WORDS = 200  # characters of a message of the schema library: an `enum` may hold thousands of values
_UNKNOWN = "is not among the fields"
_LOOKED_THROUGH = 5_000
"""Maximum values in a record for which all errors are listed: the library finds them all at once."""

Mistakes = list[tuple[str, str]]


def checking(stage: Stage, root: Path) -> Verb:
    """
    Build the verb of a `validate` stage.

    Raises:
        HandlerNotFoundError, HandlerContractError: Its model cannot be used.
    """
    check = stage.options
    if isinstance(check, FieldsCheck):
        return ByFields(stage.name, check)
    if isinstance(check, SchemaCheck):
        return BySchema(stage.name, check)
    assert isinstance(check, ModelCheck)
    return ByModel(stage, check, root)


_Check: TypeAlias = Callable[[dict[str, Any], Mistakes], dict[str, Any]]


class _Pure(PlainVerb):
    """
    Check record by record on the event loop; a record's errors are reported for that record only.

    Args:
        stage, what: For messages.
        check: Returns the record to pass on, itself or a copy, and its errors.
    """

    pure: ClassVar[bool] = True

    def __init__(self, stage: str, what: str, check: _Check) -> None:
        self._stage = stage
        self._what = what
        self._check = check

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch."""
        check = self._check
        valid: list[Any] = []
        failed: dict[int, Failure | Retry | Reject] = {}
        for at, record in enumerate(batch.records):
            mistakes: Mistakes = []
            checked = check(record, mistakes)
            if mistakes:
                failed[at] = Failure(invalid(self._stage, self._what, mistakes), retryable=False)
            else:
                valid.append(checked)
        return remade(batch, valid, failed)


class ByFields(_Pure):
    """
    Check records by rules for their fields.

    Args:
        stage: For messages.
        check: The rules.
    """

    def __init__(self, stage: str, check: FieldsCheck) -> None:
        super().__init__(stage, "valid", self._checked)
        self._rules = tuple((name, rule, rule.kind.plain) for name, rule in check.rules.items())
        self._known = frozenset(check.rules)
        self._extra: Extra = check.extra
        self.changed = frozenset(name for name, rule in check.rules.items() if rule.kind.changes)

    def _checked(self, record: dict[str, Any], mistakes: Mistakes) -> dict[str, Any]:
        checked = record if self._extra == "keep" else _closed(record, self._known, self._extra, mistakes)
        for name, rule, plain in self._rules:
            value = checked.get(name, _MISSING)
            if type(value) is plain:
                read = value
            elif value is _MISSING or value is None:
                if not rule.optional and (value is _MISSING or rule.kind.name != "any"):
                    mistakes.append((name, "is missing" if value is _MISSING else "must not be null"))
                continue
            else:
                try:
                    read = rule.kind.read(value)
                except ValueError:
                    mistakes.append((name, f"must be {rule.kind.wanted} {got(value)}"))
                    continue
                if read is not value:
                    if checked is record:
                        checked = record.copy()
                    checked[name] = read
            if rule.tests and (broken := rule.broken(read)):
                mistakes.append((name, f"{broken} {got(value)}"))
        return checked


class BySchema(_Pure):
    """
    Check records by a JSON Schema; nothing in them is changed, except that unknown fields may be removed.

    Args:
        stage: For messages.
        check: The schema.
    """

    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, stage: str, check: SchemaCheck) -> None:
        super().__init__(stage, f"valid by {check.path}", self._checked)
        self._validator = compiled(check.schema)
        self._is_valid = self._validator.is_valid
        self._extra: Extra = check.extra
        self._known = frozenset(check.schema["properties"]) if check.extra != "keep" else frozenset()

    def _checked(self, record: dict[str, Any], mistakes: Mistakes) -> dict[str, Any]:
        checked = record if self._extra == "keep" else _closed(record, self._known, self._extra, mistakes)
        try:
            if not self._is_valid(checked):
                known = set(mistakes)
                mistakes += [one for one in self._mistakes(checked) if one not in known]
        except Exception as exc:  # noqa: BLE001 - JSON has no form for the value; the library says so in many ways
            mistakes.append(("the record", f"cannot be checked: {exc}"))
        return checked

    def _mistakes(self, record: dict[str, Any]) -> Iterable[tuple[str, str]]:
        large = _is_large(record)
        for error in self._first(record) if large else self._validator.iter_errors(record):
            kind: Any = error.kind
            inside = error.instance_path
            match kind.name:
                case "required":
                    yield place([*inside, kind.property]), "is missing"
                case "additionalProperties" | "unevaluatedProperties":
                    yield from ((place([*inside, name]), _UNKNOWN) for name in kind.unexpected)
                case _:
                    words = error.message.removeprefix(f"{THE_VALUE} ")
                    words = words if len(words) <= _WORDS else f"{words[:_WORDS]}..."
                    yield place(inside), f"{words} {got(error.instance)}"
        if large:
            yield (
                "the record",
                f"has more than {_LOOKED_THROUGH:,} values: only the first mistake is reported",
            )

    def _first(self, record: dict[str, Any]) -> Iterable[Any]:
        try:
            self._validator.validate(record)
        except ValueError as exc:
            yield exc


class ByModel:
    """
    Check records by a user's class, whose validators may run any code: in a thread, like handlers.

    Args:
        stage: The stage.
        check: The class.
        root: The project root.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str] | None] = None

    def __init__(self, stage: Stage, check: ModelCheck, root: Path) -> None:
        try:
            model = named(check.model.module, check.model.function, check.model.root or root, isclass)
            self._maker = maker(model, check.model.text)
        except HandlerNotFoundError as exc:
            raise exc.in_stage(stage.name, "use its model") from exc
        except HandlerContractError as exc:
            raise HandlerContractError(f"stage {stage.name!r}: {exc}", stage=stage.name) from exc
        self._stage = stage.name
        self._name = check.model.function
        self._extra: Extra = check.extra
        self._normaliser = Normaliser(stage)
        self._executor = ThreadExecutor(stage.name, stage.timeout)

    async def open(self) -> None:
        """Do nothing: a thread is started with the first batch."""

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch in a thread."""
        return self._normaliser.outcomes(batch, await self._executor.each(self._checked, batch.records))

    async def close(self) -> None:
        """Abandon what is still running."""
        await self._executor.close()

    def _checked(self, record: dict[str, Any]) -> dict[str, Any]:
        mistakes: Mistakes = []
        extra, fields = self._extra, self._maker.fields
        given = record if extra == "keep" else _closed(record, fields, extra, mistakes)
        found: Any = None
        try:
            found = self._maker.make(given)
        except InvalidError as exc:
            known = {field for field, _ in mistakes}
            mistakes += [one for one in exc.mistakes if one[0] not in known]
        if mistakes:
            raise self._invalid(mistakes) from None
        if type(found) is not dict:
            what = f"model {self._name!r} is written as {type(found).__name__}, not as a mapping"
            raise HandlerContractError(f"stage {self._stage!r}: {what}", stage=self._stage)
        return {**record, **found} if extra == "keep" else found

    def _invalid(self, mistakes: Mistakes) -> RecordInvalidError:
        return invalid(self._stage, f"a valid {self._name}", mistakes)


def _closed(
    record: dict[str, Any], known: frozenset[str], extra: Extra, mistakes: Mistakes
) -> dict[str, Any]:
    """Remove unknown fields, or report them."""
    if record.keys() <= known:
        return record
    if extra == "reject":
        mistakes += [(str(name), _UNKNOWN) for name in record if name not in known]
        return record
    return {name: value for name, value in record.items() if name in known}


def _is_large(record: dict[str, Any]) -> bool:
    waiting: list[Any] = [record]
    left = _LOOKED_THROUGH
    while waiting:
        one = waiting.pop()
        inside = one.values() if isinstance(one, dict) else one
        left -= len(inside)
        if left < 0:
            return True
        waiting += [value for value in inside if isinstance(value, dict | list)]
    return False
