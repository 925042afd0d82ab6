"""Types: the converters for values of each type; user-defined types are read from the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres_cdc.values import SEPARATORS, Convert, array_of, converter, is_built_in

# A domain's values are those of the type it is based on. The category is not asked: int2vector is of that of
# arrays, and not written as one.
_BASES = """
with recursive base(own, oid) as (
    select oid, oid from pg_type where oid = any(%s)
    union all
    select own, t.typbasetype from base join pg_type t using (oid) where t.typtype = 'd'
)
select own::bigint, t.oid::bigint,
    case when t.typinput = 'array_in'::regproc then e.oid::bigint else 0 end, coalesce(e.typdelim::text, '')
from base join pg_type t using (oid) left join pg_type e on e.oid = t.typelem
where t.typtype <> 'd'
"""


class Types:
    """
    Find converters of values.

    Args:
        connection: Used for types that are not PostgreSQL's own; open when `of` is called.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[int, Convert] = {}

    def of(self, types: Sequence[int]) -> list[Convert]:
        """Return the converters of some types."""
        unknown = [oid for oid in types if oid not in self._known]
        self._known |= {oid: converter(oid) for oid in unknown}  # including one that has been dropped
        if not is_built_in(unknown):
            self._learn(unknown)
        return [self._known[oid] for oid in types]

    def _learn(self, types: Sequence[int]) -> None:
        found = self._connection.execute(_BASES, [list(types)])
        items = {item for _, _, item, _ in found if item} - self._known.keys()
        if items:
            self.of(sorted(items))
        for own, base, item, separator in found:
            sign = separator.encode()
            is_array = item and sign in SEPARATORS
            self._known[own] = array_of(self._known[item], sign) if is_array else converter(base)
