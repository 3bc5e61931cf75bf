"""A row of the patient view in plain sentences, for a person at a terminal.

The lines are data about a patient: print them, never log them.
"""

from collections.abc import Mapping
from typing import Any

#: What is there, or stated to be absent, without a value.
_DIAGNOSES = ("cancers", "metastases", "problems")
_POLARITY = {"present": "positive", "absent": "negative", "indeterminate": "indeterminate"}
_ALTERATION = {"copy_number_gain": "copy number gain", "copy_number_loss": "copy number loss"}

#: Section title -> columns of the view, in the order of reading.
_SECTIONS = {
    "Cancer": ("cancers", "metastases", "stages", "tnm", "ecog", "karnofsky"),
    "Biomarkers": ("tumor_markers", "variants", "regions_studied", "tmb", "msi", "mmr"),
    "Problems": ("problems",),
    "Medications": ("medications",),
    "Allergies": ("allergies",),
}
_NOUN = {
    "cancers": "cancer",
    "metastases": "metastasis",
    "stages": "stage",
    "tnm": "TNM",
    "ecog": "ECOG",
    "karnofsky": "Karnofsky",
    "regions_studied": "genes tested",
    "tmb": "tumour mutational burden",
    "msi": "microsatellite instability",
    "mmr": "mismatch repair deficiency",
}


def explain(row: Mapping[str, Any]) -> list[str]:
    """Sentences about one person.

    Args:
        row: one row of `patient_view`, as a dict.

    Returns:
        Lines: who it is, then a title per section that has facts, with one indented line per fact, its date and the
        resource it comes from.
    """
    lines = [_who(row), f"Known to: {', '.join(row['sources'])}"]
    for system_value in row["identifiers"]:
        kind = system_value["type"] or "identifier"
        lines.append(
            f"{kind} {system_value['value']} ({system_value['system'] or 'no system'}, {system_value['source']})"
        )
    if row["opted_out"]:
        lines.append("Has denied research use: matched to no trial.")
    for title, columns in _SECTIONS.items():
        told = [f"  {_sentence(column, fact)}" for column in columns for fact in row[column]]
        lines += [f"{title}:", *told] if told else []
    if row["encounter_count"]:
        lines.append(f"{row['encounter_count']} encounters, the last on {_day(row['last_encounter'])}.")
    return lines


def _who(row: Mapping[str, Any]) -> str:
    parts = [row["name"] or "No name", row["gender"] or "sex not stated"]
    parts.append(f"born {row['birth_date']}" if row["birth_date"] else "date of birth not stated")
    if row["deceased"]:
        parts.append(f"died {row['deceased_date']}" if row["deceased_date"] else "dead")
    return f"{row['person_id']}: {', '.join(parts)}"


def _sentence(column: str, fact: Mapping[str, Any]) -> str:
    what = _variant(fact) if column == "variants" else _finding(column, fact)
    where = f"{fact['source']}, {fact['resource_type']}/{fact['resource_id']}"
    return f"{what}; {_day(fact['date'] or fact['known'])} ({where})"


def _finding(column: str, fact: Mapping[str, Any]) -> str:
    if column == "regions_studied":
        return f"{_NOUN[column]}: {', '.join(fact['genes']) or 'not stated'}"
    noun, name = _NOUN.get(column), fact["display"] or (fact["codes"] or [None])[0]
    subject = ": ".join(filter(None, (noun, name))) or "not named"
    if column in ("ecog", "karnofsky", "tmb", "msi", "mmr"):
        subject = _NOUN[column]
    value = ("absent" if fact["polarity"] == "absent" else "") if column in _DIAGNOSES else _value(fact)
    state = f" [{fact['status']}]" if column in ("cancers", "problems", "medications") and fact["status"] else ""
    return (f"{subject}: {value}" if value else subject) + state


def _value(fact: Mapping[str, Any]) -> str:
    if fact["value_text"]:
        unit = None if fact["unit"] == "1" else fact["unit"]
        return " ".join(filter(None, (fact["comparator"], fact["value_text"], unit)))
    return _POLARITY.get(fact["polarity"] or "", "") or fact["value_display"] or ""


def _variant(fact: Mapping[str, Any]) -> str:
    genes = "-".join(fact["genes"]) or "gene not stated"
    change = " ".join((fact["hgvs_protein"] or fact["hgvs_coding"] or fact["hgvs_genomic"] or [])[:1])
    alteration = fact["alteration"] and _ALTERATION.get(fact["alteration"], fact["alteration"])
    share = f"allele fraction {fact['vaf']:.1%}" if fact["vaf"] is not None else ""
    told = ", ".join(filter(None, (alteration, change, fact["origin"], share)))
    return f"{genes} {fact['polarity'] or 'not stated'}" + (f" ({told})" if told else "")


def _day(time: str | None) -> str:
    return time[:10] if time else "undated"
