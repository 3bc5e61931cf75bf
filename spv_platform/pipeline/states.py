"""Sealed states of patient records: loading, closing over identity, sealing.

The closure is what makes an incremental fold equal to a full one: a touched record brings with it every record that
shares a block with it, and every record of the persons that those records belonged to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from spv_platform.envelope.keys import mac, open_state, seal_state
from spv_platform.identity.link import RecordKeys, components, person_id, record_blocks, record_id
from spv_platform.ledger import records
from spv_platform.ledger.records import Shelf, StoredRecord
from spv_platform.memory import no_collections
from spv_platform.pipeline.platform import Platform
from spv_platform.view.fold import pack, unpack


@dataclass(frozen=True)
class Linked:
    """Records and the persons that they are.

    Attributes:
        facts: facts of every record of every person concerned, with `record` and `person_id`.
        changed: what the ledger is to hold of the records that changed.
        before: persons that the records belonged to and that had a Patient resource.
        present: persons that have a Patient resource now.
    """

    facts: pl.DataFrame
    changed: list[StoredRecord]
    before: frozenset[str]
    present: frozenset[str]


class States:
    """The states of one tenant's records, by default those in force; frames have a column `record`, its hex name."""

    def __init__(self, platform: Platform, tenant: str, shelf: Shelf | None = None) -> None:
        self._db, self._shelf = platform.db, shelf or records.in_force(tenant)
        self._keys = platform.tenant_keys(tenant)
        self._stored: dict[bytes, StoredRecord] = {}

    def named(self, facts: pl.DataFrame) -> pl.DataFrame:
        """The facts with the names of their records."""
        place = ["source", "patient_id"]
        records_of = facts.select(place).unique()
        names = [record_id(self._mac, *pair).hex() for pair in records_of.iter_rows()]
        named = records_of.with_columns(record=pl.Series(names, dtype=pl.String))
        # a join copies all columns that it is given
        found = facts.select(place).join(named, on=place, how="left", maintain_order="left")
        return facts.with_columns(found["record"])

    def load(self, names: Iterable[str]) -> pl.DataFrame:
        """Facts of those of the records that the ledger knows."""
        with self._db.transaction() as cur:
            found = self._shelf.read(cur, [bytes.fromhex(name) for name in names])
        return self.open(found)

    def open(self, found: list[StoredRecord]) -> pl.DataFrame:
        """Facts of stored records, which count as loaded."""
        self._stored |= {stored.record: stored for stored in found}
        return self.named(unpack(open_state(self._keys.state, stored.state, stored.record) for stored in found))

    def link(self, facts: pl.DataFrame, touched: frozenset[str]) -> Linked:
        """Close over identity, and give every record its person.

        Args:
            facts: of the touched records as they are to be, and of any others as they are.
            touched: names of the records whose state is new.
        """
        keys = {key.record: key for key in record_blocks(facts, self._mac)}
        while missing := self._missing(keys):
            more = self.open(missing)
            facts = pl.concat([facts, more])
            keys |= {key.record: key for key in record_blocks(more, self._mac)}
        persons = {record: person_id(self._mac, members) for members in components(keys.values()) for record in members}
        facts = facts.with_columns(
            person_id=pl.col("record").replace_strict(
                {record.hex(): person for record, person in persons.items()}, return_dtype=pl.String
            )
        )
        # A Patient that says nothing has a row of kind `none` too: `none` alone is no sign of absence.
        of_patients = facts.filter(
            (pl.col("resource_type") == "Patient") & ~pl.col("deleted") & pl.col("held_kind").is_null()
        )
        return Linked(
            facts=facts,
            changed=self._changed(facts, touched, keys, persons, set(of_patients["record"].unique())),
            before=frozenset(
                stored.person_id
                for record, stored in self._stored.items()
                if record in keys and stored.person_id and stored.has_patient
            ),
            present=frozenset(of_patients["person_id"].unique()),
        )

    def unlinked(self, facts: pl.DataFrame, keys: Mapping[bytes, RecordKeys] | None = None) -> list[StoredRecord]:
        """What the ledger is to hold of the records, sealed, as long as they have no persons.

        Args:
            facts: in the order in which `fold` returned them.
            keys: of the records, if they are made already.
        """
        keys = keys or {key.record: key for key in record_blocks(facts, self._mac)}
        with no_collections():
            documents = {record_id(self._mac, *pair): document for pair, document in pack(facts, folded=True).items()}
        return [
            StoredRecord(record, None, False, list(keys[record].blocks), seal_state(self._keys.state, document, record))
            for record, document in documents.items()
        ]

    def _missing(self, keys: dict[bytes, RecordKeys]) -> list[StoredRecord]:
        """Records that belong with these and are not loaded."""
        blocks = sorted({block for key in keys.values() for block in key.blocks})
        before = {self._stored[record].person_id for record in keys if record in self._stored}
        with self._db.transaction() as cur:
            around = self._shelf.around(cur, blocks, sorted(person for person in before if person))
        return [stored for stored in around if stored.record not in keys]

    def _changed(
        self,
        facts: pl.DataFrame,
        touched: frozenset[str],
        keys: dict[bytes, RecordKeys],
        persons: dict[bytes, str],
        with_patient: set[str],
    ) -> list[StoredRecord]:
        rows = [
            row._replace(person_id=persons[row.record], has_patient=row.record.hex() in with_patient)
            for row in self.unlinked(facts.filter(pl.col("record").is_in(list(touched))), keys)
        ]
        new = {row.record for row in rows}
        moved = [
            stored._replace(person_id=persons[record], has_patient=record.hex() in with_patient)
            for record, stored in self._stored.items()
            if record in keys and record not in new and stored.person_id != persons[record]
        ]
        return rows + moved

    def _mac(self, *parts: str) -> bytes:
        return mac(self._keys.index, *parts)
