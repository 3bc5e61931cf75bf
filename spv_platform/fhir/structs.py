"""Reading what is surely valid: structs derived from the models of `fhir.resources`.

They take a resource only if the contract would, and hand it over read, element by element. Whatever these structs do
not take is for the contract's second opinion, so no verdict depends on them; they only have to be stricter. What
belongs here: deriving structs from the elements of the models (names, cardinality, what is required, choices, value
sets, targets of references, the lexical rules of the primitive types in FHIR R4, "Data Types"). What does not: what of
JSON a struct does not see (`texts`), problems and their places (`contract`).
"""

import string
import sys
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from types import ModuleType
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from spv_platform.fhir.elements import Element, elements_of
from spv_platform.fhir.lot import NO_EXTENSIONS, Elements, Inside, Lot, Resource, Taken, coded
from spv_platform.fhir.paths import attribute_of
from spv_platform.fhir.texts import DIGITS, ElementTexts, digits_of

#: The days that every month has come first: nearly all are of them.
_DAY = (
    r"(?:(?:19|20)\d\d-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"|(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
_ZONE = r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)"
_PARTIAL = r"(?:19|20)\d\d(?:-(?:0[1-9]|1[0-2]))?"
_TEXT = Annotated[str, Meta(min_length=1)]


def _matching(pattern: str) -> Any:
    return Annotated[str, Meta(pattern=rf"\A(?a:{pattern})\Z")]


#: FHIR's name of a primitive type -> what is taken for it, at most what the models take. Others are left to them.
PRIMITIVES: dict[str, Any] = {
    "base64Binary": Annotated[bytes, Meta(min_length=1)],
    "boolean": bool,
    "canonical": _TEXT,
    "code": _matching(r"[!-~]+(?: [!-~]+)*"),
    "date": _matching(f"{_DAY}|{_PARTIAL}"),
    "dateTime": _matching(f"{_DAY}(?:T{_CLOCK}{_ZONE})?|{_PARTIAL}"),
    "decimal": float,
    "id": Annotated[str, Meta(max_length=64, pattern=r"\A[A-Za-z0-9\-.]+\Z")],
    "instant": _matching(f"{_DAY}T{_CLOCK}{_ZONE}"),
    "integer": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "markdown": _TEXT,
    "positiveInt": Annotated[int, Meta(ge=1, le=2**31 - 1)],
    "string": _TEXT,
    "time": _matching(_CLOCK),
    "unsignedInt": Annotated[int, Meta(ge=0, le=2**31 - 1)],
    "uri": _TEXT,
    "url": _matching(r"https?://(?:[a-z0-9]+\.)+[a-z]{2,}(?::\d{1,4})?(?:/[A-Za-z0-9._~/+-]*)?"),
    "xhtml": _TEXT,
}
#: What is taken in a plain text, see `is_plain`: to look for a pattern takes longer than to read the rest.
_PRIMITIVES_OF_PLAIN = {**PRIMITIVES, "code": _TEXT}
_NEVER = Annotated[str, Meta(pattern=r"(?!)")]

#: The elements whose values are extensions.
EXTENSIONS = ("extension", "modifierExtension")

#: A Coding may stand for a CodeableConcept to those who read: each answers for the other.
_READ_TOO = {"Coding": ("coding",), "CodeableConcept": ("system", "code", "display")}

#: Where structs that hold themselves are looked up by name.
_derived = ModuleType(f"{__name__}.derived")
sys.modules[_derived.__name__] = _derived

#: Combinations of elements that are remembered of one type.
_MOST_SHAPES = 2_000
_MOST_OF_ID = 64
_OF_ID = b"-." + (string.ascii_letters + string.digits).encode()

_elements = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Named(msgspec.Struct):
    type: str = msgspec.field(name="resourceType")
    id: str | None = None


_named = msgspec.json.Decoder(_Named).decode


class Takers:
    """Readers by resource type, each derived when it is first asked for.

    Args:
        model_of: the model of a resource type; None if there is none.
    """

    def __init__(self, model_of: Callable[[str], Any]) -> None:
        self._model_of = model_of
        self._types: dict[str, _Type] = {}
        self._contained = ElementTexts(
            lambda _: self._inside, lambda found: b"[%b]" % b",".join(each.text for each in found)
        )

    def take(self, resource_type: str, text: bytes) -> Resource | None:
        """One resource that is surely valid, read; see `take_all`."""
        taken = next(self.take_all(resource_type, [text]), None)
        return taken[0].resource(0) if taken else None

    def take_all(self, resource_type: str, texts: Sequence[bytes]) -> Iterator[tuple[Lot, list[int]]]:
        """The resources that are surely valid, read, in lots, with their numbers. Of others nothing is said.

        What is taken has no blanks between its tokens, unless it has a backslash.

        Args:
            resource_type: the resources' own resourceType.
            texts: their JSON texts, each nested less deep than `structure.MAX_DEPTH`; if one has a backslash, without
                blanks between the tokens.
        """
        type_ = self._types.get(resource_type) or self._derive(resource_type)
        if type_ is None:
            return
        found: dict[tuple[str, ...], _Alike | None] = {}
        for number, text in enumerate(texts):
            try:
                elements = _elements(text)
            except ValueError:
                continue
            names = tuple(elements)
            try:
                alike = found[names]
            except KeyError:
                shape = type_.shape_of(names)
                alike = found[names] = _Alike(shape, [], []) if shape else None
            if alike is None:
                continue
            parts = list(map(bytes, elements.values()))
            # else a name that comes twice or is escaped, or blanks
            if alike.shape.frame + len(b"".join(parts)) == len(text):
                alike.numbers.append(number)
                alike.parts.append(parts)
        for names, alike in found.items():
            if alike is None or not alike.numbers:
                continue
            columns, taken = _columns(alike.shape, alike.parts)
            lot = Lot(resource_type, names, [texts[number] for number in alike.numbers], alike.parts, columns)
            if taken.all():
                yield lot, alike.numbers
            elif kept := np.flatnonzero(taken).tolist():
                yield lot.only(kept), [alike.numbers[each] for each in kept]

    def derive(self, resource_type: str) -> None:
        """Derive now what would be derived when it is first needed, of a type that has a model."""
        type_ = self._types.get(resource_type) or self._derive(resource_type)
        for known in type_.known.values() if type_ else ():
            if known is not None:
                known.reader(True)

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


#: Types have elements in common.
_shared: dict[Element, ElementTexts] = {}


def _known_of(element: Element) -> ElementTexts:
    number = _is_number(element)
    alike = element._replace(required=False, chosen=False, choice=None if number else element.choice and "")
    if alike not in _shared:

        def reader(plain: bool) -> Callable[[bytes], Any]:
            return digits_of if number else msgspec.json.Decoder(_resolved(_kind(element, plain=plain))).decode

        def listed(plain: bool) -> Callable[[bytes], list[Any]]:
            return msgspec.json.Decoder(list[_resolved(_kind(element, plain=plain))]).decode  # type: ignore[misc]

        _shared[alike] = ElementTexts(
            reader,
            listed=None if number else listed,
            alike=element.primitive not in (None, "code"),
            extends=element.name in EXTENSIONS,
        )
    return _shared[alike]


def _is_number(element: Element) -> bool:
    """Whether it is a decimal whose digits are kept."""
    return element.primitive == "decimal" and not element.many and not element.choice


class _Shape(NamedTuple):
    """What elements a resource has, in their order.

    Attributes:
        known: what is known of each; None: it is the id, of which none comes twice and which no column has.
        frame: the bytes that are not their values.
    """

    known: tuple["ElementTexts | None", ...]
    frame: int


class _Alike(NamedTuple):
    """Resources of one shape: their numbers, and the JSON texts of their elements."""

    shape: _Shape
    numbers: list[int]
    parts: list[list[bytes]]


class _Type:
    """What is known of one type of resource: its elements by name, and the shapes that were asked for."""

    def __init__(self, name: str, model: Any, inside: ElementTexts) -> None:
        elements = _read_of(model)
        self.known: dict[str, ElementTexts | None] = {each.name: _known_of(each) for each in elements}
        self.known["resourceType"] = ElementTexts(lambda _: msgspec.json.Decoder(Literal[name]).decode)
        if "contained" in self.known:
            self.known["contained"] = inside
        self.known["id"] = None
        self._required = {"resourceType", *(each.name for each in elements if each.required)}
        self._choices = [(frozenset(members), least) for members, least in _choices_of(model)]
        self.shapes: dict[tuple[str, ...], _Shape | None] = {}

    def shape_of(self, names: tuple[str, ...]) -> _Shape | None:
        """The shape of these elements; None: a resource that has them is not surely valid."""
        if names in self.shapes:
            return self.shapes[names]
        present = set(names)
        chosen = {name.removeprefix("_") for name in names}
        valid = (
            present <= self.known.keys()
            and present >= self._required
            and all(least <= len(members & present) for members, least in self._choices)
            and all(len(members & chosen) <= 1 for members, _ in self._choices)
        )
        if len(self.shapes) >= _MOST_SHAPES:
            self.shapes.clear()
        shape = None
        if valid:
            frame = len("{}") + sum(len(f'"{name}":,') for name in names) - len(",")
            shape = _Shape(tuple(self.known[name] for name in names), frame)
        self.shapes[names] = shape
        return shape


def _columns(shape: _Shape, resources: Sequence[Sequence[bytes]]) -> tuple[list[Elements], npt.NDArray[np.bool]]:
    """The elements of resources of one shape, and which of these are surely valid."""
    taken = np.ones(len(resources), bool)
    columns = []
    for known, texts in zip(shape.known, zip(*resources, strict=True), strict=True):
        if known is None:
            if not _are_ids(texts):
                taken &= [_are_ids([text]) for text in texts]
            columns.append(Elements([Taken(None, NO_EXTENSIONS)], np.zeros(len(texts), np.int64)))
            continue
        once, codes = coded(texts)
        read = known.read(once)
        values = [value for value in read if value is not None]
        if len(values) < len(read):
            taken &= ~np.isin(codes, [number for number, value in enumerate(read) if value is None])
            values = [value or Taken(None) for value in read]
        columns.append(Elements(values, codes))
    return columns, taken


def _are_ids(texts: Sequence[bytes]) -> bool:
    longest, shortest = max(map(len, texts)), min(map(len, texts))
    signs = b"".join(texts).translate(None, _OF_ID)
    return len('""') < shortest and longest <= _MOST_OF_ID + len('""') and signs == b'""' * len(texts)


class _Choice(NamedTuple):
    """Elements of which so many at least, and one at most, are given."""

    names: list[str]
    least: int


def _read_of(model: Any) -> list[Element]:
    """The elements of a resource's type that are read."""
    # what keeps its place beside a list of primitives is left to the models
    return [each for each in elements_of(model) if not (each.many and each.name.startswith("_"))]


def _read_inside(model: Any) -> list[Element]:
    """Those of the type of an element; what is chosen by an extension alone is left to the models."""
    chosen = {f"_{each.name}" for each in elements_of(model) if each.choice}
    return [each for each in _read_of(model) if each.name not in chosen]


def _choices_of(model: Any) -> list[_Choice]:
    choices: dict[str, _Choice] = {}
    for element in _read_of(model):
        if element.choice:
            names, least = choices.get(element.choice, _Choice([], 0))
            choices[element.choice] = _Choice([*names, element.name], max(least, int(element.chosen)))
    if model.__name__ == "Extension":  # ext-1
        choices["value"].names.append("extension")
    return list(choices.values())


def _resolved(kind: Any) -> Any:
    """A kind whose structs are themselves and not their names."""
    holder = msgspec.defstruct("holder", [("held", kind)], module=_derived.__name__)
    return msgspec.structs.fields(holder)[0].type


def _struct(model: Any, targets: frozenset[str] | None, *, plain: bool) -> str:
    """Make the struct of a type that stands in resources, with those of its elements; its name.

    Args:
        model: of the type.
        targets: of a Reference: the types that it may point to.
        plain: whether it is for plain texts.
    """
    name = "_".join([model.__name__, "plain" if plain else "element", *([] if plain else sorted(targets or ()))])
    if hasattr(_derived, name):
        return name
    setattr(_derived, name, None)  # its elements may hold it
    elements = _read_inside(model)
    fields: list[Any] = []
    numbers: list[str] = []
    for element in elements:
        attribute = attribute_of(element.name)
        kind: Any
        if _is_number(element):
            kind, absent = msgspec.Raw, msgspec.Raw()
            if not plain or element.name != "value":
                numbers.append(attribute)
        elif targets and element.name == "reference" and not plain:
            kind, absent = _pointing_to(targets), None
        else:
            kind, absent = _kind(element, plain=plain), None
        # without null among what is taken
        fields.append((attribute, kind) if element.required else (attribute, kind, absent))
    names = {attribute_of(element.name): element.name for element in elements}
    groups = [
        _Group(attrgetter(*map(attribute_of, members)), len(members), least, 1) for members, least in _choices_of(model)
    ]
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
    return name


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
            if (raw := bytes(getattr(found, name))) and raw[0] not in DIGITS:
                raise ValueError

    return check


def _kind(element: Element, *, plain: bool) -> Any:
    """What is decoded for an element."""
    if element.codes:
        kind: Any = Literal[tuple(sorted(element.codes))]
    elif element.primitive is not None:
        kind = (_PRIMITIVES_OF_PLAIN if plain else PRIMITIVES).get(element.primitive, _NEVER)
    elif element.model is None:
        kind = _NEVER
    else:
        kind = ForwardRef(_struct(element.model, element.targets, plain=plain))
    return Annotated[list[kind], Meta(min_length=1)] if element.many else kind


def _pointing_to(targets: frozenset[str]) -> Any:
    """Text of a reference within the object, or to one of these types."""
    types = "|".join(sorted(targets))
    return Annotated[str, Meta(pattern=rf"\A(?:urn:|#|(?:https?://[^?#]*/)?(?:{types})[/?])")]
