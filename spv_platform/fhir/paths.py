"""The source paths of table descriptions, compiled: one msgspec struct a table, one getter a column.

A getter goes through what `structs` reads as well, whose attributes have the same names. The grammar is that of
`lake.tables`: dotted element names, `a|b` for the first alternative that is present, `extension(URL)` for the
extensions with that url. A struct has exactly the elements that some path names, so a reader skips all else.
"""

import keyword
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from spv_platform.fhir import datatypes
from spv_platform.fhir.elements import elements_of

_STEP = re.compile(r"(\w+)(?:\(([^)]*)\))?(?:\.|$)")

_CAPITAL = re.compile(r"(?<!^)([A-Z])")

#: Logical column type -> what one value of it is in JSON.
LEAVES: dict[str, Any] = {
    "string": str,
    "strings": str,
    "boolean": bool,
    "integer": datatypes.Integer,
    "decimal": msgspec.Raw,
    "time": str,
    "period": datatypes.Period,
    "codings": datatypes.Concept,
    "reference": datatypes.Reference,
    "references": datatypes.Reference,
    "links": str,
    "quantity": datatypes.Quantity,
    "components": datatypes.Component,
    "component_values": datatypes.Component,
    "identifiers": datatypes.Identifier,
    "names": datatypes.HumanName,
    "addresses": datatypes.Address,
    "places": datatypes.Address,
    "telecoms": datatypes.ContactPoint,
}

_TEXTS = frozenset(
    {"canonical", "code", "date", "dateTime", "id", "instant", "markdown", "oid", "string", "time"}
    | {"uri", "url", "uuid", "xhtml"}
)
#: Logical column type -> the types of FHIR that it is made of.
_TYPES: dict[str, frozenset[str]] = {
    "string": _TEXTS,
    "strings": _TEXTS,
    "boolean": frozenset({"boolean"}),
    "integer": frozenset({"integer", "positiveInt", "unsignedInt"}),
    "decimal": frozenset({"decimal"}),
    "time": frozenset({"date", "dateTime", "instant"}),
    "period": frozenset({"Period"}),
    "codings": frozenset({"CodeableConcept", "Coding"}),
    "reference": frozenset({"Reference"}),
    "references": frozenset({"Reference"}),
    "links": frozenset({"canonical", "uri", "url"}),
    "quantity": frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity"}),
    "components": frozenset({"ObservationComponent"}),
    "component_values": frozenset({"ObservationComponent"}),
    "identifiers": frozenset({"Identifier"}),
    "names": frozenset({"HumanName"}),
    "addresses": frozenset({"Address"}),
    "places": frozenset({"Address"}),
    "telecoms": frozenset({"ContactPoint"}),
}

#: Gives all values below the value of a path's first element, in order; empty when there are none.
Getter = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Step:
    """One element of a path: its FHIR name, its attribute in the struct, the extension url it must have."""

    element: str
    url: str | None

    @property
    def attribute(self) -> str:
        """A Python name for the element."""
        return attribute_of(self.element)


@dataclass
class _Node:
    leaf: Any = None
    children: dict[str, "_Node"] = field(default_factory=dict)


def attribute_of(element: str) -> str:
    """A Python name for an element, as all structs have it."""
    extended, element = element.startswith("_"), element.removeprefix("_")
    name = _CAPITAL.sub(r"_\1", element).lower()
    return f"{name}_extended" if extended else f"{name}_" if keyword.iskeyword(name) else name


def steps_of(path: str) -> list[list[Step]]:
    """The alternatives of a path, each as steps.

    Raises:
        ValueError: the path is not of the grammar.
    """
    found = []
    for alternative in path.split("|"):
        matches = list(_STEP.finditer(alternative))
        if not matches or sum(len(match[0]) for match in matches) != len(alternative):
            raise ValueError(f"not a source path: {path}")
        found.append([Step(match[1], match[2]) for match in matches])
    return found


def getter_of(steps: list[Step]) -> Getter:
    """Compile one alternative of a path into a function of the value at its first step."""
    url = steps[0].url
    rest = [(step.attribute, step.url) for step in steps[1:]]
    if not rest:
        # by far the most paths
        return (lambda root: _below(root, url)) if url else _all

    def walk(root: Any) -> list[Any]:
        values = _below(root, url)
        for attribute, below in rest:
            values = [part for value in values for part in _below(getattr(value, attribute), below)]
        return values

    return walk


def reaches(model: Any, steps: list[Step], kind: str) -> bool:
    """Whether a path leads from a type of FHIR to what a column of this logical type is made of."""
    for number, step in enumerate(steps):
        element = next((element for element in elements_of(model) if element.name == step.element), None)
        if element is None:
            return False
        if number == len(steps) - 1:
            return (element.primitive or getattr(element.model, "__name__", "")) in _TYPES[kind]
        if element.model is None:
            return False
        model = element.model
    return False


def struct_of(name: str, paths: Iterable[tuple[str, str]]) -> type[msgspec.Struct]:
    """The struct that has all elements which the paths name.

    Args:
        name: of the struct.
        paths: (source path, logical column type).
    """
    root = _Node()
    for path, kind in paths:
        for steps in steps_of(path):
            node = root
            for step in steps:
                node = node.children.setdefault(step.element, _Node())
            if node.leaf not in (None, LEAVES[kind]):
                raise ValueError(f"two types at {path}")
            node.leaf = LEAVES[kind]
    return _struct(name, root)


def lenient(strict: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    """A reader for a table that holds resources of many types: an element of another type than the struct's is absent.

    The same element name means different things in different resource types; that is no error of the resource.
    """
    elements = msgspec.structs.fields(strict)
    decoders = {element.name: msgspec.json.Decoder(element.type) for element in elements}
    raw_struct = msgspec.defstruct(
        f"{strict.__name__}Raw",
        [(element.name, msgspec.Raw, msgspec.Raw()) for element in elements],
        rename={element.name: element.encode_name for element in elements},
    )
    decode = msgspec.json.Decoder(raw_struct).decode

    def read(raw: bytes) -> Any:
        sent = decode(raw)
        found: dict[str, Any] = {}
        for name, decoder in decoders.items():
            element = getattr(sent, name)
            if not bytes(element):
                continue
            try:
                found[name] = decoder.decode(element)
            except msgspec.ValidationError:
                continue
        return strict(**found)

    return read


def _struct(name: str, node: _Node) -> Any:
    if node.leaf is not None:
        missing = set(node.children) - {element.encode_name for element in _elements_of(node.leaf)}
        if missing:
            raise ValueError(f"{name} has no elements {sorted(missing)}")
        return node.leaf
    fields: list[Any] = []
    for element, child in node.children.items():
        kind: Any = _struct(f"{name}_{element}", child)
        if kind is msgspec.Raw:
            fields.append((Step(element, None).attribute, kind, msgspec.Raw()))
        else:
            fields.append((Step(element, None).attribute, _optional(kind), None))
    if name.endswith("_extension"):
        fields.append(("url", str | None, None))
    rename = {Step(element, None).attribute: element for element in node.children}
    return msgspec.defstruct(name, fields, rename=rename, gc=False)


def _optional(kind: Any) -> Any:
    return kind | list[kind | None] | None


def _elements_of(leaf: Any) -> tuple[Any, ...]:
    return msgspec.structs.fields(leaf) if isinstance(leaf, type) and issubclass(leaf, msgspec.Struct) else ()


def _all(value: Any) -> list[Any]:
    if type(value) is not list:
        return [value]
    return [part for part in value if part is not None] if None in value else value


def _below(value: Any, url: str | None) -> list[Any]:
    if value is None:
        return []
    return [part for part in _all(value) if part.url == url] if url else _all(value)
