"""Records to persons, by exact evidence only: a strong identifier and the full date of birth.

Two records are one person when they share a strong identifier and a date of birth to the day, and no known sex
contradicts it. Everything weaker leaves them two: a record that is not linked can be linked later, two people in one
view are a danger to both. The result depends on the set of records only, not on their order of arrival.

A strong identifier has a system and names a person for as long as they live: by its type (HL7 table 0203) MR, SS, DL,
PPN and the like, or without a type, when its `use` is not `old` or `temp`. Identifiers that families or visits share
(member, account, visit, subscriber numbers) are never strong, and neither are placeholders.
"""

from base64 import b32encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import polars as pl

#: `mac(kind, *parts)`: an HMAC of the tenant over the parts, kept apart by kind.
Mac = Callable[..., bytes]

#: HL7 v2 table 0203 types that name one person: medical record, social security, driver's licence, passport, patient
#: internal, patient external, national, Medicare, Medicaid, and jurisdictional health numbers.
STRONG_TYPES = ("MR", "SS", "DL", "PPN", "PI", "PT", "NI", "MC", "MA", "JHN")

#: Values that stand for "none": one digit repeated, digits in sequence, words for nothing.
_PLACEHOLDER = r"^(?:0+|1{4,}|9{4,}|X+|0*12345(?:6(?:7(?:89?)?)?)?|NA|NONE|NULL|UNKNOWN|UNK|TEST)$"
_PERSON_ID_BYTES = 20


@dataclass(frozen=True)
class RecordKeys:
    """What linking knows about a record; nothing of it can be read back.

    Attributes:
        record: its hash.
        blocks: hashes, each over a strong identifier and the date of birth; records that share one may be one person.
        sex: male or female, else null: other and unknown are compatible with both.
    """

    record: bytes
    blocks: tuple[bytes, ...] = ()
    sex: str | None = None


def record_id(mac: Mac, source: str, patient_id: str) -> bytes:
    """The hash that names a record."""
    return mac("record", source, patient_id)


def record_blocks(facts: pl.DataFrame, mac: Mac) -> list[RecordKeys]:
    """The keys of every record in the facts, sorted by record.

    Args:
        facts: facts of kind identifier, birth_date and gender matter; any others may be there.
        mac: the tenant's HMAC.
    """
    place = ["source", "patient_id"]
    records = facts.select(place).drop_nulls().unique()
    births = facts.filter((pl.col("kind") == "birth_date") & pl.col("time").str.contains(r"^\d{4}-\d{2}-\d{2}$"))
    sexes = facts.filter((pl.col("kind") == "gender") & pl.col("value_text").is_in(["male", "female"]))
    one_sex = sexes.group_by(place).agg(sex=pl.col("value_text").unique()).filter(pl.col("sex").list.len() == 1)
    strong = _strong(facts).join(births.select(*place, birth="time").unique(), on=place)
    # One HMAC per record and strong identifier: hashing with a key has no vectorised form.
    blocks: defaultdict[tuple[str, str], set[bytes]] = defaultdict(set)
    for source, patient, system, value, birth in strong.select(*place, "system", "value", "birth").iter_rows():
        blocks[source, patient].add(mac("block", system, value, birth))
    known = {(source, patient): sex[0] for source, patient, sex in one_sex.iter_rows()}
    keys = (
        RecordKeys(record_id(mac, *place), tuple(sorted(blocks.get(place, ()))), known.get(place))
        for place in records.iter_rows()
    )
    return sorted(keys, key=lambda record: record.record)


def components(records: Iterable[RecordKeys]) -> list[set[bytes]]:
    """The persons that the records are, as sets of records, sorted by their least member.

    Records that share a block are linked, and what is linked is one person, unless that would make a man and a woman
    one person: then records without a known sex link nobody and are persons of their own.

    Args:
        records: all records of every block that is concerned; a record may be repeated.
    """
    distinct = {record.record: record for record in records}
    persons: list[set[bytes]] = []
    for group in _connected(list(distinct.values())):
        members = [distinct[record] for record in group]
        sexes = {member.sex for member in members} - {None}
        if len(sexes) < 2:
            persons.append(group)
            continue
        for sex in sexes:
            persons += _connected([member for member in members if member.sex == sex])
        persons += [{member.record} for member in members if member.sex is None]
    return sorted(persons, key=min)


def person_id(mac: Mac, members: Iterable[bytes]) -> str:
    """The enterprise id of the person who is these records: it depends on the least member only.

    Raises:
        ValueError: no members.
    """
    digest = mac("person", min(members).hex())
    return "p-" + b32encode(digest[:_PERSON_ID_BYTES]).decode().rstrip("=").lower()


def _strong(facts: pl.DataFrame) -> pl.DataFrame:
    """`source`, `patient_id`, `system`, `value` of the strong identifiers."""
    identifiers = facts.filter((pl.col("kind") == "identifier") & pl.col("usable"))
    system = pl.col("value_text").str.extract(r"^([^|]*)\|", 1).str.strip_chars().str.strip_chars_end("/")
    value = pl.col("value_text").str.extract(r"^[^|]*\|(?s)(.*)$", 1).str.strip_chars().str.to_uppercase()
    type_ = pl.col("codes").list.first()
    bare = pl.col("value").str.replace_all(r"[\s.\-/]", "")
    named = identifiers.select("source", "patient_id", system=system, value=value, type=type_)
    return named.filter(
        (pl.col("type").is_null() | pl.col("type").is_in(STRONG_TYPES))
        & (pl.col("system") != "")
        & (bare.str.len_chars() > 0)
        & ~bare.str.contains(_PLACEHOLDER)
    ).with_columns(value=pl.when(pl.col("type") == "SS").then(bare).otherwise("value"))


def _connected(records: Sequence[RecordKeys]) -> list[set[bytes]]:
    """Connected components of records by shared blocks."""
    leader = {record.record: record.record for record in records}

    def find(record: bytes) -> bytes:
        while leader[record] != record:
            leader[record] = leader[leader[record]]
            record = leader[record]
        return record

    first_of: dict[bytes, bytes] = {}
    for record in records:
        for block in record.blocks:
            here, there = find(record.record), find(first_of.setdefault(block, record.record))
            if here != there:
                leader[max(here, there)] = min(here, there)
    groups: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for record in records:
        groups[find(record.record)].add(record.record)
    return list(groups.values())
