"""What a reference points to: a key `Type/id`, and how it was found.

One object is resolved at a time, from its own entries. What leads out of it has a *target*, one form of what it asks
for, and is resolved if the caller knows exactly one resource that has it. How a reference was resolved:

============= ============================================================================ =========
how           meaning                                                                      key
============= ============================================================================ =========
urn           `urn:…`, the fullUrl of an entry                                             yes
full_url      an absolute URL, the fullUrl of an entry                                     yes
relative      `Type/id`, or the same under the base of the entry's own fullUrl             yes
fallback      `Type/id` of an entry whose fullUrl says otherwise, or says another base     yes
contained     `#id`, a resource inside of the one that refers to it; `#`, that one            if there
other_version a version of an entry of which only others came with the object              yes
ambiguous     a fullUrl, an identifier or an id that several entries have                  no
conditional   `Type?search`                                                                if there or known
logical       only an identifier; or one beside a reference that leads nowhere, if there   if there or known
absolute      a URL of somewhere else                                                      if known
unresolved    a urn that no entry has, or nothing that FHIR calls a reference              if known
============= ============================================================================ =========
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from spv_platform.fhir.datatypes import Identifier, Reference
from spv_platform.fhir.frames import Codes

#: The ways that leave something to look up outside of the object.
OPEN_ENDS = frozenset({"conditional", "logical", "absolute", "unresolved"})
#: The ways that may have no key and leave nothing to look up.
CLOSED_ENDS = frozenset({"contained", "ambiguous"})
#: The ways that lead nowhere, so that an identifier beside them says more.
_NOWHERE = frozenset({"absolute", "unresolved"})
#: The types that references from other objects are looked up among: whom and whose a record is. Others are referred to
#: within their object, and there are too many of them.
SOUGHT_TYPES = frozenset({"Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization", "Location"})

#: By (type or "", target): the keys of the resources that are known to have it.
Known = Mapping[tuple[str, str], Sequence[str]]
#: Type if said, target or text, how.
OpenEnd = tuple[str | None, str, str]

_NOTHING: Mapping[str, str] = MappingProxyType({})
#: Answers that are remembered of one object's entries.
_MOST_ANSWERS = 10_000

ID = r"[A-Za-z0-9\-.]{1,64}"
_TYPE = r"[A-Z][A-Za-z]+"
_VERSION = rf"(?:/_history/(?P<version>{ID}))?(?:#.*)?"
_LITERAL = re.compile(rf"(?P<key>{_TYPE}/{ID}){_VERSION}")
CONDITIONAL = re.compile(rf"({_TYPE})\?.+", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_RESTFUL = re.compile(rf"(?P<base>[A-Za-z][A-Za-z0-9+.\-]*://.*/)(?P<key>{_TYPE}/{ID}){_VERSION}")


class Resolved(NamedTuple):
    """A reference as sent, the key it resolves to, and how.

    Of one that has only an identifier the text is `identifier=system|value`; None: that has no value.
    """

    reference: str | None
    key: str | None
    how: str


class Identified(msgspec.Struct, gc=False, frozen=True):
    """What an entry is known by inside of its object; `identifiers` as references ask for them (`target_of`).

    `shared_key` is what its resource calls itself, maybe as others do, where its key is another. `version_id` is what
    its meta says.
    """

    full_url: str | None
    resource_type: str
    resource_id: str
    identifiers: tuple[str, ...] = ()
    version_id: str | None = None
    shared_key: str | None = None
    deleted: bool = False

    @property
    def key(self) -> str:
        """`Type/id`."""
        return f"{self.resource_type}/{self.resource_id}"


class Resolver:
    """Resolves the references of one object's entries.

    Args:
        entries: all of them, those of `SOUGHT_TYPES` with their identifiers.
        others: those of other types, with theirs; gone through when one is first asked for by an identifier.
    """

    def __init__(self, entries: Sequence[Identified], others: Iterable[Identified] = ()) -> None:
        self._entries, self._others = entries, others
        self._by_url: dict[str, Identified | None] = {entry.full_url: entry for entry in entries if entry.full_url}
        for entry in entries if len(self._by_url) < len(entries) else ():
            known = self._by_url.get(entry.full_url or "")
            if known and known.key != entry.key:
                # two entries under one fullUrl: which is meant cannot be said
                self._by_url[known.full_url or ""] = None
        self._by_target: dict[tuple[str, str], set[str]] = {}
        for entry in entries:
            if entry.identifiers:
                self._note_targets(entry)
        self._shared = {entry.shared_key: {entry.key} for entry in entries if entry.shared_key}
        for entry in entries if self._shared else ():
            for called in (entry.shared_key, entry.key):
                if called in self._shared and not entry.deleted:
                    self._shared[called].add(entry.key)
        self._answers: dict[tuple[str, str], Resolved] = {}

    @cached_property
    def _named(self) -> dict[str, int]:
        """By key: 2 if an entry has no fullUrl, 1 if one says Type/id, 0 if none does."""
        found: dict[str, int] = {}
        for entry in self._entries:
            named = int(entry.full_url.endswith(f"/{entry.key}")) if entry.full_url else 2
            found[entry.key] = max(found.get(entry.key, 0), named)
        return found

    @cached_property
    def _versions(self) -> dict[str, set[str]]:
        """The versions of each key, as far as entries say theirs."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for entry in self._entries:
            if entry.version_id:
                found[entry.key].add(entry.version_id)
        return dict(found)

    def _key_of(self, url: str) -> str | None:
        entry = self._by_url.get(url)
        return entry.key if entry else None

    def _note_targets(self, entry: Identified) -> None:
        for target in entry.identifiers:
            for type_ in ("", entry.resource_type):
                self._by_target.setdefault((type_, target), set()).add(entry.key)

    def resolve(self, reference: Reference, full_url: str | None) -> Resolved | None:
        """Resolve one reference; None when it says nothing (only a display).

        Args:
            reference: as sent.
            full_url: fullUrl of the entry in which the reference stands.
        """
        text = reference.reference
        if text is None:
            asked = target_of(reference)
            return Resolved(asked, *self._identified(reference, "logical")) if reference.identifier else None
        base = base_of(full_url)
        answer = self._answers.get((text, base))
        if answer is None:
            key, how = self._find(text, base)
            if how == "conditional":
                key, how = self._identified(reference, how)
            elif key and "/_history/" in text and self._is_other_version(key, text):
                how = "other_version"
            answer = self._answers[text, base] = Resolved(text, key, how)
        if answer.key is None and answer.how in _NOWHERE and reference.identifier:
            key, how = self._identified(
                Reference(type=target_type(reference), identifier=reference.identifier), "logical"
            )
            return Resolved(text, key, how) if key else answer
        return answer

    def _is_other_version(self, key: str, text: str) -> bool:
        asked, known = _RESTFUL.fullmatch(text) or _LITERAL.fullmatch(text), self._versions.get(key)
        return asked is not None and known is not None and asked["version"] not in known

    def _identified(self, reference: Reference, how: str) -> tuple[str | None, str]:
        """The one entry that has the identifier that is asked for, and how it was asked for."""
        type_ = target_type(reference) or ""
        if type_ not in SOUGHT_TYPES:
            for entry in self._others:
                self._note_targets(entry)
            self._others = ()
        keys = self._by_target.get((type_, target_of(reference) or ""), ())
        return (None, "ambiguous") if len(keys) > 1 else (next(iter(keys), None), how)

    def _find(self, text: str, base: str) -> tuple[str | None, str]:
        if text.startswith("#"):
            return None, "contained"
        if text.startswith("urn:"):
            key = self._key_of(text)
            return key, "urn" if key else "ambiguous" if text in self._by_url else "unresolved"
        if _SCHEME.match(text):
            return self._find_absolute(text, base)
        if CONDITIONAL.fullmatch(text):
            return None, "conditional"
        literal = _LITERAL.fullmatch(text)
        if literal is None:
            return None, "unresolved"
        key = literal["key"]
        if base and base + key in self._by_url:
            under_base = self._key_of(base + key)
            return under_base, "relative" if under_base else "ambiguous"
        if key in self._shared:
            return self._called(key)
        return key, "fallback" if self._named.get(key, 2) < (2 if base else 1) else "relative"

    def _find_absolute(self, text: str, base: str) -> tuple[str | None, str]:
        restful = _RESTFUL.fullmatch(text)
        url = restful["base"] + restful["key"] if restful else text
        key = self._key_of(url) or self._key_of(text)
        if key:
            return key, "full_url"
        if url in self._by_url or text in self._by_url:
            return None, "ambiguous"
        if restful and restful["base"] == base:
            return self._called(restful["key"]) if restful["key"] in self._shared else (restful["key"], "relative")
        return None, "absolute"

    def _called(self, key: str) -> tuple[str | None, str]:
        """The one entry that is called so, though its key is another."""
        keys = self._shared[key]
        return (None, "ambiguous") if len(keys) > 1 else (next(iter(keys)), "fallback")


class Question(Protocol):
    """Something that depends on what references mean."""

    @property
    def inward(self) -> bool:
        """Whether one of them points into the entry, so that no other entry has the same answer."""

    def ask(self, resolve: "EntryReferences") -> Any:
        """The answer."""

    def __hash__(self) -> int: ...


class _Answer(msgspec.Struct, gc=False, eq=False):
    value: Any
    open_ends: Sequence[OpenEnd] = ()
    candidates: int | None = None


_NO_ANSWER = _Answer(None)


class ObjectReferences:
    """Resolves the references of one object, and remembers the answers.

    Args:
        resolver: of the object.
        known: resources of other objects that references may mean.
    """

    def __init__(self, resolver: Resolver, known: Known) -> None:
        self.resolver, self.known = resolver, known
        self._answers: dict[str, dict[Question, _Answer]] = {}

    def answers(self, questions: Sequence[Question | None], full_url: str | None) -> list[_Answer]:
        """The answers to the questions of entries with a fullUrl of this base; those that point inward are put off."""
        known = self._answers.setdefault(base_of(full_url), {})
        if len(known) >= _MOST_ANSWERS:
            known.clear()
        found = []
        for question in questions:
            if question is None or question.inward:
                found.append(_NO_ANSWER)
                continue
            answer = known.get(question)
            if answer is None:
                answer = known[question] = self.answer(question, full_url, _NOTHING)
            found.append(answer)
        return found

    def answer(self, question: Question, full_url: str | None, inside: Mapping[str, str]) -> _Answer:
        """The answer to a question of one entry.

        Args:
            question: what depends on its references.
            full_url: of the entry.
            inside: the keys of the resources that it contains, by `#id`; its own by `#`.
        """
        asked = EntryReferences(self, full_url, inside)
        return _Answer(question.ask(asked), asked.open_ends, asked.candidates)


class LotReferences:
    """Resolves the references of several entries whose fullUrls have one base, and remembers what leads out.

    Args:
        of: the references of their object.
        full_urls: of the entries.
        inside: what each contains, see `ObjectReferences.answer`; empty: none contains anything.

    Attributes:
        open_ends: of each question: what leads out, by answer, and which answer each entry has.
        candidates: of each entry, how many resources the caller knows that they could mean; negative: none leads out.
    """

    def __init__(
        self, of: ObjectReferences, full_urls: Sequence[str | None], inside: Sequence[Mapping[str, str]] = ()
    ) -> None:
        self.open_ends: list[tuple[list[Sequence[OpenEnd]], Codes]] = []
        self.candidates = np.full(len(full_urls), -1)
        self._of, self._full_urls, self._inside = of, full_urls, inside

    def answer(self, questions: Sequence[Question | None], codes: Codes) -> tuple[list[Any], Codes]:
        """The answers, None where nothing is asked, and which one each entry has.

        Args:
            questions: each once.
            codes: which one each entry asks.
        """
        answers = self._of.answers(questions, self._full_urls[0])
        if inward := [number for number, question in enumerate(questions) if question and question.inward]:
            codes = codes.copy()
            for entry in np.flatnonzero(np.isin(codes, inward)).tolist():
                question, inside = questions[codes[entry]], self._inside[entry] if self._inside else _NOTHING
                codes[entry] = len(answers)
                if question:
                    answers.append(self._of.answer(question, self._full_urls[entry], inside))
        if any(answer.candidates is not None for answer in answers):
            known = np.array([-1 if answer.candidates is None else answer.candidates for answer in answers])[codes]
            self.candidates = np.where(known < 0, self.candidates, np.maximum(self.candidates, 0) + known)
            self.open_ends.append(([answer.open_ends for answer in answers], codes))
        return [answer.value for answer in answers], codes


class EntryReferences(msgspec.Struct, gc=False, eq=False):
    """Resolves the references of one entry, and remembers which of them lead out of the object.

    Attributes:
        of: the references of the object.
        full_url: of the entry.
        inside: the keys of the resources that the entry contains, by `#id`; its own by `#`.
        open_ends: (type if said, target or text, how) of each; one that is asked for twice is there twice.
        candidates: how many resources the caller knows that they could mean; None: none leads out.
    """

    of: ObjectReferences
    full_url: str | None
    inside: Mapping[str, str]
    open_ends: list[OpenEnd] = []
    candidates: int | None = None

    def __call__(self, reference: Reference) -> Resolved | None:
        """Resolve one reference; see `Resolver.resolve`."""
        resolved = self.of.resolver.resolve(reference, self.full_url)
        if resolved and resolved.how == "contained":
            return self._within(resolved)
        if resolved is None or resolved.key or resolved.how not in OPEN_ENDS:
            return resolved
        type_, target = target_type(reference), target_of(reference)
        self.open_ends.append((type_, target or text_of(reference), resolved.how))
        keys = self.of.known.get((type_ or "", target), ()) if target else ()
        self.candidates = (self.candidates or 0) + len(keys)
        return resolved._replace(key=keys[0]) if len(keys) == 1 else resolved

    def link(self, url: str) -> Resolved | None:
        """Resolve an element of type url: as FHIR says, an entry's fullUrl or an address relative to it.

        A web page is no open end: nothing comes in for it.
        """
        resolved = self.of.resolver.resolve(Reference(reference=url), self.full_url)
        return self._within(resolved) if resolved and resolved.how == "contained" else resolved

    def _within(self, resolved: Resolved) -> Resolved:
        return resolved._replace(key=self.inside.get(resolved.reference or ""))


def target_of(reference: Reference) -> str | None:
    """What a reference that leads out of its object asks for: a URL, or `identifier=system|value`; else None.

    Only searches by one identifier have a target: others may come to mean something else as data comes in.
    """
    if reference.reference is not None:
        return asked_for(reference.reference)[1]
    identifier = reference.identifier
    return f"identifier={identifier.system or ''}|{identifier.value}" if identifier and identifier.value else None


def target_type(reference: Reference) -> str | None:
    """The type that a reference says it points to, if it says so."""
    return (asked_for(reference.reference)[0] if reference.reference else None) or reference.type


@lru_cache(maxsize=4096)  # the practice and its doctors are referred to again and again
def asked_for(text: str) -> tuple[str | None, str | None]:
    """The type and the target that the text of a reference says; None: it says none."""
    if _SCHEME.match(text):
        restful = _RESTFUL.fullmatch(text)
        return restful["key"].partition("/")[0] if restful else None, text.partition("/_history/")[0]
    conditional = CONDITIONAL.fullmatch(text)
    if conditional is None:
        return None, None
    search = parse_qsl(text.partition("?")[2])
    return conditional[1], f"identifier={search[0][1]}" if [name for name, _ in search] == ["identifier"] else None


def text_of(reference: Reference) -> str:
    """A reference as one text: as sent, or `system|value` of its identifier."""
    identifier = reference.identifier or Identifier()
    return reference.reference or f"{identifier.system or ''}|{identifier.value or ''}"


def base_of(full_url: str | None) -> str:
    """The address of the server that a fullUrl names; empty: none."""
    if full_url is None or full_url.startswith("urn:"):
        return ""
    restful = _RESTFUL.fullmatch(full_url)
    return restful["base"] if restful else ""
