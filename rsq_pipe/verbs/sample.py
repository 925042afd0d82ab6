"""sample: passes on a share of the records, chosen by their ids."""

from __future__ import annotations

from hashlib import blake2b
from typing import ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.spec.share import Share
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.verb import PlainVerb

_REASON = "sample"
_BYTES = 8
_ALL: int = 1 << (8 * _BYTES)


class Sample(PlainVerb):
    """
    Pass on a share of the records; drop and count the others.

    Whether a record passes depends only on its id, which is the same in attempts, replays and other
    processes. The stage's name is part of the hash: 10% of 10%, by two stages, is 1%.

    Args:
        stage: Part of the hash.
        share: The share that passes.
    """

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, stage: str, share: Share) -> None:
        self._seed = f"{stage}\0".encode()
        # Digests are compared as bytes, and none is above the greatest.
        bound = min(round(share.value * _ALL), _ALL) - 1
        self._greatest = max(bound, 0).to_bytes(_BYTES, "big")

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop."""
        seed, greatest = self._seed, self._greatest
        kept: list[int] = []
        dropped: list[int] = []
        for place, rid in enumerate(batch.rids):
            # An id from outside may hold half of a surrogate pair.
            chosen = blake2b(seed + rid.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
            (kept if chosen <= greatest else dropped).append(place)
        return Outcomes({"": passed(batch, kept)} if kept else {}, {_REASON: dropped} if dropped else {})
