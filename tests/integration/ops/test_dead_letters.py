"""Finding dead letters on a real server."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rsq_pipe.errors import NeverRanError, ReplayError
from rsq_pipe.ops.dead_letters.selection import DeadLetterName
from rsq_pipe.spec.expressions.expression import compile_expression
from tests.integration.ops.shop import Shop


async def numbers(shop: Shop, **selection: object) -> Sequence[int]:
    found = await shop.letters(**selection)
    return [int(letter.rid.removeprefix("read:")) for letter in found]


async def test_pages_hold_every_dead_letter_once_and_in_order(shop: Shop) -> None:
    await shop.add_letters(range(250))

    assert await numbers(shop) == list(range(250))


async def test_options_narrow_the_choice_together(shop: Shop) -> None:
    await shop.add_letters(range(300))

    found = await numbers(
        shop, stages=("price",), where=compile_expression("n % 2 == 1 and n > 200"), limit=3
    )

    assert found == [201, 203, 205]


async def test_a_record_is_found_by_its_id(shop: Shop) -> None:
    await shop.add_letters(range(3))

    assert await numbers(shop, rid="read:1") == [1]


async def test_dead_letters_are_found_by_entry_id(shop: Shop) -> None:
    ids = await shop.add_letters(range(3))

    assert await numbers(
        shop, names=(DeadLetterName(ids[2]), DeadLetterName(ids[0]), DeadLetterName(ids[2]))
    ) == [2, 0]
    assert await numbers(shop, names=(DeadLetterName(ids[1], "price"),)) == [1]
    assert await numbers(shop, names=(DeadLetterName(ids[1], "out"),)) == []


async def test_an_id_that_two_stages_have_must_be_given_with_its_stage(shop: Shop) -> None:
    await shop.add_letters([1])
    for stage in ("price", "out"):
        await shop.redis("XADD", shop.key(f"{stage}:dlq"), "99999999999999-7", "data", "{}")

    with pytest.raises(ReplayError, match=r"'price' and 'out' both .* write out/99999999999999-7"):
        await shop.find(names=(DeadLetterName("99999999999999-7"),))

    assert len(await shop.letters(names=(DeadLetterName("99999999999999-7", "out"),))) == 1


async def test_age_goes_by_the_servers_clock(shop: Shop) -> None:
    await shop.redis("XADD", shop.key("price:dlq"), "1000-0", "data", "{}", "rsq-rid", "read:0")
    await shop.add_letters([1])

    assert await numbers(shop, age=60.0) == [1]
    assert await numbers(shop, since=1.0) == [0, 1]
    assert await numbers(shop, since=1.001) == [1]


async def test_what_dies_after_the_search_began_is_not_meant(shop: Shop) -> None:
    await shop.add_letters([1])
    found = await shop.find()
    await shop.add_letters([2])

    letters = [letter.rid async for page in found.pages() for letter in page.letters]

    assert letters == ["read:1"]


async def test_dead_letters_of_a_stage_that_was_taken_out_of_the_file_are_found(shop: Shop) -> None:
    await shop.add_letters([1], stage="old")

    assert [letter.stage for letter in await shop.letters()] == ["old"]
    assert [letter.stage for letter in await shop.letters(stages=("old",))] == ["old"]


async def test_a_pipeline_is_found_by_its_name_alone(shop: Shop) -> None:
    await shop.add_letters([1])

    assert await numbers(shop, by_name=True) == [1]


async def test_a_pipeline_that_never_ran_here_is_said_to_be_unknown(shop: Shop) -> None:
    with pytest.raises(NeverRanError, match="never ran on"):
        await shop.find()


async def test_a_stage_that_does_not_exist_is_named_with_the_one_that_was_meant(shop: Shop) -> None:
    await shop.add_letters([1])

    with pytest.raises(ReplayError, match=r"has no stage 'pric'; did you mean 'price'\?"):
        await shop.find(stages=("pric",))
