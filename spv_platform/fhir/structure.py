"""The bracket structure of JSON text: nesting depth, and the entries of a Bundle that a JSON reader refuses as a whole.

This is the slow and patient way in: it finds where each entry begins and ends by its brackets alone, so that one broken
entry does not lose its neighbours, and it stops at the first entry over the limit.
"""

import re

from spv_platform.errors import PermanentError

#: Deepest nesting of one resource. Real resources stay under 20; a fixed limit refuses the same entry everywhere,
#: where a reader's own recursion limit depends on who calls it.
MAX_DEPTH = 100

# a string without an end runs to the end of the text, or else looking for its end at every quote would take n² steps
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_STRINGS = re.compile(_STRING, re.DOTALL)
_TOKENS = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OBJECT = re.compile(rb"\s*\{")
#: The name `entry`, whichever of its characters are escaped.
_ENTRY = re.compile(rb'"(?:e|\\u0065)(?:n|\\u006[eE])(?:t|\\u0074)(?:r|\\u0072)(?:y|\\u0079)"')
_OPENING, _BACKSLASH = ord("{"), ord("\\")
_AS_BRACES = bytes.maketrans(b"[]", b"{}")


def too_deep(raw: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether JSON text is nested deeper than the limit."""
    if raw.count(b"{") + raw.count(b"[") <= limit:
        return False
    # without escapes every other quotation mark begins a string
    outside = _STRINGS.sub(b"", raw) if _BACKSLASH in raw else b"".join(raw.split(b'"')[::2])
    brackets = outside.translate(_AS_BRACES, _ALL_BUT_BRACKETS)
    left = brackets
    for _ in range(limit):  # each time without the innermost pairs: real resources are through in a few
        left = left.replace(b"{}", b"")
        if not left:
            return False
    depth = 0
    # what does not balance, or is too deep: a loop per bracket stops at the limit
    for bracket in brackets:
        depth += 1 if bracket == _OPENING else -1
        if depth > limit:
            return True
    return False


def scan_entries(data: bytes, max_entries: int) -> tuple[bytes, list[bytes]] | None:
    """Split a Bundle by its brackets.

    Returns:
        The Bundle with an empty `entry` list, and the text of each entry, neither checked to be JSON; None when the
        brackets do not balance or the text is not one object.

    Raises:
        PermanentError: too_many_entries.
    """
    depth, key, inside = 0, b"", False
    spans: list[tuple[int, int]] = []
    cut: tuple[int, int] | None = None
    start = end = 0
    for token in _TOKENS.finditer(data):
        mark = token[0][:1]
        if mark == b'"':
            if depth == 1:
                key = token[0]
        elif mark in b"{[":
            depth += 1
            if depth == 2 and mark == b"[" and cut is None and _ENTRY.fullmatch(key):
                inside, start = True, token.end()
                cut = (start, start)
        elif mark == b"," or depth == 2:
            if inside and depth == 2:
                spans.append((start, token.start()))
                start = token.end()
                if len(spans) > max_entries:
                    raise PermanentError("too_many_entries", f"entry {max_entries}")
            if mark != b",":
                depth -= 1
                if inside and cut:
                    cut, inside = (cut[0], token.start()), False
        else:
            depth -= 1
            if depth <= 0:
                end = token.end()
                break
    if depth != 0 or inside or data[end:].strip() or not _OBJECT.match(data):
        return None
    if cut is None:
        return data, []
    entries = [data[first:last].strip() for first, last in spans]
    if entries == [b""]:
        entries = []
    return data[: cut[0]] + data[cut[1] :], entries
