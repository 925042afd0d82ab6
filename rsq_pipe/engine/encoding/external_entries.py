"""ExternalEntries: converts entries of streams that others write into the pipeline's own form."""

from __future__ import annotations

from rsq_pipe.connectors.stream.form import StreamForm, unpacked
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.headers import ORIGIN

_ORIGIN = ORIGIN.encode()
_PLAIN = StreamForm()


class ExternalEntries:
    """
    Convert entries of the streams from outside that a stage reads.

    An unreadable entry becomes a dead letter unchanged, and names its stream, so that a replay is decoded in
    the format of that stream again.

    Args:
        graph: The pipeline.
        stage: The stage.
    """

    def __init__(self, graph: Graph, stage: Stage) -> None:
        self._own = graph.serializer
        self._forms = {ref.name: ref.form or _PLAIN for ref in stage.inputs if ref.external}
        self._again_stream = Keyspace(graph.pipeline).again_stream(stage)
        self.any = bool(self._forms)
        """Whether there are any such streams."""
        self.are_plain = all(form.is_plain for form in self._forms.values())
        """Whether their entries have the pipeline's own form; but outsiders write no packs."""

    def plain(self, entry: RawEntry) -> RawEntry:
        """
        Convert an entry of any stream into one that the pipeline could have written.

        Raises:
            DecodeError: It holds no record.
        """
        form = self._forms.get(entry.stream)
        if form is not None:
            return form.plain(entry, self._own)
        if entry.stream != self._again_stream:
            return entry
        pairs = list(zip(entry.fields[::2], entry.fields[1::2], strict=True))
        origin = next((value.decode(errors="replace") for name, value in pairs if name == _ORIGIN), None)
        form = self._forms.get(origin) if origin is not None else None
        if form is None:
            return entry
        fields = [item for pair in pairs if pair[0] != _ORIGIN for item in pair]
        return form.plain(entry._replace(fields=fields), self._own)

    def kept(self, entry: RawEntry) -> RawEntry:
        """Return what the dead letter of an unreadable entry holds."""
        form = self._forms.get(entry.stream)
        if form is None:
            return entry
        whole = unpacked(entry) if entry.is_pack else entry
        return (
            whole if form.is_plain else whole._replace(fields=[*whole.fields, _ORIGIN, entry.stream.encode()])
        )
