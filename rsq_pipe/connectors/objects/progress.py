"""Progress: which records are in which part, and which may come again."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

MOST = 8
"""Maximum number of unresolved attempts at one part; beyond that, a part of one record has to resolve it."""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """
    Hold one attempt to write a part.

    Args:
        part: The part's name in its metadata: a digest of its record ids.
        rids: These ids, compressed.
        name: The object's name, if that depends on fields of the records.
    """

    part: str
    rids: str
    name: str = ""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Hold how far a sink has got, as stored with each batch; no I/O.

    A part's name is an increasing number, and no store creates an object twice under one name when it is
    asked not to. So of all the parts ever begun under a number, by any processes, at most one is created,
    and its metadata says which it is. The part about to be written is stored first, so that the next process
    knows the records of each of these parts. The number is used up when its part is seen.

    Records that are in a part but were not settled come again, in other batches, some later than others;
    their ids are carried along until each has been in a settled batch.

    Args:
        next: The number of the next part.
        at: When it was begun, in seconds since 1970: everything begun under a number has one name.
        attempts: The parts begun under it.
        carried: The compressed ids of records that are in earlier parts and may come again.
    """

    next: int = 1
    at: int = 0
    attempts: tuple[Attempt, ...] = ()
    carried: str = ""

    @staticmethod
    def load(text: str) -> Progress:
        """
        Parse a stored progress.

        Raises:
            ValueError: It is malformed.
        """
        return _decode(text)

    def dump(self) -> str:
        """Return it in the stored form."""
        return msgspec.json.encode(self).decode()

    def known(self) -> frozenset[str]:
        """Return the ids of records that are in a part but may come again."""
        return frozenset(unpacked(self.carried))

    def begun(self, rids: Sequence[str], now: int) -> Progress:
        """Note that a part with these records is about to be written."""
        attempt = Attempt(digest(rids), packed(rids))
        others = tuple(one for one in self.attempts if one.part != attempt.part)
        return msgspec.structs.replace(
            self, attempts=(*others, attempt), at=self.at if self.attempts else now
        )

    def seen(self, part: str) -> Progress:
        """
        Note which part exists under the next number.

        Raises:
            LookupError: It is not one that was begun.
        """
        rids = alone(part)
        if rids is None:
            attempt = next((one for one in self.attempts if one.part == part), None)
            if attempt is None:
                raise LookupError(part)
            rids = unpacked(attempt.rids)
        return Progress(self.next + 1, carried=packed([*self.known(), *rids]))

    def begun_under(self, parts: Mapping[str, Sequence[str]], now: int) -> Progress:
        """Note that parts are about to be written under the number: name -> the ids of its records."""
        attempts = tuple(Attempt(digest(rids), packed(rids), name) for name, rids in parts.items())
        return msgspec.structs.replace(self, attempts=attempts, at=self.at if self.attempts else now)

    def decided(self, existing: Collection[Attempt]) -> Progress:
        """Note which of the parts begun under the number exist; none of the others ever will."""
        rids = [rid for attempt in existing for rid in unpacked(attempt.rids)]
        return Progress(self.next + 1, carried=packed([*self.known(), *rids]))

    def settled(self, rids: Collection[str], *, wrote: bool) -> Progress:
        """Note that a batch is settled, and whether a part was made for it."""
        rest = self.known().difference(rids) if self.carried else ()
        if not wrote:
            return msgspec.structs.replace(self, carried=packed(rest))
        return Progress(self.next + 1, carried=packed(rest))


_ALONE = "one:"


def of_one(rid: str) -> str:
    """Build the name of a part of one record from its id: no attempt has to be stored before it."""
    return f"{_ALONE}{base64.urlsafe_b64encode(rid.encode()).decode()}"


def alone(part: str) -> list[str] | None:
    """Return the record id of a part with one record; None for any other part."""
    if not part.startswith(_ALONE):
        return None
    return [base64.urlsafe_b64decode(part.removeprefix(_ALONE)).decode()]


def digest(rids: Sequence[str]) -> str:
    """Return a digest that distinguishes parts by their records."""
    return hashlib.blake2b("\n".join(rids).encode(), digest_size=16).hexdigest()


def packed(rids: Collection[str]) -> str:
    """Compress record ids: those of one source differ little."""
    if not rids:
        return ""
    return base64.b85encode(zlib.compress("\n".join(rids).encode(), 6)).decode()


def unpacked(text: str) -> list[str]:
    """Decompress the record ids that `packed` compressed."""
    return zlib.decompress(base64.b85decode(text)).decode().split("\n") if text else []


_decode = msgspec.json.Decoder(Progress).decode
