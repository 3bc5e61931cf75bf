"""A quick yes: structs derived from the models of `fhir.resources`, which take a resource only if the models would.

Whatever these structs do not take is for the models to judge, so no verdict depends on them; they only have to be
stricter. What belongs here: deriving structs from the fields of the models (names, cardinality, what is required,
choices, the lexical rules of the primitive types in FHIR R4, "Data Types"), and what of JSON a struct does not see.
What does not: problems and their places (`contract`).
"""

import re
import sys
from collections.abc import Callable
from operator import attrgetter
from types import ModuleType, NoneType
from typing import Annotated, Any, ForwardRef, NamedTuple, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

_DAY = (
    r"(?:(?:19|20)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))|(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
_ZONE = r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)"
_PARTIAL = r"(?:19|20)\d\d(?:-(?:0[1-9]|1[0-2]))?"


def _matching(pattern: str) -> Any:
    return Annotated[str, Meta(pattern=rf"\A(?a:{pattern})\Z")]


#: FHIR's name of a primitive type -> what is taken for it, at most what the models take. Others are left to them.
PRIMITIVES: dict[str, Any] = {
    "base64Binary": _matching(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
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
#: Fields of the models that stand in no resource.
_OURS = frozenset({"fhir_comments", "resource_type"})

#: Escapes that may hide a quotation mark, a NUL, a blank that is none of JSON's, or half a character.
_HIDING = re.compile(
    rb"\\f|\\u(?:00(?:[01][0-9a-fA-F]|2[02]|5[cC]|85|[aA]0)|1680|20[0-2][0-9a-fA-F]|205[fF]|3000|[dD][89a-fA-F])"
)
#: The same blanks in UTF-8: a text of nothing else is empty to the models.
_BLANKS = re.compile(rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80")
_QUOTE_BLANK = (b'" ', b'"\n', b'"\t', b'"\r')
_LATE_COLON = re.compile(rb'"[ \t\r\n]+:')
_END_OF_NAME = b'":'

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

    def take(self, resource_type: str, raw: bytes) -> bool:
        """Whether a resource is surely valid. If not, nothing is said of it.

        Args:
            resource_type: the resource's own resourceType.
            raw: its JSON text.
        """
        return _hides_nothing(raw) and self._take(resource_type, raw)

    def _take(self, resource_type: str, raw: bytes) -> bool:
        decode = self._decoder(resource_type)
        if decode is None:
            return False
        try:
            resource = decode(raw)
        except ValueError:
            return False
        # Of a name that comes twice one value is left, so what was decoded has fewer names.
        if resource.resourceType != resource_type or raw.count(_END_OF_NAME) != _encode(resource).count(_END_OF_NAME):
            return False
        contained = getattr(resource, "contained", None) or ()
        return all(self._take_contained(bytes(each)) for each in contained)

    def _take_contained(self, raw: bytes) -> bool:
        try:
            named = _named(raw)
        except ValueError:
            return False
        return self._take(named.type, raw)

    def _decoder(self, resource_type: str) -> Callable[[bytes], Any] | None:
        if resource_type not in self._decoders:
            model = self._model_of(resource_type)
            struct = _struct(model, resource=True) if model else None
            self._decoders[resource_type] = msgspec.json.Decoder(struct).decode if struct else None
        return self._decoders[resource_type]


def _hides_nothing(raw: bytes) -> bool:
    """Whether texts mean what their bytes say, and every name ends in a quotation mark and a colon."""
    if (b"\\u" in raw or b"\\f" in raw) and _HIDING.search(raw):  # the plain search is many times faster
        return False
    if not raw.isascii() and _BLANKS.search(raw):
        return False
    return not (any(pair in raw for pair in _QUOTE_BLANK) and _LATE_COLON.search(raw))


def _struct(model: Any, *, resource: bool = False) -> Any:
    """The struct of a model; those of its elements are made with it."""
    name = model.__name__ + ("" if resource else "_element")
    if hasattr(_derived, name):
        return getattr(_derived, name)
    setattr(_derived, name, None)  # its elements may hold it
    fields: list[Any] = [("resourceType", str)] if resource else []
    names: dict[str, str] = {}
    choices: dict[str, list[str]] = {}
    needed: set[str] = set()
    for field, info in model.model_fields.items():
        if field in _OURS:
            continue
        # Names of FHIR may be words of Python.
        attribute = field if field == "contained" else f"f{len(names)}"
        names[attribute] = info.alias or field
        extra = info.json_schema_extra or {}
        if choice := extra.get("one_of_many"):
            choices.setdefault(choice, []).append(attribute)
            if extra["one_of_many_required"]:
                needed.add(choice)
        kind = list[msgspec.Raw] if field == "contained" else _kind(info.annotation)
        if info.is_required() or extra.get("element_required"):
            fields.append((attribute, kind))
        else:
            fields.append((attribute, kind | UnsetType, UNSET))
    groups = [_Group(attrgetter(*members), len(members), choice in needed, 1) for choice, members in choices.items()]
    if model.__name__ == "FHIRPrimitiveExtension":  # it must have something
        groups.append(_Group(attrgetter(*names), len(names), 1, len(names)))
    struct = msgspec.defstruct(
        name,
        sorted(fields, key=len),
        rename=names,
        namespace={"__post_init__": _counted(groups)} if groups else {},
        forbid_unknown_fields=True,
        gc=False,
        module=_derived.__name__,
    )
    setattr(_derived, name, struct)
    return struct


class _Group(NamedTuple):
    """Fields of which so many at least and at most are given."""

    values: Callable[[Any], tuple[Any, ...]]
    fields: int
    least: int
    most: int


def _counted(groups: list[_Group]) -> Callable[[Any], None]:
    def check(found: Any) -> None:
        for values, fields, least, most in groups:
            if not least <= fields - values(found).count(UNSET) <= most:
                raise ValueError

    return check


def _kind(annotation: Any) -> Any:
    """What is decoded where the models have this annotation."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = [part.__visit_name__ for part in parts if hasattr(part, "__visit_name__")]
        return PRIMITIVES.get(named[0], _NEVER) if named else _NEVER
    if origin is list:
        return list[_item(parts[0])]  # type: ignore[misc]
    if parts:
        (annotation,) = (part for part in parts if part is not NoneType)
        return _kind(annotation)
    if annotation is bool:
        return bool
    if not hasattr(annotation, "get_model_klass") or annotation._model_klass.endswith((".Resource", ".Element")):
        return _NEVER
    model = annotation.get_model_klass()
    _struct(model)
    return ForwardRef(f"{model.__name__}_element")


def _item(annotation: Any) -> Any:
    # A null keeps the place of a primitive that has extensions only.
    return _kind(annotation) | None if NoneType in get_args(annotation) else _kind(annotation)
