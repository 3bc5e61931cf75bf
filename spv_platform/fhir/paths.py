"""The source paths of table descriptions, compiled: one msgspec struct a table, one getter a column.

The grammar is that of `lake.tables`: dotted element names, `a|b` for the first alternative that is present,
`extension(URL)` for the extensions with that url. A struct has exactly the elements that some path names, so a reader
skips all else.
"""

import keyword
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from spv_platform.fhir import datatypes

_STEP = re.compile(r"(\w+)(?:\(([^)]*)\))?(?:\.|$)")

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
    "quantity": datatypes.Quantity,
    "components": datatypes.Component,
    "identifiers": datatypes.Identifier,
    "names": datatypes.HumanName,
    "addresses": datatypes.Address,
    "telecoms": datatypes.ContactPoint,
}

#: Gives all values at a path, in order; empty when there are none.
Getter = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Step:
    """One element of a path: its FHIR name, its attribute in the struct, the extension url it must have."""

    element: str
    url: str | None

    @property
    def attribute(self) -> str:
        """A Python name for the element."""
        return f"{self.element}_" if keyword.iskeyword(self.element) else self.element


@dataclass
class _Node:
    leaf: Any = None
    children: dict[str, "_Node"] = field(default_factory=dict)


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


def getter_of(path: str) -> Getter:
    """Compile a path into a function of the table's struct."""
    walks = [_walk_of(steps) for steps in steps_of(path)]
    if len(walks) == 1:
        return walks[0]
    return lambda resource: next((values for walk in walks if (values := walk(resource))), [])


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


def _walk_of(steps: list[Step]) -> Getter:
    first, *rest = [(step.attribute, step.url) for step in steps]
    if not rest:
        # by far the most paths
        return lambda resource: _below(getattr(resource, first[0]), first[1])

    def walk(resource: Any) -> list[Any]:
        values = _below(getattr(resource, first[0]), first[1])
        for attribute, url in rest:
            values = [below for value in values for below in _below(getattr(value, attribute), url)]
        return values

    return walk


def _below(value: Any, url: str | None) -> list[Any]:
    if value is None:
        return []
    values = value if type(value) is list else [value]
    if None in values:
        values = [part for part in values if part is not None]
    return [part for part in values if part.url == url] if url else values
