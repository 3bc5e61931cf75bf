"""The texts of an element that were taken, and what they came to.

The elements of resources say the same again and again (a category, a code, whose it is), so what a text came to is
remembered. What belongs here: what of JSON a struct does not see, so that what is read is all that stands there. What
does not: which structs read it (`structs`).
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import repeat
from typing import Any, ClassVar

import msgspec

from spv_platform.fhir.lot import NO_EXTENSIONS, Taken

#: Escapes of a quotation mark, a colon, a backslash, a NUL or half a character.
_HIDING = re.compile(rb"\\u(?:00(?:00|22|3[aA]|5[cC])|[dD][89a-fA-F])")
#: A text of nothing but blanks is empty to the models; those that are none of JSON's come escaped or in UTF-8.
_BLANK = re.compile(
    rb'"(?: |\\[bfnrt]|\\u(?:00(?:[01][0-9a-fA-F]|20|85|[aA]0)|1680|20[0-2][0-9a-fA-F]|205[fF]|3000)'
    rb'|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)+"'
)
_BLANK_CODE, _DELETE_CODE, _BACKSLASH_CODE = b" \x7f\\"
#: Of ASCII: no writer escapes one, but it may stand in the name of an extension.
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
_END_OF_NAME = b'":'
DIGITS = frozenset(b"-0123456789")

#: Longer texts hardly come twice.
_LONGEST_REMEMBERED = 1_000
#: Bytes of text that are remembered in a process; with what they came to they take about ten times as many.
_MOST_REMEMBERED = 4 * 2**20
_encode = msgspec.json.Encoder().encode


class ElementTexts(dict[bytes, Taken]):
    """The texts of one element that were taken.

    Args:
        reader: gives what reads plain texts (True), or any.
        write: writes again what was read.
        listed: gives what reads many texts in a list; None: they are read one by one.
        alike: whether plain texts are read like any others.
        extends: whether it is an element of extensions.
    """

    spent = 0
    everywhere: ClassVar[list["ElementTexts"]] = []

    def __init__(
        self,
        reader: Callable[[bool], Callable[[bytes], Any]],
        write: Callable[[Any], bytes] = _encode,
        listed: Callable[[bool], Callable[[bytes], list[Any]]] | None = None,
        *,
        alike: bool = False,
        extends: bool = False,
    ) -> None:
        self._alike, self._extends = alike, extends
        self.reader, self._write = cache(reader), write
        self._listed = cache(listed) if listed else None
        self.everywhere.append(self)

    def read(self, texts: list[bytes]) -> list[Taken | None]:
        """What texts come to, each of which is there once; None: it is not taken."""
        found: list[Taken | None] = list(map(self.get, texts))
        if None not in found:
            return found
        new = [text for text, taken in zip(texts, found, strict=True) if taken is None]
        read = (len(new) > 1 and self._read_listed(new)) or [self._read(text) for text in new]
        self._remember(new, read)
        rest = iter(read)
        return [next(rest) if taken is None else taken for taken in found]

    def _read_listed(self, texts: list[bytes]) -> list[Taken | None] | None:
        """The same for new texts, at a fraction of the time; None: one of them is to be looked at by itself."""
        joined = b"[" + b",".join(texts) + b"]"
        if self._listed is None or b"{}" in joined or _BACKSLASH_CODE in joined or not joined.isascii():
            return None
        try:
            values = self._listed(self._alike or is_plain(joined))(joined)
        except ValueError:
            return None
        written = list(map(self._write, values))
        # longer than sent is none but a number, and a name is never more
        if list(map(len, written)) != list(map(len, texts)):
            return None
        if b"".join(written).count(_END_OF_NAME) != joined.count(_END_OF_NAME):
            return None
        if self._may_extend(joined):
            return [
                Taken(value, None if self._may_extend(text) else NO_EXTENSIONS)
                for value, text in zip(values, texts, strict=True)
            ]
        return list(map(Taken, values, repeat(NO_EXTENSIONS)))

    def _read(self, text: bytes) -> Taken | None:
        escaped = _BACKSLASH_CODE in text  # to look for a number is many times faster than for bytes
        strange = escaped or not text.isascii()
        if b"{}" in text or (escaped and _HIDING.search(text)) or (strange and _BLANK.search(text)):
            return None
        try:
            value = self.reader(not strange and (self._alike or is_plain(text)))(text)
        except ValueError:
            return None
        if not text.startswith(b'"') and not _is_all_of(self._write(value), text):
            return None
        return Taken(value, None if self._may_extend(text) else NO_EXTENSIONS)

    def _may_extend(self, text: bytes) -> bool:
        return self._extends or may_extend(text)

    def _remember(self, texts: list[bytes], read: list[Taken | None]) -> None:
        for text, taken in zip(texts, read, strict=True):
            if taken is not None and len(text) <= _LONGEST_REMEMBERED:
                self[text] = taken
                ElementTexts.spent += len(text)
        if ElementTexts.spent > _MOST_REMEMBERED:
            for each in self.everywhere:
                each.clear()
            ElementTexts.spent = 0


def may_extend(text: bytes) -> bool:
    """Whether JSON text has extensions, or names that may be theirs."""
    return b'xtension":[' in text or (_BACKSLASH_CODE in text and _ESCAPED_LETTER.search(text) is not None)


def is_plain(text: bytes) -> bool:
    """Whether every text in it is a code if it is not empty, every reference a urn, and every `value` a number.

    Args:
        text: ASCII without a backslash.
    """
    if _BLANK_CODE in text and (b'" ' in text or b' "' in text or b"  " in text):
        return False
    if _DELETE_CODE in text:
        return False
    references = text.count(b'"reference":"')
    if references and references != text.count(b'"reference":"urn:'):
        return False
    return b'"value":' not in text or {after[0] for after in text.split(b'"value":')[1:]} <= DIGITS


def digits_of(text: bytes) -> msgspec.Raw:
    """A number, whose digits are kept.

    Raises:
        ValueError: it is none.
    """
    if text[0] not in DIGITS:
        raise ValueError
    return msgspec.Raw(text)


def _is_all_of(written: bytes, text: bytes) -> bool:
    """Whether what was read is all that stands there: of a name that comes twice, one value is left."""
    # Written again it is as long, but for characters that were escaped without need, and for numbers.
    same_names = written.count(_END_OF_NAME) == text.count(_END_OF_NAME)
    return same_names and (len(written) == len(text) or b"\\" in text)
