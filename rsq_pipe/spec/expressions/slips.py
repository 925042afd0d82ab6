"""Slips: operators and words from other languages in an expression, and how to write them here."""

from __future__ import annotations

import re

from rsq_pipe.spec.expressions.functions import FUNCTIONS

_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")

# What an unreadable expression contains -> how to write it; the first one found is reported.
_SLIPS: tuple[tuple[str, str], ...] = (
    (r"===", "write `==`"),
    (r"!==", "write `!=`"),
    (r"<>", "write `!=`"),
    (r"\w\s*=>\s*\w+(?=.*\))", "write `[f(x) for x in items]`, or `sum(f(x) for x in items)`"),
    (r"=>", "write `>=`"),
    (r"=<", "write `<=`"),
    (r"&&", "write `and`"),
    (r"\|\|", "write `or` between conditions, `+` between texts"),
    (r"!(?!=)", "write `not`"),
    (r"=~|(?<=\s)~(?=\s)", "write `matches(text, 'pattern')`"),
    (r"\?(?=.*:)", "write `a if condition else b`"),
    (r"::", "write `str(x)`, `int(x)` or `float(x)`"),
    (r"\$\.?\w|^\s*\.\w", "write the name of the field by itself"),
    (r"\?\?", "write `coalesce(a, b)`"),
    (r"[“”‘’]", "write straight quotes, ' or \""),
    (r"\bAND\b", "write `and`, in small letters"),
    (r"\bOR\b", "write `or`, in small letters"),
    (r"\bNOT\b", "write `not`, in small letters"),
    (r"\bIN\b", "write `in`, in small letters"),
    (r"(?i)\bis\s+not\s+null\b", "write `is not None`"),
    (r"(?i)\bis\s+null\b", "write `is None`"),
    (r"(?i)\blike\b", "write `startswith(text, 'a')`, `'a' in text` or `matches(text, 'a.*')`"),
    (r"(?i)\bbetween\b", "write `low <= value <= high`"),
    (r"(?i)\bcase\s+when\b", "write `a if condition else b`"),
    (r"(?<![=!<>:])=(?!=)", "compare with `==`"),
    (r"\b\d{4}-\d\d-\d\d\b", "write `date('YYYY-MM-DD')`, or 'YYYY-MM-DD' in quotes for text"),
)
_WORDS = {
    "true": "True",
    "false": "False",
    "null": "None",
    "TRUE": "True",
    "FALSE": "False",
    "NULL": "None",
    "nil": "None",
    "undefined": "None",
}
"""Words that have another name here; they would be read as fields."""

_FUNCTIONS = {
    **dict.fromkeys(("contains", "includes"), "write `part in text`"),
    **dict.fromkeys(("length", "size", "count", "char_length"), "write `len(x)`"),
    **dict.fromkeys(("trim", "btrim"), "write `strip(x)`"),
    **dict.fromkeys(("ifnull", "nvl", "isnull"), "write `coalesce(x, instead)`"),
    "default": "write `coalesce(x, instead)` for null, `get(record, 'x', instead)` for a missing field",
    **dict.fromkeys(("substr", "substring", "left", "right", "slice"), "write a slice, `x[0:3]`"),
    **dict.fromkeys(("concat", "concatenate"), "write `a + b`, or f'{a} {b}'"),
    **dict.fromkeys(("if", "iif", "iff", "case"), "write `a if condition else b`"),
    **dict.fromkeys(("tolowercase", "lcase"), "write `lower(x)`"),
    **dict.fromkeys(("touppercase", "ucase"), "write `upper(x)`"),
    **dict.fromkeys(("avg", "mean", "average"), "write `sum(x) / len(x)`"),
    **dict.fromkeys(("cast", "convert"), "write `int(x)`, `float(x)` or `str(x)`"),
    **dict.fromkeys(("pow", "power"), "write `x ** y`"),
    **dict.fromkeys(("isoformat", "tostring", "to_string"), "write `str(x)`"),
    **dict.fromkeys(
        ("strptime", "to_date", "to_timestamp", "to_datetime", "str_to_date", "parse_datetime"),
        "write `parse_date(text, '%d.%m.%Y')`; date(x) and datetime(x) read ISO 8601",
    ),
    **dict.fromkeys(
        ("strftime", "to_char", "date_format", "date_trunc", "datetrunc"),
        "write `format_date(x, '%Y-%m')`, or `date(x)` for the day",
    ),
    **dict.fromkeys(("today", "current_date", "curdate"), "write `date(now())`"),
    **dict.fromkeys(("current_timestamp", "utcnow", "getdate"), "write `now()`"),
    **dict.fromkeys(
        ("astimezone", "convert_timezone", "convert_tz", "timezone", "from_utc_timestamp", "tz_convert"),
        "write `in_zone(x, 'Europe/Berlin')`; datetime(x, 'Europe/Berlin') reads a local time",
    ),
    **dict.fromkeys(("datediff", "date_diff"), "write `days_between(a, b)` or `seconds_between(a, b)`"),
    **dict.fromkeys(("timedelta", "dateadd", "date_add", "date_sub"), "write `add(date, '7d')`"),
    **dict.fromkeys(("to_number", "parsefloat", "tofloat", "to_float", "number"), "write `float(x)`"),
    **dict.fromkeys(("parseint", "toint", "to_int", "integer"), "write `int(x)`"),
    **dict.fromkeys(("isna", "is_null", "isnan"), "write `x is None`"),
    "nullif": "write `None if x == y else x`",
    "greatest": "write `max(a, b)`",
    "least": "write `min(a, b)`",
    **dict.fromkeys(
        ("regexp_matches", "regexp_like", "regex_match", "rlike"), "write `matches(text, 'pattern')`"
    ),
    **dict.fromkeys(("regexp_extract", "regexp_substr"), "write `extract(text, 'a(.*)')`"),
    **dict.fromkeys(("regexp_replace", "regex_replace"), "write `replace_matches(text, 'pattern', 'new')`"),
    "format": "write f'{x:.2f}'",
    "mod": "write `x % y`",
    "filter": "write `[x for x in items if condition]`",
    "map": "write `[f(x) for x in items]`",
}
"""Functions of other languages -> how to write them here."""

_MODULES = frozenset(("datetime", "date", "time", "math", "np", "pd", "re", "json", "str", "uuid"))
"""What the methods of other languages are called on that need nothing of the kind here."""

THIS = "this"
"""Bloblang's name of the whole record."""

_PARTS_OF_DATES = frozenset(("year", "month", "day", "hour", "weekday"))


_SENTENCE = re.compile(r"(?!.*\b(?:if|else|and|or|not|in|is|for|lambda)\b)\s*[A-Za-z]\w*(?: \w+)+[.!]?\s*")


def unquoted(text: str) -> str:
    """Return how to write text, if an expression that cannot be read is words alone; else empty."""
    words = text.strip()
    return (
        f"write \"'{words}'\" for text, `record['{words}']` for a field" if _SENTENCE.fullmatch(text) else ""
    )


def slip(text: str) -> tuple[str, int] | None:
    """
    Find another language's syntax in an expression that cannot be read.

    Returns:
        How to write it here, and its column, from 1; None if nothing is found.
    """
    code = _TEXT.sub(lambda found: "'" + "_" * (len(found[0]) - 2) + "'", text)
    for pattern, fix in _SLIPS:
        for found in re.finditer(pattern, code):
            # A keyword argument has a `=`, inside brackets.
            if found[0] != "=" or code.count("(", 0, found.start()) == code.count(")", 0, found.start()):
                return fix, found.start() + 1
    return None


def piped(name: str, into: str) -> str:
    """Return how to write a template's filter, `name | upper`, here; empty if it is none."""
    return f"write `{into}({name})`" if into in FUNCTIONS else function(into)


def word(name: str) -> str | None:
    """Return how to write another language's word here; None if it is not known."""
    return _WORDS.get(name)


def function(name: str) -> str:
    """Return how to write another language's function here; empty if unknown."""
    return _FUNCTIONS.get(name.lower(), "")


def method(name: str, of: str, arguments: str) -> str:
    """
    Return how to write a method call here.

    Args:
        name: The method.
        of: The object it is called on, as written.
        arguments: Its arguments, as written.
    """
    ours = name if name in FUNCTIONS else name.lower()
    of = "" if of in _MODULES else of
    if ours in FUNCTIONS:
        return f"write `{ours}({', '.join(filter(None, (of, arguments)))})`"
    return function(name) or "call a function by its name"


def attribute(name: str, of: str, *, whole: str) -> str:
    """
    Return how to write an attribute here.

    Args:
        name: The attribute.
        of: The object it belongs to, as written.
        whole: The name of the whole record.
    """
    if of in (whole, THIS):
        return f"write `{name}`"
    if name in _PARTS_OF_DATES:
        return f"write `{name}({of})` for that of a date, `{of}[{name!r}]` for a field"
    return f"write `{of}[{name!r}]`"
