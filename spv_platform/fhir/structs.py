"""Reading what is surely valid: structs derived from the models of `fhir.resources`.

They take a resource only if the contract would, and hand it over read.
Whatever these structs do not take is for the contract's second opinion, so no verdict depends on them; they only have
to be stricter. What belongs here: deriving structs from the elements of the models (names, cardinality, what is
required, choices, value sets, targets of references, the lexical rules of the primitive types in FHIR R4, "Data
Types"), and what of JSON a struct does not see. What does not: problems and their places (`contract`).
"""

import re
import sys
from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple

import msgspec
from msgspec import Meta

from spv_platform.fhir.elements import Element, elements_of
from spv_platform.fhir.paths import attribute_of

#: The days that every month has come first: nearly all are of them.
_DAY = (
    r"(?:(?:19|20)\d\d-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"|(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
_ZONE = r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)"
_PARTIAL = r"(?:19|20)\d\d(?:-(?:0[1-9]|1[0-2]))?"


def _matching(pattern: str) -> Any:
    return Annotated[str, Meta(pattern=rf"\A(?a:{pattern})\Z")]


#: FHIR's name of a primitive type -> what is taken for it, at most what the models take. Others are left to them.
PRIMITIVES: dict[str, Any] = {
    "base64Binary": _matching(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
    "boolean": bool,
    "canonical": str,
    "code": _matching(r"[!-~]+(?: [!-~]+)*"),
    "date": _matching(f"{_DAY}|{_PARTIAL}"),
    "dateTime": _matching(f"{_DAY}(?:T{_CLOCK}{_ZONE})?|{_PARTIAL}"),
    "decimal": float,
    "id": Annotated[str, Meta(max_length=64, pattern=r"\A[A-Za-z0-9\-.]+\Z")],
    "instant": _matching(f"{_DAY}T{_CLOCK}{_ZONE}"),
    "integer": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "markdown": str,
    "positiveInt": Annotated[int, Meta(ge=1, le=2**31 - 1)],
    "string": Annotated[str, Meta(min_length=1)],
    "time": _matching(_CLOCK),
    "unsignedInt": Annotated[int, Meta(ge=0, le=2**31 - 1)],
    "uri": str,
    "url": _matching(r"https?://(?:[a-z0-9]+\.)+[a-z]{2,}(?::\d{1,4})?(?:/[A-Za-z0-9._~/+-]*)?"),
    "xhtml": str,
}
_NEVER = Annotated[str, Meta(pattern=r"(?!)")]

#: Escapes of a quotation mark, a backslash, a NUL or half a character.
_HIDING = re.compile(rb"\\u(?:00(?:00|22|5[cC])|[dD][89a-fA-F])")
#: A text of nothing but blanks is empty to the models; those that are none of JSON's come escaped or in UTF-8.
_BLANK = re.compile(
    rb'"(?: |\\[bfnrt]|\\u(?:00(?:[01][0-9a-fA-F]|20|85|[aA]0)|1680|20[0-2][0-9a-fA-F]|205[fF]|3000)'
    rb'|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)+"'
)
_END_OF_NAME = b'":'
_DIGITS = frozenset(b"-0123456789")

#: A Coding may stand for a CodeableConcept to those who read: each answers for the other.
_READ_TOO = {"Coding": ("coding",), "CodeableConcept": ("system", "code", "display")}

#: Where structs that hold themselves are looked up by name.
_derived = ModuleType(f"{__name__}.derived")
sys.modules[_derived.__name__] = _derived

_encode = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    type: str = msgspec.field(name="resourceType")


_named = msgspec.json.Decoder(_Named).decode


class Takers:
    """Decoders by resource type, each derived when it is first asked for.

    Args:
        model_of: the model of a resource type; None if there is none.
    """

    def __init__(self, model_of: Callable[[str], Any]) -> None:
        self._model_of = model_of
        self._decoders: dict[str, Callable[[bytes], Any] | None] = {}

    def take(self, resource_type: str, text: bytes) -> Any:
        """A resource that is surely valid, read: absent elements are None. None: nothing is said of it.

        Args:
            resource_type: the resource's own resourceType.
            text: its JSON text, without blanks between the tokens, nested less deep than `structure.MAX_DEPTH`.
        """
        # to look for one byte is many times faster than for two
        escaped = b"\\" in text
        if (escaped and _HIDING.search(text)) or ((escaped or not text.isascii()) and _BLANK.search(text)):
            return None
        if b"{}" in text:
            return None
        return self._take(resource_type, text)

    def _take(self, resource_type: str, text: bytes) -> Any:
        decode = self._decoder(resource_type)
        if decode is None:
            return None
        try:
            resource = decode(text)
        except ValueError:
            return None
        if resource.resource_type != resource_type or not _is_all_of(_encode(resource), text):
            return None
        for each in getattr(resource, "contained", None) or ():
            if not self._take_contained(bytes(each)):
                return None
        return resource

    def _take_contained(self, text: bytes) -> bool:
        try:
            named = _named(text)
        except ValueError:
            return False
        resource = self._take(named.type, text)
        return resource is not None and getattr(resource, "contained", None) is None

    def _decoder(self, resource_type: str) -> Callable[[bytes], Any] | None:
        if resource_type not in self._decoders:
            model = self._model_of(resource_type)
            struct = _struct(model, resource=True) if model else None
            self._decoders[resource_type] = msgspec.json.Decoder(struct).decode if struct else None
        return self._decoders[resource_type]


def _is_all_of(written: bytes, text: bytes) -> bool:
    """Whether what was read is all that stands there: of a name that comes twice, one value is left."""
    # Written again it can only be shorter: by such a name, or by a character that was escaped without need.
    return len(written) == len(text) or (b"\\" in text and written.count(_END_OF_NAME) == text.count(_END_OF_NAME))


def _struct(model: Any, targets: frozenset[str] | None = None, *, resource: bool = False) -> Any:
    """The struct of a model; those of its elements are made with it.

    Args:
        model: of a type.
        targets: of a Reference: the types that it may point to.
        resource: whether it stands as a resource, with its resourceType.
    """
    name = model.__name__ if resource else _name_of(model, targets)
    if hasattr(_derived, name):
        return getattr(_derived, name)
    setattr(_derived, name, None)  # its elements may hold it
    fields: list[Any] = [("resource_type", str)] if resource else []
    names = {"resource_type": "resourceType"} if resource else {}
    choices: dict[str, list[str]] = {}
    chosen: set[str] = set()
    numbers: list[str] = []
    for element in elements_of(model):
        if element.many and element.name.startswith("_"):
            continue  # keeps its place beside a list of primitives: left to the models
        attribute = attribute_of(element.name)
        names[attribute] = element.name
        if element.choice:
            choices.setdefault(element.choice, []).append(attribute)
            if element.chosen:
                chosen.add(element.choice)
        if element.primitive == "decimal" and not element.many and not element.choice:
            # its digits are kept
            numbers.append(attribute)
            fields.append((attribute, msgspec.Raw) if element.required else (attribute, msgspec.Raw, msgspec.Raw()))
            continue
        kind = _pointing_to(targets) if targets and element.name == "reference" else _kind(element)
        fields.append(
            (attribute, kind) if element.required else (attribute, kind, None)
        )  # without null among what is taken
    if "value" in choices and "extension" in names:  # ext-1
        choices["value"].append("extension")
    groups = [_Group(attrgetter(*members), len(members), choice in chosen, 1) for choice, members in choices.items()]
    if model.__name__ == "FHIRPrimitiveExtension":  # it must have something
        groups.append(_Group(attrgetter(*names), len(names), 1, len(names)))
    namespace: dict[str, Any] = dict.fromkeys(_READ_TOO.get(model.__name__, ()))
    if groups or numbers:
        namespace["__post_init__"] = _counted(groups, numbers)
    struct = msgspec.defstruct(
        name,
        sorted(fields, key=len),
        rename=names,
        namespace=namespace,
        forbid_unknown_fields=True,
        omit_defaults=True,
        gc=False,
        module=_derived.__name__,
    )
    setattr(_derived, name, struct)
    return struct


def _name_of(model: Any, targets: frozenset[str] | None) -> str:
    return "_".join([model.__name__, "element", *sorted(targets or ())])


class _Group(NamedTuple):
    """Fields of which so many at least and at most are given."""

    values: Callable[[Any], tuple[Any, ...]]
    fields: int
    least: int
    most: int


def _counted(groups: list[_Group], numbers: list[str]) -> Callable[[Any], None]:
    def check(found: Any) -> None:
        for values, fields, least, most in groups:
            if not least <= fields - values(found).count(None) <= most:
                raise ValueError
        for name in numbers:
            if (raw := bytes(getattr(found, name))) and raw[0] not in _DIGITS:
                raise ValueError

    return check


def _kind(element: Element) -> Any:
    """What is decoded for an element."""
    if element.name == "contained":
        return Annotated[list[msgspec.Raw], Meta(min_length=1)]
    if element.codes:
        kind: Any = Literal[tuple(sorted(element.codes))]
    elif element.primitive is not None:
        kind = PRIMITIVES.get(element.primitive, _NEVER)
    elif element.model is None:
        kind = _NEVER
    else:
        _struct(element.model, element.targets)
        kind = ForwardRef(_name_of(element.model, element.targets))
    return Annotated[list[kind], Meta(min_length=1)] if element.many else kind


def _pointing_to(targets: frozenset[str]) -> Any:
    """Text of a reference within the object, or to one of these types."""
    types = "|".join(sorted(targets))
    return Annotated[str, Meta(pattern=rf"\A(?:urn:|#|(?:https?://[^?#]*/)?(?:{types})[/?])")]
