"""MatchMiner's clinical and genomic records, in MongoDB's extended JSON, as persons and facts.

Each clinical record is a sample of a patient and becomes a person of its own, as MatchMiner matches it. Its facts have
no time: they count whatever the day of evaluation, as there.
"""

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from spv_platform.errors import UsageError
from spv_platform.trials import oncotree
from spv_platform.trials.matchminer.words import CALLS, GAINS, POLARITY, REPAIR, SIGNATURES, YES_NO
from spv_platform.trials.questions import INTERGENIC
from spv_platform.trials.terms import current_gene
from spv_platform.view.schema import SCHEMA

_Record = dict[str, Any]
_SCHEMA = {**SCHEMA, "person_id": pl.String()}
_REPORTED = {"MUTATION", "CNV", "SV", "SIGNATURE"}
#: A word of a report's text that looks like a gene.
_GENE_WORD = re.compile(r"\b[A-Z][A-Z0-9]{2,}(?:-\d+)?\b")


class RecordError(UsageError):
    """A file is not one of clinical or genomic records."""


@dataclass(frozen=True)
class Records:
    """What the files say.

    Attributes:
        persons: `person_id`, `opted_out`: one a clinical record.
        facts: columns of `view.schema.SCHEMA` and `person_id`.
        samples: person id -> `SAMPLE_ID`.
    """

    persons: pl.DataFrame
    facts: pl.DataFrame
    samples: dict[str, str]


def read_records(clinical: Path, genomic: Path) -> Records:
    """Read both files, plain or gzip, as a JSON array or one record a line.

    Raises:
        RecordError: not such a file, a record without its id, or a genomic record of nobody.
    """
    samples: dict[str, str] = {}
    rows: list[_Record] = []
    for where, record in _load(clinical):
        person = _id(record.get("_id"), f"{where}: `_id`")
        if person in samples:
            raise RecordError(f"{where}: the id {person} stands twice: give each record its own")
        samples[person] = str(record.get("SAMPLE_ID") or person)
        rows += [_row(person, "clinical", person, fact) for fact in _clinical(record, where)]
    for where, record in _load(genomic):
        person = _id(record.get("CLINICAL_ID"), f"{where}: `CLINICAL_ID`")
        if person not in samples:
            raise RecordError(f"{where}: no clinical record {person} in {clinical.name}: add it, or leave this one out")
        name = _id(record.get("_id"), f"{where}: `_id`")
        rows += [_row(person, "genomic", name, fact) for fact in _genomic(record, where)]
    persons = pl.DataFrame({"person_id": list(samples)}, schema={"person_id": pl.String})
    facts = pl.DataFrame(rows, schema=_SCHEMA)
    return Records(persons.with_columns(opted_out=pl.lit(False)), facts, samples)


def _load(file: Path) -> Iterator[tuple[str, _Record]]:
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RecordError(
            f"{file}: cannot be read ({type(error).__name__}): it has to be JSON, plain or gzip"
        ) from None
    lines = [text] if text.lstrip().startswith("[") else text.splitlines()
    number = 0
    for at, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise RecordError(f"{file.name}: line {at}: not JSON: export it again") from None
        for record in found if isinstance(found, list) else [found]:
            number += 1
            if not isinstance(record, dict):
                raise RecordError(f"{file.name}: record {number}: not an object: export it again")
            yield f"{file.name}: record {number}", {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    """A number in extended JSON as a number; what is not a number (NaN) is nothing."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, stated),) = value.items()
        if kind in ("$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"):
            try:
                value = float(stated)
            except (TypeError, ValueError):
                return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _id(value: Any, where: str) -> str:
    if isinstance(value, dict):
        value = value.get("$oid")
    if not isinstance(value, str | int) or value == "":
        raise RecordError(f"{where} is missing: every record needs it")
    return str(value)


def _row(person: str, collection: str, name: str, fact: _Record) -> _Record:
    stands = {
        "resource_type": collection,
        "resource_id": name,
        "usable": True,
        "deleted": False,
        "source": "matchminer",
    }
    return {"person_id": person, "patient_id": person, **stands, **fact}


def _clinical(record: _Record, where: str) -> Iterator[_Record]:
    born = _birth_date(record, where)
    if born is not None:
        start = datetime(born.year, born.month, born.day)
        yield {"kind": "birth_date", "time": str(born), "time_start": start, "time_end": start + timedelta(days=1)}
    if gender := _text(record, "GENDER"):
        yield {"kind": "gender", "value_text": gender.lower()}
    if (status := _text(record, "VITAL_STATUS")) and status.lower() in ("alive", "deceased"):
        yield {"kind": "deceased", "polarity": "present" if status.lower() == "deceased" else "absent"}
    if diagnosis := _text(record, "ONCOTREE_PRIMARY_DIAGNOSIS_NAME"):
        yield {"kind": "cancer", "codes": [f"{oncotree.SYSTEM}|{diagnosis}"], "display": diagnosis}
    burden = record.get("TUMOR_MUTATIONAL_BURDEN_PER_MEGABASE")
    if isinstance(burden, int | float):
        yield {"kind": "tmb", "value_number": float(burden), "value_text": f"{burden:g}", "unit": "1/1000000{Base}"}
    yield from _repair(record)
    for name, marker in (("ER_STATUS", "ER"), ("PR_STATUS", "PR"), ("HER2_STATUS", "HER2")):
        said = POLARITY.get(_text(record, name).lower())
        if said:
            polarity = "present" if said == "positive" else "absent"
            yield {"kind": "tumor_marker", "display": marker, "codes": [], "polarity": polarity}


def _genomic(record: _Record, where: str) -> Iterator[_Record]:
    category = _text(record, "VARIANT_CATEGORY")
    if category not in _REPORTED:
        raise RecordError(f"{where}: `VARIANT_CATEGORY` is none of {', '.join(sorted(_REPORTED))}: correct it")
    if category == "SIGNATURE":
        yield from _repair(record)
        for name in SIGNATURES:
            said = YES_NO.get(_text(record, f"{name.upper()}_STATUS").lower())
            if said:
                yield {"kind": "signature", "codes": [f"signature|{name}"], "polarity": said}
        return
    wild = record.get("WILDTYPE") is True
    stated: _Record = {
        "kind": "variant",
        "polarity": "absent" if wild else "present",
        "hgvs_protein": [change] if (change := _text(record, "HARMONIZED_PROTEIN_CHANGE")) else [],
        "hgvs_coding": [change] if (change := _text(record, "HARMONIZED_CDNA_CHANGE")) else [],
        "consequence": _text(record, "HARMONIZED_VARIANT_CLASSIFICATION") or None,
        "exon": int(exon) if isinstance(exon := record.get("TRUE_TRANSCRIPT_EXON"), int | float) else None,
    }
    if category == "SV":
        for genes in _partners(record):
            yield stated | {"alteration": "fusion", "genes": genes, "value_text": _text(record, _COMMENT) or None}
        return
    gene = current_gene(_text(record, "HARMONIZED_HUGO_SYMBOL"))
    alteration = "mutation"
    if category == "CNV":
        call = CALLS.get(_text(record, "CNV_CALL").lower())
        alteration = "copy_number_gain" if call in GAINS else "copy_number_loss" if call else ""
        stated["call"] = call
    yield stated | {"alteration": alteration or None, "genes": [gene] if gene else []}


_COMMENT = "STRUCTURAL_VARIANT_COMMENT"


def _partners(record: _Record) -> Iterator[list[str]]:
    """The genes of a structural variant; of an old report in words, each gene that it names, its partner unknown."""
    left, right = _text(record, "HARMONIZED_LEFT_PARTNER_GENE"), _text(record, "HARMONIZED_RIGHT_PARTNER_GENE")
    if left or right:
        yield [current_gene(left) or INTERGENIC, current_gene(right) or INTERGENIC]
        return
    for gene in dict.fromkeys(_GENE_WORD.findall(_text(record, _COMMENT))):
        yield [current_gene(gene)]


def _repair(record: _Record) -> Iterator[_Record]:
    mmr, msi = REPAIR.get(_text(record, "MMR_STATUS").lower(), (None, None))
    if mmr:
        yield {"kind": "mmr", "polarity": "present" if mmr == "deficient" else "absent"}
    if msi:
        yield {"kind": "msi", "polarity": "present" if msi == "high" else "absent"}


def _birth_date(record: _Record, where: str) -> date | None:
    number, stated = record.get("BIRTH_DATE_INT"), record.get("BIRTH_DATE")
    try:
        if number is not None:
            return datetime.strptime(str(int(number)), "%Y%m%d").replace(tzinfo=UTC).date()
        return _date(stated) if stated else None
    except (ValueError, TypeError, OverflowError):
        raise RecordError(f"{where}: the birth date is no date: write BIRTH_DATE_INT as 19801125") from None


def _date(value: Any) -> date:
    value = value["$date"] if isinstance(value, dict) else value
    value = value["$numberLong"] if isinstance(value, dict) else value
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        return datetime.fromisoformat(value).date()
    return (datetime(1970, 1, 1) + timedelta(milliseconds=int(value))).date()


def _text(record: _Record, name: str) -> str:
    value = record.get(name)
    return value.strip() if isinstance(value, str) else ""
