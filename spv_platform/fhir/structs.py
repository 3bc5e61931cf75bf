"""Reading what is surely valid: structs derived from the models of `fhir.resources`.

They take a resource only if the contract would, and hand it over read, element by element. The elements of resources
say the same again and again (a category, a code, whose it is), so the texts that were taken are remembered with what
they came to. Whatever these structs do not take is for the contract's second opinion, so no verdict depends on them;
they only have to be stricter. What belongs here: deriving structs from the elements of the models (names, cardinality,
what is required, choices, value sets, targets of references, the lexical rules of the primitive types in FHIR R4, "Data
Types"), and what of JSON a struct does not see. What does not: problems and their places (`contract`).
"""

import re
import string
import sys
from collections.abc import Callable
from operator import attrgetter, getitem
from types import ModuleType
from typing import Annotated, Any, ClassVar, ForwardRef, Literal, NamedTuple

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

#: Longer texts hardly come twice.
_LONGEST_REMEMBERED = 1_000
#: Bytes of text that are remembered in a process; with what they came to they take about ten times as many.
_MOST_REMEMBERED = 8 * 2**20
#: Combinations of elements that are remembered of one type.
_MOST_SHAPES = 2_000
_MOST_OF_ID = 64
_AN_ID = b'"id"'
_OF_ID = b"-." + (string.ascii_letters + string.digits).encode()

_encode = msgspec.json.Encoder().encode
_elements = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Named(msgspec.Struct):
    type: str = msgspec.field(name="resourceType")
    id: str | None = None


_named = msgspec.json.Decoder(_Named).decode


class Taken(msgspec.Struct, gc=False, eq=False):
    """One element as read.

    Attributes:
        value: absent elements in it are None; of `contained` a list of `Inside`.
        made: what a projection came to for it, see `project`; None: it was not asked.
        extensions: what its extensions say, see `project`; None: it was not asked.
        paths: see `elements_seen`; None: it was not asked.
    """

    value: Any
    made: Any = None
    extensions: Any = None
    paths: Any = None


class Resource(msgspec.Struct, gc=False, eq=False):
    """A resource as read: its elements' names, their JSON texts (none if it was not taken here), what they hold."""

    names: tuple[str, ...]
    texts: list[bytes]
    elements: list[Taken]


class Inside(NamedTuple):
    """A contained resource: its type, its id, its JSON text, itself if it was read."""

    type: str
    id: str | None
    text: bytes
    resource: Resource | None


class Takers:
    """Readers by resource type, each derived when it is first asked for.

    Args:
        model_of: the model of a resource type; None if there is none.
    """

    def __init__(self, model_of: Callable[[str], Any]) -> None:
        self._model_of = model_of
        self._types: dict[str, _Type] = {}
        self._contained = _Known(self._inside, lambda found: b"[%b]" % b",".join(each.text for each in found))

    def take(self, resource_type: str, text: bytes) -> Resource | None:
        """A resource that is surely valid, read. None: nothing is said of it.

        What is taken has no blanks between its tokens, unless it has a backslash.

        Args:
            resource_type: the resource's own resourceType.
            text: its JSON text, nested less deep than `structure.MAX_DEPTH`; if it has a backslash, without blanks
                between the tokens.
        """
        type_ = self._types.get(resource_type)
        if type_ is None:
            type_ = self._derive(resource_type)
            if type_ is None:
                return None
        try:
            found = _elements(text)
            names = tuple(found)
            shape = type_.shapes.get(names)
            if shape is None:
                shape = type_.shape_of(names)
            texts = list(map(bytes, found.values()))
            if shape.frame + sum(map(len, texts)) != len(text):
                return None  # a name that comes twice or is escaped, or blanks
            if shape.id is not None:
                if texts[shape.id].translate(None, _OF_ID) != b'""' or not 2 < len(texts[shape.id]) <= _MOST_OF_ID + 2:
                    return None
                texts[shape.id] = _AN_ID  # none comes twice, and no column has it
            return Resource(names, texts, list(map(getitem, shape.known, texts)))
        except ValueError:
            return None

    def _derive(self, resource_type: str) -> "_Type | None":
        model = self._model_of(resource_type)
        if model is None:
            return None
        found = self._types[resource_type] = _Type(resource_type, model, self._contained)
        return found

    def _inside(self, text: bytes) -> list[Inside]:
        """The resources of an element `contained`.

        Raises:
            ValueError: it is not surely valid.
        """
        found = []
        raws = _list(text)
        if not raws:
            raise ValueError
        for raw in map(bytes, raws):
            named = _named(raw)
            resource = self.take(named.type, raw)
            if resource is None or "contained" in resource.names:
                raise ValueError
            found.append(Inside(named.type, named.id, raw, resource))
        return found


class _Known(dict[bytes, Taken]):
    """The texts of one element that were taken. Others are read when they are asked for; ValueError: not taken."""

    spent = 0
    everywhere: ClassVar[list["_Known"]] = []

    def __init__(self, read: Callable[[bytes], Any], write: Callable[[Any], bytes] = _encode) -> None:
        self._read, self._write = read, write
        self.everywhere.append(self)

    def __missing__(self, text: bytes) -> Taken:
        escaped = b"\\" in text  # to look for one byte is many times faster than for two
        if (escaped and _HIDING.search(text)) or ((escaped or not text.isascii()) and _BLANK.search(text)):
            raise ValueError
        if b"{}" in text:
            raise ValueError
        value = self._read(text)
        if not text.startswith(b'"') and not _is_all_of(self._write(value), text):
            raise ValueError
        taken = Taken(value)
        if len(text) > _LONGEST_REMEMBERED:
            return taken
        _Known.spent += len(text)
        if _Known.spent > _MOST_REMEMBERED:
            for each in self.everywhere:
                each.clear()
            _Known.spent = len(text)
        self[text] = taken
        return taken


#: By name and kind: types have elements in common.
_shared: dict[tuple[str, Any], _Known] = {}


def _known_of(name: str, kind: Any) -> _Known:
    key = name, kind
    if key not in _shared:
        _shared[key] = _Known(_number if kind is msgspec.Raw else msgspec.json.Decoder(_resolved(kind)).decode)
    return _shared[key]


class _Shape(NamedTuple):
    """What elements a resource has, in their order.

    Attributes:
        known: what is known of each.
        frame: the bytes that are not their values.
        id: place of the id; None: it has none.
    """

    known: tuple[dict[bytes, Taken], ...]
    frame: int
    id: int | None


class _Type:
    """What is known of one type of resource; `shapes` are those that were asked for."""

    def __init__(self, name: str, model: Any, inside: _Known) -> None:
        fields = _fields_of(model)
        self._known: dict[str, dict[bytes, Taken]] = {
            each.name: _known_of(each.name, each.kind) for each in fields.each
        }
        self._known["resourceType"] = _known_of("resourceType", Literal[name])
        if "contained" in self._known:
            self._known["contained"] = inside
        self._known["id"] = {_AN_ID: Taken(None)}
        self._required = {"resourceType", *(each.name for each in fields.each if each.required)}
        names = {each.attribute: each.name for each in fields.each}
        self._choices = [(frozenset(map(names.__getitem__, each.members)), each.least) for each in fields.choices]
        self.shapes: dict[tuple[str, ...], _Shape] = {}

    def shape_of(self, names: tuple[str, ...]) -> _Shape:
        """The shape of these elements.

        Raises:
            ValueError: a resource that has them is not surely valid.
        """
        present = set(names)
        if not (
            present <= self._known.keys()
            and present >= self._required
            and all(least <= len(members & present) <= 1 for members, least in self._choices)
        ):
            raise ValueError
        if len(self.shapes) >= _MOST_SHAPES:
            self.shapes.clear()
        frame = len("{}") + sum(len(f'"{name}":,') for name in names) - len(",")
        shape = self.shapes[names] = _Shape(
            tuple(self._known[name] for name in names), frame, names.index("id") if "id" in present else None
        )
        return shape


def _number(text: bytes) -> msgspec.Raw:
    """A decimal whose digits are kept."""
    if text[0] not in _DIGITS:
        raise ValueError
    return msgspec.Raw(text)


def _is_all_of(written: bytes, text: bytes) -> bool:
    """Whether what was read is all that stands there: of a name that comes twice, one value is left."""
    # Written again it can only be shorter: by such a name, or by a character that was escaped without need.
    return len(written) == len(text) or (b"\\" in text and written.count(_END_OF_NAME) == text.count(_END_OF_NAME))


class _Field(NamedTuple):
    """An element as a field of a struct; `number`: a decimal whose digits are kept."""

    attribute: str
    name: str
    kind: Any
    required: bool
    number: bool


class _Choice(NamedTuple):
    """Fields of which so many at least, and one at most, are given."""

    members: list[str]
    least: int


class _Fields(NamedTuple):
    each: list[_Field]
    choices: list[_Choice]


def _fields_of(model: Any, targets: frozenset[str] | None = None) -> _Fields:
    """The fields of a type's struct; the structs of its elements are made with it.

    Args:
        model: of the type.
        targets: of a Reference: the types that it may point to.
    """
    fields: list[_Field] = []
    choices: dict[str, list[str]] = {}
    chosen: set[str] = set()
    for element in elements_of(model):
        if element.many and element.name.startswith("_"):
            continue  # keeps its place beside a list of primitives: left to the models
        attribute = attribute_of(element.name)
        if element.choice:
            choices.setdefault(element.choice, []).append(attribute)
            if element.chosen:
                chosen.add(element.choice)
        number = element.primitive == "decimal" and not element.many and not element.choice
        kind: Any
        if number:
            kind = msgspec.Raw
        elif targets and element.name == "reference":
            kind = _pointing_to(targets)
        else:
            kind = _kind(element)
        fields.append(_Field(attribute, element.name, kind, element.required, number))
    if model.__name__ == "Extension":  # ext-1
        choices["value"].append("extension")
    return _Fields(fields, [_Choice(members, int(choice in chosen)) for choice, members in choices.items()])


def _resolved(kind: Any) -> Any:
    """A kind whose structs are themselves and not their names."""
    holder = msgspec.defstruct("holder", [("held", kind)], module=_derived.__name__)
    return msgspec.structs.fields(holder)[0].type


def _struct(model: Any, targets: frozenset[str] | None = None) -> None:
    """Make the struct of a type that stands in resources; see `_fields_of`."""
    name = _name_of(model, targets)
    if hasattr(_derived, name):
        return
    setattr(_derived, name, None)  # its elements may hold it
    each, choices = _fields_of(model, targets)
    fields: list[Any] = [  # without null among what is taken
        (field.attribute, field.kind)
        if field.required
        else (field.attribute, field.kind, msgspec.Raw() if field.number else None)
        for field in each
    ]
    names = {field.attribute: field.name for field in each}
    groups = [_Group(attrgetter(*members), len(members), least, 1) for members, least in choices]
    if model.__name__ == "FHIRPrimitiveExtension":  # it must have something
        groups.append(_Group(attrgetter(*names), len(names), 1, len(names)))
    numbers = [field.attribute for field in each if field.number]
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
