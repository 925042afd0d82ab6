"""Written: finds the place of a text's character in a pipeline file, in any of YAML's notations."""

from __future__ import annotations

from rsq_pipe.spec.document import Document, Path_, Place


def place_in(document: Document, path: Path_, text: str, at: int) -> Place | None:
    """
    Find the place of a character of a text in the file.

    Args:
        path: Where the text is in the document.
        text: The text.
        at: The character, from 0; the text's end is one past the last.

    Returns:
        None if the text is not written literally there: it contains a variable, or an escape.
    """
    begin = document.values.get(path)
    if begin is None or path in document.replaced:
        return None
    lines = document.text.split("\n")
    here = sum(len(line) + 1 for line in lines[: begin.line - 1]) + begin.column - 1
    found = _aligned(document.text, _past_header(document.text, here), text, at)
    if found is None:
        return None
    before = document.text[:found]
    return Place(before.count("\n") + 1, found - (before.rfind("\n") + 1) + 1)


def _past_header(file: str, here: int) -> int:
    """Skip the line of a block's `|` or `>`, or an opening quote."""
    if file[here] in "|>":
        end = file.find("\n", here)
        return end + 1 if end >= 0 else len(file)
    return here + 1 if file[here] in "'\"" else here


def _aligned(file: str, here: int, text: str, at: int) -> int | None:
    """
    Walk through the text and the file in parallel.

    YAML changes white space: a line break in the file may be a blank in the text, and lines are indented.
    """
    doubled = "'" if file[here - 1 : here] == "'" else ""
    place = 0
    while place < at:
        if text[place].isspace():
            before = here
            while here < len(file) and file[here].isspace():
                here += 1
            while place < len(text) and text[place].isspace():
                place += 1
            if place > at:
                return before
            if here == before:
                return None
            continue
        here = _past_space(file, here) if place == 0 else here
        if file[here : here + 1] != text[place]:
            return None
        here += 2 if text[place] == doubled else 1
        place += 1
    return _past_space(file, here) if at < len(text) and not text[at].isspace() else here


def _past_space(file: str, here: int) -> int:
    while here < len(file) and file[here].isspace():
        here += 1
    return here
