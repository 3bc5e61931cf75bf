"""The facts that a file of plain FHIR states, without an installation: for whoever writes criteria or checks a feed."""

import gzip
from pathlib import Path
from typing import Any

import polars as pl

from spv_platform.fhir.parse import parse_object
from spv_platform.view.facts import bearing, facts_of

_MAX_ENTRIES = 1_000_000

#: What a fact is shown by: who, what, how much, whether, when, whence.
_SHOWN = (
    *("patient_id", "kind", "codes", "display", "value_number", "comparator", "value_text", "unit", "value_codes"),
    *(
        "value_display",
        "polarity",
        "genes",
        "alteration",
        "hgvs_protein",
        "hgvs_coding",
        "hgvs_genomic",
        "origin",
        "vaf",
    ),
    *("copy_number", "consequence", "exon", "call", "zygosity", "body_site", "method", "specimen"),
    *("specimen_display", "laboratory", "cancers", "status"),
    *("usable", "time", "known", "resource_type", "resource_id"),
)


def facts_of_file(file: Path) -> list[dict[str, Any]]:
    """The facts that a file of plain FHIR states, without what identifies somebody.

    Args:
        file: a Bundle or resource as JSON, or resources as NDJSON; plain or gzip.
    """
    data = file.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    kind = "application/fhir+ndjson" if ".ndjson" in file.name else "application/fhir+json"
    parsed = parse_object(
        data,
        content_type=kind,
        source="file",
        landing_seq=1,
        source_object=file.name,
        batch_id="file",
        max_entries=_MAX_ENTRIES,
    )
    found = facts_of(bearing(parsed.tables))
    shown = found.filter(~pl.col("kind").is_in(["none", "identifier", "name", "address", "place", "telecom"]))
    rows = shown.select(_SHOWN).sort("patient_id", "kind", "resource_type", "resource_id", maintain_order=True)
    return [
        {name: value for name, value in row.items() if value not in (None, [])} for row in rows.iter_rows(named=True)
    ]
