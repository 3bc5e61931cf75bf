"""All persons of a tenant, a slice at a time, so that memory is bounded by the slice and not by the tenant.

What belongs together stays together: a slice holds whole persons, and all records that might be one. What belongs
here: cutting, and what a slice is made of. What does not: what is done with it (`whole`, `matching`).
"""

from collections.abc import Iterator

import polars as pl

from spv_platform.ledger.records import Shelf
from spv_platform.memory import slim
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepared import Slice
from spv_platform.pipeline.states import Linked, States
from spv_platform.view.patient import patient_view

#: Bounds of what a slice begins with; the records that belong with these come on top. A sealed megabyte is about twelve
#: thousand facts, which take some eighty megabytes while they are linked and matched.
MAX_RECORDS = 5_000
MAX_BYTES = 4 * 2**20
#: Rows of derived tables that are gathered from slices for one file.
ROWS_PER_FILE = 50_000


def cut(platform: Platform, tenant: str, shelf: Shelf) -> Iterator[Linked]:
    """Every record of the shelf, once, with the persons that they are."""
    after, done = b"", set[bytes]()
    while True:
        with platform.db.transaction() as cur:
            page = shelf.page(cur, after, max_records=MAX_RECORDS, max_bytes=MAX_BYTES)
        if not page:
            return
        after = page[-1]
        names = [record.hex() for record in page if record not in done]
        if names:
            linked = linked_of(platform, tenant, shelf, names)
            done |= {bytes.fromhex(name) for name in linked.facts["record"].unique()}
            yield linked
        done = {record for record in done if record > after}


def linked_of(platform: Platform, tenant: str, shelf: Shelf, names: list[str]) -> Linked:
    """These records as they are, and those that belong with them."""
    states = States(platform, tenant, shelf)
    return states.link(states.load(names), frozenset())


def slice_of(linked: Linked, known: frozenset[str]) -> Slice:
    """The persons of linked records, with their views; for `known` see `Slice`."""
    present = sorted(linked.present)
    facts = slim(linked.facts.filter(pl.col("person_id").is_in(present)))
    return Slice(facts, present, known, patient_view(facts))
