"""What a reference points to: a key `Type/id`, and how it was found.

One object is resolved at a time, from its own entries; nothing is looked up elsewhere. How a reference was resolved:

========== ============================================================================ =========
how        meaning                                                                      key
========== ============================================================================ =========
urn        `urn:…`, the fullUrl of an entry                                             yes
full_url   an absolute URL, the fullUrl of an entry                                     yes
relative   `Type/id`, or the same under the base of the entry's own fullUrl             yes
fallback   `Type/id` of an entry whose fullUrl says otherwise                           yes
contained  `#id`                                                                        no
conditional `Type?search`                                                               no
logical    only an identifier                                                           no
absolute   a URL of somewhere else                                                      no
unresolved a urn that no entry has, or nothing that FHIR calls a reference              no
========== ============================================================================ =========
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from spv_platform.fhir.datatypes import Identifier, Reference

#: The ways that leave something to look up outside of the object.
OPEN_ENDS = frozenset({"conditional", "logical", "absolute", "unresolved"})

ID = r"[A-Za-z0-9\-.]{1,64}"
_TYPE = r"[A-Z][A-Za-z]+"
_LITERAL = re.compile(rf"(?P<key>{_TYPE}/{ID})(?:/_history/{ID})?(?:#.*)?")
_CONDITIONAL = re.compile(rf"({_TYPE})\?.+", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_RESTFUL = re.compile(rf"(?P<base>[A-Za-z][A-Za-z0-9+.\-]*://.*/)(?P<key>{_TYPE}/{ID})(?:/_history/{ID})?(?:#.*)?")


class Resolved(NamedTuple):
    """A reference as sent (None: it has only an identifier), the key it resolves to, and how."""

    reference: str | None
    key: str | None
    how: str


class Identified(NamedTuple):
    """What an entry is known by inside of its object."""

    full_url: str | None
    resource_type: str
    resource_id: str

    @property
    def key(self) -> str:
        """`Type/id`."""
        return f"{self.resource_type}/{self.resource_id}"


class Resolver:
    """Resolves the references of one object's entries."""

    def __init__(self, entries: Iterable[Identified]) -> None:
        self._by_url: dict[str, str | None] = {}
        self._misnamed: dict[str, bool] = {}
        for entry in entries:
            key, url = entry.key, entry.full_url
            misnamed = False
            if url:
                known = self._by_url.setdefault(url, key)
                if known != key:
                    # two entries under one fullUrl: which is meant cannot be said
                    self._by_url[url] = None
                misnamed = not url.endswith(f"/{key}")
            self._misnamed[key] = self._misnamed.get(key, True) and misnamed
        self._answers: dict[tuple[str, str], Resolved] = {}

    def resolve(self, reference: Reference, full_url: str | None) -> Resolved | None:
        """Resolve one reference; None when it says nothing (only a display).

        Args:
            reference: as sent.
            full_url: fullUrl of the entry in which the reference stands.
        """
        text = reference.reference
        if text is None:
            return Resolved(None, None, "logical") if reference.identifier else None
        base = _base_of(full_url)
        answer = self._answers.get((text, base))
        if answer is None:
            answer = self._answers[text, base] = Resolved(text, *self._find(text, base))
        return answer

    def _find(self, text: str, base: str) -> tuple[str | None, str]:
        if text.startswith("#"):
            return None, "contained"
        if text.startswith("urn:"):
            key = self._by_url.get(text)
            return key, "urn" if key else "unresolved"
        if _SCHEME.match(text):
            return self._find_absolute(text, base)
        if _CONDITIONAL.fullmatch(text):
            return None, "conditional"
        literal = _LITERAL.fullmatch(text)
        if literal is None:
            return None, "unresolved"
        key = literal["key"]
        if base and (under_base := self._by_url.get(base + key)):
            return under_base, "relative"
        return key, "fallback" if self._misnamed.get(key) else "relative"

    def _find_absolute(self, text: str, base: str) -> tuple[str | None, str]:
        restful = _RESTFUL.fullmatch(text)
        url = restful["base"] + restful["key"] if restful else text
        key = self._by_url.get(url) or self._by_url.get(text)
        if key:
            return key, "full_url"
        if restful and restful["base"] == base and url not in self._by_url:
            return restful["key"], "relative"
        return None, "absolute"


def target_type(reference: Reference) -> str | None:
    """The type that a reference says it points to, if it says so."""
    conditional = _CONDITIONAL.fullmatch(reference.reference or "")
    if conditional:
        return conditional[1]
    restful = _RESTFUL.fullmatch(reference.reference or "")
    return restful["key"].partition("/")[0] if restful else reference.type


def text_of(reference: Reference) -> str:
    """A reference as one text: as sent, or `system|value` of its identifier."""
    identifier = reference.identifier or Identifier()
    return reference.reference or f"{identifier.system or ''}|{identifier.value or ''}"


@lru_cache(maxsize=1)
def _base_of(full_url: str | None) -> str:
    restful = _RESTFUL.fullmatch(full_url or "")
    return restful["base"] if restful else ""
