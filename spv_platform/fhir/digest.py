"""The content digest of a resource: equal digests mean one version, whoever sent it and whenever.

Layout of the JSON text does not count, and neither does a generated narrative: FHIR says of a `text` whose status is
`generated` or `extensions` that it holds nothing beyond the data, and servers generate it anew at every read.
"""

from hashlib import sha256

import msgspec

#: Digest of a tombstone: there is no content.
EMPTY = sha256(b"").hexdigest()


class _Narrated(msgspec.Struct, gc=False):
    text: msgspec.Raw = msgspec.Raw()


class _Narrative(msgspec.Struct, gc=False):
    status: str | None = None


_narrated_decoder = msgspec.json.Decoder(_Narrated)
_narrative_decoder = msgspec.json.Decoder(_Narrative)
_elements_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def compact(raw: bytes | msgspec.Raw) -> bytes:
    """JSON text without blanks between its tokens; tokens stay as sent.

    Raises:
        msgspec.DecodeError: not JSON.
    """
    return msgspec.json.format(raw, indent=-1)


def digest(text: bytes, *, narrated: bool = True) -> str:
    """SHA-256 of a resource's compact JSON without its generated narrative, hex.

    Element order, number text and string escapes count as sent.

    Args:
        text: as `compact` gives it.
        narrated: whether it may have a narrative.
    """
    if narrated and b'"text":{' in text and _is_generated(bytes(_narrated_decoder.decode(text).text)):
        elements = _elements_decoder.decode(text)
        del elements["text"]
        text = msgspec.json.encode(elements)
    return sha256(text, usedforsecurity=False).hexdigest()  # otherwise it looks for a provider at each call


def _is_generated(text: bytes) -> bool:
    if not text:
        return False
    try:
        return _narrative_decoder.decode(text).status in ("generated", "extensions")
    except msgspec.ValidationError:
        return False
