"""Splitting opened content into raw entries: a FHIR Bundle or NDJSON, without reading the resources.

What belongs here: the outer shape of the content and its limits. What does not: anything about a resource's content.
"""

import json
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from spv_platform.errors import PermanentError
from spv_platform.fhir.structure import MAX_DEPTH, scan_entries, too_deep

#: Bundle types whose entries carry resources (or deletes).
BUNDLE_TYPES = frozenset({"transaction", "batch", "collection", "searchset", "history", "message", "document"})

_NDJSON_TYPES = frozenset({"application/fhir+ndjson", "application/ndjson", "application/x-ndjson"})
#: Bytes up to which an object is looked at as a whole, which takes some times as many.
_SHORT = 16 * 2**20
#: Lines among which one that is a resource tells that lines are entries.
_HEAD_LINES = 10
_BOM = b"\xef\xbb\xbf"
_OBJECT = ord("{")
#: The bit in which `[` differs from `{`.
_ARRAY_OR_OBJECT = ord("{") ^ ord("[")
#: The fast reader counts entries only after it has read them all. A Bundle with more objects than this many times the
#: limit is split by the patient reader, which stops at the limit.
_OBJECTS_PER_ENTRY = 64
_ABSENT = msgspec.Raw()


class _Element(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What every part of an entry may have. All that FHIR has is named, so that any other name is none of its."""

    id: msgspec.Raw = _ABSENT
    extension: msgspec.Raw = _ABSENT
    modifier_extension: msgspec.Raw = _ABSENT


class _Request(_Element):
    method: str | None = None
    url: str | None = None
    if_none_exist: str | None = None
    if_none_match: msgspec.Raw = _ABSENT
    if_modified_since: msgspec.Raw = _ABSENT
    if_match: msgspec.Raw = _ABSENT
    method_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_method")
    url_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_url")
    if_none_exist_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_ifNoneExist")
    if_none_match_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_ifNoneMatch")
    if_modified_since_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_ifModifiedSince")
    if_match_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_ifMatch")


class _Response(_Element):
    last_modified: str | None = None
    status: msgspec.Raw = _ABSENT
    location: msgspec.Raw = _ABSENT
    etag: msgspec.Raw = _ABSENT
    outcome: msgspec.Raw = _ABSENT
    last_modified_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_lastModified")
    status_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_status")
    location_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_location")
    etag_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_etag")


class _Search(_Element):
    mode: msgspec.Raw = _ABSENT
    score: msgspec.Raw = _ABSENT
    mode_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_mode")
    score_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_score")


class _Entry(_Element):
    full_url: str | None = None
    resource: msgspec.Raw = _ABSENT
    request: _Request | None = None
    response: _Response | None = None
    search: _Search | None = None
    link: msgspec.Raw = _ABSENT
    full_url_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_fullUrl")


class _Typed(msgspec.Struct, omit_defaults=True):
    resource_type: str | None = msgspec.field(default=None, name="resourceType")


class _Header(_Typed):
    type: str | None = None
    timestamp: str | None = None


class _Around(_Header, forbid_unknown_fields=True):
    """What FHIR has of a Bundle around its entries, so that any other name is none of its."""

    id: msgspec.Raw = _ABSENT
    meta: msgspec.Raw = _ABSENT
    implicit_rules: msgspec.Raw = msgspec.field(default=_ABSENT, name="implicitRules")
    implicit_rules_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_implicitRules")
    language: msgspec.Raw = _ABSENT
    language_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_language")
    identifier: msgspec.Raw = _ABSENT
    type_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_type")
    timestamp_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_timestamp")
    total: msgspec.Raw = _ABSENT
    total_extended: msgspec.Raw = msgspec.field(default=_ABSENT, name="_total")
    link: msgspec.Raw = _ABSENT
    signature: msgspec.Raw = _ABSENT


class _Bundle(_Around):
    entry: list[_Entry] | None = None


class _Shell(_Around):
    entry: list[msgspec.Raw] | None = None


_encode = msgspec.json.Encoder().encode
_bundle_decoder = msgspec.json.Decoder(_Bundle)
_shell_decoder = msgspec.json.Decoder(_Shell)
_typed_decoder = msgspec.json.Decoder(_Typed)
_entry_decoder = msgspec.json.Decoder(_Entry)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_any_decoder = msgspec.json.Decoder(msgspec.Raw)
#: Names that stand once around all entries.
_OF_BUNDLE = (b'"resourceType"', b'"type"', b'"timestamp"', b'"entry"')
#: Within so many bytes of its beginning or its end a Bundle says that it is one.
_NEAR_BYTES = 1_000
#: What a reader raises on text that is not (this) JSON. `RecursionError`: nested too deep for it.
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class RawEntry(msgspec.Struct, gc=False):
    """One entry of a Bundle, or one line of NDJSON.

    Attributes:
        index: 0-based number; blank lines of NDJSON have none.
        last_modified: `response.lastModified`, which history Bundles carry.
        if_none_exist: the search by which a POST says that it is to do nothing if there is such a resource.
        problem: a reason code when the entry cannot be read; then `raw` is None.
    """

    index: int
    full_url: str | None = None
    method: str | None = None
    url: str | None = None
    last_modified: str | None = None
    if_none_exist: str | None = None
    content: bytes | msgspec.Raw | None = None
    problem: str | None = None

    @property
    def raw(self) -> bytes | None:
        """JSON text of the resource, an object; copied out of the content at each call."""
        return None if self.content is None else bytes(self.content)


@dataclass(frozen=True)
class Split:
    """The entries of one object.

    Attributes:
        kind: the Bundle's type, `ndjson` or `array`.
        timestamp: `Bundle.timestamp` as sent.
    """

    kind: str
    timestamp: str | None
    entries: list[RawEntry]


def split(data: bytes, content_type: str, max_entries: int, *, arrays: bool = False) -> Split:
    """Split opened content into raw entries.

    NDJSON is told by its content type, or by its shape: one of the first ten lines is a whole resource. Content that is
    one Bundle is a Bundle whatever it was said to be: taken for a line it would be one row, and its entries lost. A
    JSON array of resources, which is no form of FHIR, is taken if `arrays` says so. A UTF-8 byte order mark is skipped.
    An entry that cannot be read keeps its number and says why; its neighbours are not touched.

    Raises:
        PermanentError: empty_payload, not_json, not_a_bundle (also one that has a name twice), unsupported_bundle_type,
            too_many_entries.
    """
    data = data.removeprefix(_BOM)
    if not data or data.isspace():
        raise PermanentError("empty_payload")
    if arrays and data.lstrip().startswith(b"[") and (array := _array(data, max_entries)):
        return array
    said_lines = says_lines(content_type)
    bundle = None
    most_objects = max_entries * _OBJECTS_PER_ENTRY
    if len(data) <= most_objects or data.count(b"{") <= most_objects:
        try:
            bundle = _bundle_decoder.decode(data)
        except _UNREADABLE:
            bundle = None
    if said_lines and (bundle is None or bundle.resource_type != "Bundle"):
        return _patiently(data, max_entries) if _is_broken_bundle(data) else _lines(data, max_entries)
    if bundle is None:
        lines = _looks_like_lines(data) and not _is_broken_bundle(data)
        return _lines(data, max_entries) if lines else _patiently(data, max_entries)
    _require_bundle(bundle)
    if not _says_all_once(data, bundle):
        return _patiently(data, max_entries)
    entries = bundle.entry or []
    if len(entries) > max_entries:
        raise PermanentError("too_many_entries", f"entry {max_entries}")
    return Split(bundle.type or "", bundle.timestamp, _of_entries(data, entries))


def says_lines(content_type: str) -> bool:
    """Whether a content type says NDJSON."""
    return content_type.partition(";")[0].strip().lower() in _NDJSON_TYPES


def is_one_bundle(data: bytes) -> bool:
    """Whether it is a Bundle that a reader reads as a whole."""
    try:
        return _bundle_decoder.decode(data).resource_type == "Bundle"
    except _UNREADABLE:
        return False


def _says_all_once(data: bytes, bundle: _Bundle) -> bool:
    """Whether nothing was lost because its name comes twice, by what is around resources."""
    unread = (bundle.id, bundle.meta, bundle.implicit_rules, bundle.identifier, bundle.link, bundle.signature)
    try:
        if any(_repeats(bytes(part)) for part in unread if bytes(part)):
            return False
    except RecursionError:  # the reader read it, at a greater depth than this
        return False
    if len(data) <= _SHORT and len(_encode(bundle)) == len(data):
        return True
    start, place, found, around = pa.py_buffer(data).address, 0, 0, []
    for entry in bundle.entry or ():
        if size := len(memoryview(entry.resource)):
            begin = pa.py_buffer(entry.resource).address - start
            around.append(data[place:begin])
            place = begin + size
            found += 1
    text = b"".join([*around, data[place:]])
    entries = bundle.entry or ()
    requests = [entry.request for entry in entries if entry.request]
    responses = [entry.response for entry in entries if entry.response]
    links = [bytes(each.link) for each in (bundle, *entries)] if b'"link"' in text else []
    counts = {
        b'"resource"': found,
        b'"fullUrl"': sum(entry.full_url is not None for entry in entries),
        b'"request"': len(requests),
        b'"method"': sum(request.method is not None for request in requests),
        b'"url"': sum(request.url is not None for request in requests) + sum(link.count(b'"url"') for link in links),
        b'"ifNoneExist"': sum(request.if_none_exist is not None for request in requests),
        b'"response"': len(responses),
        b'"lastModified"': sum(response.last_modified is not None for response in responses),
    }
    once = all(text.count(name) == count for name, count in counts.items())
    return once and all(text.count(name) <= 1 for name in _OF_BUNDLE) and b"\\u" not in text


def _require_bundle(header: _Header) -> None:
    if header.resource_type != "Bundle":
        raise PermanentError("not_a_bundle")
    if header.type not in BUNDLE_TYPES:
        raise PermanentError("unsupported_bundle_type")


def _of_entries(data: bytes, entries: list[_Entry]) -> list[RawEntry]:
    if entries and len(data) <= _SHORT and data.isascii():
        sound = _are_sound(data, [entry.resource for entry in entries])
        return [_of_entry(i, entry, sound=sound[i]) for i, entry in enumerate(entries)]
    return [_of_entry(i, entry) for i, entry in enumerate(entries)]


def _are_sound(data: bytes, resources: list[msgspec.Raw]) -> list[bool]:
    """Which resources are surely without a problem: objects with few brackets.

    Args:
        data: ASCII.
        resources: parts of it.
    """
    signs = np.frombuffer(data, np.uint8)
    sizes = np.array([len(memoryview(resource)) for resource in resources])
    begins = np.array([pa.py_buffer(resource).address for resource in resources]) - pa.py_buffer(data).address
    begins[sizes == 0] = 0
    brackets = np.flatnonzero((signs | _ARRAY_OR_OBJECT) == _OBJECT)
    within = np.searchsorted(brackets, begins + sizes) - np.searchsorted(brackets, begins)
    sound: list[bool] = ((sizes > 0) & (within <= MAX_DEPTH) & (signs[begins] == _OBJECT)).tolist()
    return sound


def _of_entry(index: int, entry: _Entry, *, sound: bool = False) -> RawEntry:
    found = RawEntry(index, entry.full_url)
    request, response, search = entry.request, entry.response, entry.search
    if (
        entry.modifier_extension is not _ABSENT
        or (request is not None and request.modifier_extension is not _ABSENT)
        or (response is not None and response.modifier_extension is not _ABSENT)
        or (search is not None and search.modifier_extension is not _ABSENT)
    ):
        # it may say the opposite of what stands there (FHIR R4, Extensibility)
        found.problem = "modified_entry"
        return found
    if request is not None:
        found.method, found.url, found.if_none_exist = request.method, request.url, request.if_none_exist
    if response is not None:
        found.last_modified = response.last_modified
    if sound:
        found.content = entry.resource
        return found
    raw = bytes(entry.resource)
    if not raw or raw == b"null":
        return found
    found.problem = _problem_of(raw)
    found.content = None if found.problem else entry.resource
    return found


def _problem_of(raw: bytes) -> str | None:
    if not raw.startswith(b"{"):
        return "entry_not_object"
    if too_deep(raw):
        return "too_deep"
    if raw.isascii():
        return None
    try:
        # the reader skips over strings without looking at their encoding
        raw.decode()
    except UnicodeDecodeError:
        return "entry_not_json"
    return None


def _patiently(data: bytes, max_entries: int) -> Split:
    scanned = scan_entries(data, max_entries)
    if scanned is None:
        raise PermanentError("not_a_bundle" if _is_json(data) else "not_json")
    outer, texts = scanned
    try:
        header = _shell_decoder.decode(outer)
        if _repeats(outer):
            raise PermanentError("not_a_bundle")
    except msgspec.ValidationError:
        raise PermanentError("not_a_bundle") from None
    except _UNREADABLE:
        raise PermanentError("not_json") from None
    _require_bundle(header)
    return Split(header.type or "", header.timestamp, [_of_text(i, text) for i, text in enumerate(texts)])


def _of_text(index: int, text: bytes) -> RawEntry:
    if too_deep(text):
        return RawEntry(index, problem="too_deep")
    try:
        entry = _entry_decoder.decode(text)
        return RawEntry(index, problem="repeated_key") if _repeats(text) else _of_entry(index, entry)
    except msgspec.ValidationError as error:
        unknown = "unknown field" in str(error)
        reason = "unknown_element" if unknown else "invalid_resource" if text.startswith(b"{") else "entry_not_object"
    except _UNREADABLE:
        reason = "entry_not_json"
    return RawEntry(index, problem=reason)


def _repeats(text: bytes) -> bool:
    """Whether a name comes twice in an object of JSON text."""
    repeated = False

    def note(pairs: list[tuple[str, None]]) -> None:
        nonlocal repeated
        repeated |= len(dict(pairs)) < len(pairs)

    json.loads(text.decode(errors="replace"), object_pairs_hook=note, parse_int=str, parse_float=str)
    return repeated


def _is_broken_bundle(data: bytes) -> bool:
    """Whether it is one Bundle by its brackets, broken somewhere inside, and not lines."""
    if b'"Bundle"' not in data[:_NEAR_BYTES] + data[-_NEAR_BYTES:]:
        return False
    scanned = scan_entries(data, len(data))
    try:
        return scanned is not None and _shell_decoder.decode(scanned[0]).resource_type == "Bundle"
    except _UNREADABLE:
        return False


def _is_json(data: bytes) -> bool:
    try:
        _any_decoder.decode(data)
    except _UNREADABLE:
        return False
    return True


def _array(data: bytes, max_entries: int) -> Split | None:
    """The entries of an array; None: it is none."""
    try:
        found = _array_decoder.decode(data)
    except _UNREADABLE:
        return _array_patiently(data, max_entries)
    if len(found) > max_entries:
        raise PermanentError("too_many_entries", f"entry {max_entries}")
    return Split("array", None, [_of_entry(number, _Entry(resource=raw)) for number, raw in enumerate(found)])


def _array_patiently(data: bytes, max_entries: int) -> Split | None:
    scanned = scan_entries(b'{"entry":' + data.strip() + b"}", max_entries)
    if scanned is None or scanned[0] != b'{"entry":[]}':
        return None
    return Split("array", None, [_of_line(number, text) for number, text in enumerate(scanned[1])])


def _looks_like_lines(data: bytes) -> bool:
    head: list[bytes] = []
    start = 0
    while start < len(data) and len(head) < _HEAD_LINES:
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if line := data[start:end].strip():
            head.append(line)
        start = end + 1
    return len(head) > 1 and any(_is_resource(line) for line in head)


def _is_resource(line: bytes) -> bool:
    try:
        return _typed_decoder.decode(line).resource_type is not None
    except _UNREADABLE:
        return False


def _lines(data: bytes, max_entries: int) -> Split:
    entries: list[RawEntry] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end].strip()
        start = end + 1
        if not line:
            continue
        if len(entries) == max_entries:
            raise PermanentError("too_many_entries", f"entry {max_entries}")
        entries.append(_of_line(len(entries), line))
    return Split("ndjson", None, entries)


def _of_line(index: int, line: bytes) -> RawEntry:
    if too_deep(line):
        return RawEntry(index, problem="too_deep")
    if not _is_json(line):
        return RawEntry(index, problem="entry_not_json")
    problem = _problem_of(line)
    return RawEntry(index, problem=problem, content=None if problem else line)
