"""Wiring: which stage reads which stream, and the order of the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from rsq_pipe.connectors.stream.form import StreamForm
from rsq_pipe.connectors.stream.source import Options as StreamOptions
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.fields import name_like
from rsq_pipe.spec.graph import ConnectorRef, StreamRef
from rsq_pipe.spec.stages.join import SIDES
from rsq_pipe.spec.validation import describe, validate
from rsq_pipe.spec.verbs import ERRORS, OPTIONAL, ParsedStage
from rsq_pipe.suggestion import one_of, suggest


class Wiring(Struct):
    """
    Hold how the stages are connected.

    Args:
        inputs: Stage -> the streams it reads.
        outputs: Stage -> port -> stream.
        order: The stages' names; each comes after all stages that it reads.
    """

    inputs: dict[str, tuple[StreamRef, ...]] = field(default_factory=dict)
    outputs: dict[str, dict[str, StreamRef]] = field(default_factory=dict)
    order: tuple[str, ...] = ()


def wire(document: Document, pipeline: str, parsed: Mapping[str, ParsedStage]) -> Wiring:
    """Connect the stages, reporting inputs and outputs that cannot be connected."""
    joiner = _Joiner(document, pipeline, parsed)
    wiring = Wiring()
    above: ParsedStage | None = None
    for name, parsed_stage in parsed.items():
        wiring.outputs[name] = joiner.outputs(parsed_stage)
        wiring.inputs[name] = joiner.inputs(parsed_stage, above)
        above = parsed_stage
    _leave_out_unread(parsed, wiring)
    wiring.order = _order(document, parsed, wiring)
    return wiring


def _leave_out_unread(parsed: Mapping[str, ParsedStage], wiring: Wiring) -> None:
    """Leave out the ports that exist only if a stage reads them."""
    read = {ref for refs in wiring.inputs.values() for ref in refs}
    for name, parsed_stage in parsed.items():
        for port in OPTIONAL.get(parsed_stage.verb, ()) if parsed_stage.verb else ():
            if wiring.outputs[name].get(port) not in read:
                wiring.outputs[name].pop(port, None)


def report_unread(document: Document, parsed: Mapping[str, ParsedStage], wiring: Wiring) -> None:
    """Warn of outputs and ports that no stage reads."""
    read = {ref for refs in wiring.inputs.values() for ref in refs}
    for name, outputs in wiring.outputs.items():
        for port, ref in outputs.items():
            if ref.external or ref in read:
                continue
            fix = f"add a stage with `from: {ref.name}`"
            if port:
                what = f"nobody reads port {name}.{port}: its records would stay there"
            else:
                what = f"nobody reads the output of stage {name!r}"
                fix += ", or publish it: `to: {stream: NAME}`"
                fix += ", or say `to: none`" if parsed[name].verb == "call" else ""
            document.report(parsed[name].path, what, fix, key=True, severity="warning")


class _Joiner:
    def __init__(self, document: Document, pipeline: str, parsed: Mapping[str, ParsedStage]) -> None:
        self._document = document
        self._own_keys = f"{{{pipeline}}}:"
        self._parsed = parsed

    def outputs(self, parsed_stage: ParsedStage) -> dict[str, StreamRef]:
        stream = _stream_connector(parsed_stage)
        if parsed_stage.verb == "sink" and stream is not None:
            return {"": self._external(stream, (*parsed_stage.path, "sink", "stream"))}
        refs = {
            port: StreamRef(f"{parsed_stage.name}.{port}" if port else parsed_stage.name)
            for port in parsed_stage.ports
        }
        published = self._raw(parsed_stage).get("to")
        if published is not None and "" in refs:
            ref = self._published(published, (*parsed_stage.path, "to"))
            refs[""] = ref or refs[""]
        return refs

    def inputs(self, parsed_stage: ParsedStage, above: ParsedStage | None) -> tuple[StreamRef, ...]:
        if parsed_stage.verb == "source":
            stream = _stream_connector(parsed_stage)
            if stream is None or not isinstance(parsed_stage.options, ConnectorRef):
                return ()
            form = _form(parsed_stage.options.options)
            return (self._external(stream, (*parsed_stage.path, "source", "stream"), form),)
        if parsed_stage.verb == "join":
            return self._sides(parsed_stage)
        value = self._raw(parsed_stage).get("from")
        if parsed_stage.verb is None and value is None:
            return ()
        path: Path_ = (*parsed_stage.path, "from")
        if self._document.failed(path):
            return ()
        if value is None:
            return self._input_above(parsed_stage, above)
        places = (
            [((*path, index), item) for index, item in enumerate(value)]
            if isinstance(value, list)
            else [(path, value)]
        )
        if not places:
            self._document.report(path, "the list names nothing to read", "name a stage, or remove `from`")
        return self._distinct([(place, self._input(parsed_stage, item, place)) for place, item in places])

    def _sides(self, parsed_stage: ParsedStage) -> tuple[StreamRef, ...]:
        """Read the two inputs of a join; if one is wrong it is reported, and both are left out."""
        join, path = self._raw(parsed_stage).get("join"), (*parsed_stage.path, "join")
        given = [(side, join[side]) for side in SIDES if side in join] if isinstance(join, dict) else []
        places = [((*path, side), value) for side, value in given if value is not None]
        found = self._distinct([(place, self._input(parsed_stage, value, place)) for place, value in places])
        return found if len(found) == len(SIDES) else ()

    def _distinct(self, found: list[tuple[Path_, StreamRef | None]]) -> tuple[StreamRef, ...]:
        refs: list[StreamRef] = []
        for path, ref in found:
            if ref is None:
                continue
            if ref in refs:
                self._document.report(path, f"{ref.name!r} is read twice", "remove one")
            else:
                refs.append(ref)
        return tuple(refs)

    def _input_above(self, parsed_stage: ParsedStage, above: ParsedStage | None) -> tuple[StreamRef, ...]:
        if above is None:
            what = f"stage {parsed_stage.name!r} is the first and has nothing to read"
            self._document.report(
                parsed_stage.path, what, "begin with a `source`, or say `from: {stream: NAME}`", key=True
            )
            return ()
        ref = self._output_of(above, parsed_stage.path, f"the stage above, {above.name!r},", key=True)
        return () if ref is None else (ref,)

    def _input(self, parsed_stage: ParsedStage, value: object, path: Path_) -> StreamRef | None:
        if isinstance(value, dict):
            return self._read(value, path)
        if not isinstance(value, str):
            what = f"must name a stage, a port or a stream, not {describe(value)}"
            key = path[-1] if path[-1] in SIDES else "from"
            self._document.report(path, what, f"write `{key}: STAGE` or `{key}: {{stream: NAME}}`")
            return None
        name, dot, port = value.partition(".")
        stage = self._parsed.get(name)
        if stage is None:
            others = [other for other in self._parsed if other != parsed_stage.name]
            self._document.report(path, f"there is no stage {name!r}", suggest(name, others))
            return None
        if not dot:
            return self._output_of(stage, path, f"stage {name!r}")
        return self._port_of(stage, port, path)

    def _output_of(self, stage: ParsedStage, path: Path_, who: str, *, key: bool = False) -> StreamRef | None:
        if stage.verb is None:
            return None
        if "" in stage.ports:
            return self.outputs(stage)[""]
        if stage.verb == "sink":
            named = [f"{one.name}.{stage.name}" for one in self._parsed.values() if stage.name in one.ports]
            fix = f"say `from: {named[0]}`" if named else "say `from:` another stage"
            self._document.report(path, f"{who} is a sink and has no output", fix, key=key)
        elif stage.verb == "call":
            self._document.report(
                path,
                f"{who} says `to: none` and has no output",
                "remove that, or read another stage",
                key=key,
            )
        elif stage.ports:
            ports = one_of(f"{stage.name}.{port}" for port in stage.ports)
            self._document.report(
                path, f"{who} is a route and has only ports", f"say `from:` {ports}", key=key
            )
        return None

    def _port_of(self, stage: ParsedStage, port: str, path: Path_) -> StreamRef | None:
        if port == ERRORS:
            return StreamRef(f"{stage.name}:dlq")
        if stage.verb is None:
            return None
        if port in stage.ports and port:
            return self.outputs(stage)[port]
        if port in map(name_like, stage.ports):
            return None  # misspelt, and reported there
        known = [*filter(None, stage.ports), ERRORS]
        hint = suggest(port, known, otherwise=f"it has {one_of(f'{stage.name}.{name}' for name in known)}")
        self._document.report(path, f"stage {stage.name!r} has no port {port!r}", hint)
        return None

    def _published(self, value: object, path: Path_) -> StreamRef | None:
        name = value.get("stream") if isinstance(value, dict) and len(value) == 1 else None
        if isinstance(name, str) and name:
            return self._external(name, (*path, "stream"))
        if not self._document.failed(path):
            self._document.report(path, "must be `{stream: NAME}`", "name the stream's whole key")
        return None

    def _read(self, value: dict[str, object], path: Path_) -> StreamRef | None:
        """Read the key and format of a stream from outside that a stage reads."""
        if len(value) < 2 or "stream" not in value:
            return self._published(value, path)
        options = validate(self._document, StreamOptions, value, path)
        if options is None:
            return None
        return self._external(options.stream, (*path, "stream"), _form(options))

    def _external(self, name: str, path: Path_, form: StreamForm | None = None) -> StreamRef:
        if name.startswith(self._own_keys):
            what = f"{name!r} is a key of this pipeline itself"
            self._document.report(path, what, "name the stage instead, or another stream")
        return StreamRef(name, external=True, form=form)

    def _raw(self, parsed_stage: ParsedStage) -> Mapping[str, object]:
        stage = self._document.value["stages"][parsed_stage.name]
        return stage if isinstance(stage, dict) else {}


def _form(options: StreamOptions) -> StreamForm | None:
    form = StreamForm(options.format, options.field or "data", options.start, options.types)
    return None if form == StreamForm() else form


def _stream_connector(parsed_stage: ParsedStage) -> str | None:
    options = parsed_stage.options
    if isinstance(options, ConnectorRef) and options.type == "stream":
        return str(options.options.stream)
    return None


def _order(document: Document, parsed: Mapping[str, ParsedStage], wiring: Wiring) -> tuple[str, ...]:
    """Sort the stages, keeping the file's order where possible; report cycles."""
    writers: dict[StreamRef, list[str]] = {StreamRef(f"{name}:dlq"): [name] for name in parsed}
    for name, outputs in wiring.outputs.items():
        for ref in outputs.values():
            writers.setdefault(ref, []).append(name)
    order: list[str] = []
    for name in parsed:
        for circle in _visit(name, wiring, writers, order, []):
            what = f"the stages go in a circle: {' -> '.join(circle)}"
            if len(circle) == 2:
                what = f"stage {circle[0]!r} reads itself"
            path = (*parsed[circle[0]].path, "from")
            document.report(path, what, "let one of them read another stage", key=True)
    return tuple(order)


def _visit(
    name: str, wiring: Wiring, writers: Mapping[StreamRef, list[str]], order: list[str], above: list[str]
) -> Iterator[list[str]]:
    """Put a stage after all stages it reads; yield cycles found on the way, in the records' direction."""
    if name in order:
        return
    if name in above:
        yield [name, *reversed(above[above.index(name) :])]
        return
    above.append(name)
    for ref in wiring.inputs[name]:
        for writer in writers.get(ref, ()):
            yield from _visit(writer, wiring, writers, order, above)
    above.pop()
    order.append(name)
