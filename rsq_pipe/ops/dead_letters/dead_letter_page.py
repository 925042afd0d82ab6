"""DeadLetterPage: some dead letters of one stage; a page costs the same wherever it starts."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters, Turns
from rsq_pipe.streams.entry import range_reply

READ = 100
"""Dead letters read at once: each may be large."""

PATIENCE = 1.0
"""Seconds after which a page is returned as it is, even with few letters: the next one continues there."""


class DeadLetterPage(Struct, frozen=True):
    """
    Hold a page.

    Args:
        letters: In order.
        next: The id after which the next page starts; empty if there is none.
        passed_over: Letters for which `where` has no value.
        why: The error of the first of these.
    """

    letters: Sequence[DeadLetter]
    next: str
    passed_over: int = 0
    why: str = ""


async def dead_letter_page(
    found: DeadLetters, after: str, count: int, *, newest_first: bool = False
) -> DeadLetterPage:
    """
    Read a page of the selected dead letters of one stage.

    Args:
        found: The letters, of one stage.
        after: The id after which it starts; empty for the beginning.
        count: Maximum number of letters. There may be fewer although more follow: see `next`.
        newest_first: Whether to read from the newest to the oldest.

    Redis: XRANGE or XREVRANGE COUNT 100, until the page is full or a second has passed.
    """
    (queue,), sieve, turns = found.queues, found.sieve, Turns()
    letters: list[DeadLetter] = []
    place = after
    while True:
        beyond = f"({place}" if place else ("+" if newest_first else "-")
        bounds = ("XREVRANGE", queue.key, beyond, "-") if newest_first else ("XRANGE", queue.key, beyond, "+")
        reply = await found.client.channel.execute(*bounds, "COUNT", READ, key=queue.key)
        for entry in range_reply(queue.key, reply):
            letter = DeadLetter(queue.stage, entry)
            place = letter.id
            if sieve.passes(letter):
                letters.append(letter)
                if len(letters) == count:
                    return DeadLetterPage(letters, place, sieve.passed_over, sieve.why)
            if turns.seconds > PATIENCE:
                return DeadLetterPage(letters, place, sieve.passed_over, sieve.why)
            await turns.others()
        if len(reply) < READ:
            return DeadLetterPage(letters, "", sieve.passed_over, sieve.why)
