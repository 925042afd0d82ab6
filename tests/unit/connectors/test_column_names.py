"""Column names: one name stands for a list of one."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from rsq_pipe.connectors.column_names import ColumnNames


class Keyed(BaseModel):
    key: ColumnNames


@pytest.mark.parametrize(("written", "names"), [("id", ("id",)), (["id", "day"], ("id", "day"))])
def test_one_name_is_a_list_of_one(written: object, names: tuple[str, ...]) -> None:
    assert Keyed.model_validate({"key": written}).key == names


@pytest.mark.parametrize("written", ["id, day", "", 1])
def test_what_is_neither_a_name_nor_a_list_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Keyed.model_validate({"key": written})
