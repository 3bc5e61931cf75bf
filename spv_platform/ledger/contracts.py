"""Feed contracts: what was agreed with a sender about one feed, and what the platform enforces of it.

What belongs here: the fields, and where they are kept. What does not: enforcing them, which is the staging's and the
gate's part.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
from psycopg2.extras import Json

from spv_platform.errors import UsageError
from spv_platform.ledger import layouts
from spv_platform.ledger.db import Cursor
from spv_platform.ledger.layouts import ANY
from spv_platform.settings import Settings

_Limit = Annotated[int, msgspec.Meta(ge=1)]


class Limits(NamedTuple):
    """Limits of one object: opened bytes, opened bytes per sealed byte, entries."""

    max_object_bytes: int
    max_ratio: int
    max_entries: int


class FeedContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a feed may send.

    Attributes:
        format: the sealed format of its objects.
        max_object_bytes: most bytes of one opened object; the installation's limit if None.
        max_ratio: most opened bytes per sealed byte; the installation's limit if None.
        max_entries: most entries of one object; the installation's limit if None.
        quarantine_limit: share of quarantined entries of a batch, 0 to 1, that the gate tolerates.
        content_types: media types that its objects may have; any if empty.
        arrays: whether an object may be a JSON array of resources, which is no form of FHIR.
        layout: how its objects are named over time, see `ledger.layouts`: `any`, or a strftime pattern.
    """

    format: str = "spv"
    max_object_bytes: _Limit | None = None
    max_ratio: _Limit | None = None
    max_entries: _Limit | None = None
    quarantine_limit: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    content_types: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()
    arrays: bool = False
    layout: str = ANY

    def limits(self, settings: Settings) -> Limits:
        """The limits in force: the contract's own, else the installation's."""
        return Limits(
            self.max_object_bytes or settings.object_max_bytes,
            self.max_ratio or settings.max_ratio,
            self.max_entries or settings.max_entries,
        )

    def takes(self, content_type: str) -> bool:
        """Whether objects of this media type, parameters aside, were agreed on."""
        allowed = {_media_type(name) for name in self.content_types}
        return not allowed or _media_type(content_type) in allowed


def parse_contract(document: Any, file: str) -> FeedContract:
    """The contract that a document describes.

    Args:
        document: plain values, as read from YAML or JSON; None for an empty file.
        file: its name, for error messages.

    Raises:
        UsageError: an unknown field, or a value that is not what the field needs.
    """
    try:
        contract = msgspec.convert({} if document is None else document, FeedContract)
    except msgspec.ValidationError as error:
        fields = ", ".join(FeedContract.__struct_fields__)
        raise UsageError(f"{file}: {error}: correct it; the fields of a feed contract are {fields}") from None
    if wrong := layouts.problem(contract.layout):
        raise UsageError(f"{file}: layout: {wrong}: correct it")
    return contract


def contract_of(cur: Cursor, tenant: str, feed: str) -> FeedContract:
    """The contract in force of a feed; the default one where none was given.

    Raises:
        UsageError: the tenant has no such feed.
    """
    cur.execute("SELECT format, contract FROM ops.feed WHERE tenant = %s AND feed = %s", (tenant, feed))
    row = cur.fetchone()
    if row is None:
        raise UsageError(f"tenant {tenant} has no feed {feed!r}: see `spv tenant list`")
    payload_format, terms = row
    return msgspec.convert({**(terms or {}), "format": payload_format}, FeedContract)


def put_contract(cur: Cursor, tenant: str, feed: str, contract: FeedContract) -> None:
    """Replace the contract of a feed that the tenant has; it counts from the next batch that is staged.

    The feed is looked at from its beginning once, as its objects may be named in another way now.
    """
    terms = msgspec.to_builtins(contract)
    del terms["format"]  # has a column of its own
    cur.execute(
        "UPDATE ops.feed SET format = %s, contract = %s, seen_until = NULL WHERE tenant = %s AND feed = %s",
        (contract.format, Json(terms), tenant, feed),
    )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
