"""The description of the table `patient_view`: each column once, with what it means and how it may identify a person.

What belongs here: names, types, sentences, PHI classes. What does not: how a column is made (`view.patient`).
"""

import polars as pl

from spv_platform.lake.describe import DerivedColumn, DerivedTable, Phi

_POINTER: dict[str, pl.DataType] = {
    "source": pl.String(),
    "resource_type": pl.String(),
    "resource_id": pl.String(),
    "source_object": pl.String(),
    "source_entry": pl.Int64(),
}

#: One fact in a list of the view; its last five fields point to the resource that says so.
FACT: dict[str, pl.DataType] = {
    "display": pl.String(),
    "codes": pl.List(pl.String),
    "value_number": pl.Float64(),
    "value_text": pl.String(),
    "comparator": pl.String(),
    "unit": pl.String(),
    "value_codes": pl.List(pl.String),
    "value_display": pl.String(),
    "polarity": pl.String(),
    "body_site": pl.String(),
    "status": pl.String(),
    "date": pl.String(),
    "known": pl.String(),
    **_POINTER,
}

#: One genomic fact.
VARIANT: dict[str, pl.DataType] = {
    "genes": pl.List(pl.String),
    "gene_ids": pl.List(pl.String),
    "alteration": pl.String(),
    "hgvs_protein": pl.List(pl.String),
    "hgvs_coding": pl.List(pl.String),
    "hgvs_genomic": pl.List(pl.String),
    "origin": pl.String(),
    "vaf": pl.Float64(),
    "copy_number": pl.Float64(),
    "consequence": pl.String(),
    **FACT,
}

IDENTIFIER: dict[str, pl.DataType] = {
    "source": pl.String(),
    "type": pl.String(),
    "use": pl.String(),
    "system": pl.String(),
    "value": pl.String(),
    "resource_id": pl.String(),
}
#: A name, address or contact point.
TEXT: dict[str, pl.DataType] = {
    "source": pl.String(),
    "use": pl.String(),
    "text": pl.String(),
    "resource_id": pl.String(),
}
RECORD: dict[str, pl.DataType] = {"source": pl.String(), "patient_id": pl.String()}


def _of(table: str, *columns: str) -> tuple[str, ...]:
    return tuple(f"{table}.{column}" for column in columns)


#: What exact evidence links records by (`identity.link`).
_LINKED_BY = _of("patient", "identifier", "birth_date", "gender")
_CODED = ("code", "code_text")
_VERIFIED = ("clinical_status", "verification_status", "verification_status_text")
_CONDITION = _of("condition", *_VERIFIED, *_CODED, "onset", "abatement", "recorded", "histology", "body_site")
_STAGE = _of("condition", *_VERIFIED, "code", "abatement", "recorded", "stage", "stage_type", "stage_assessment")
_OBSERVATION = _of(
    "observation",
    "status",
    *_CODED,
    "effective",
    "effective_period",
    "issued",
    "value",
    "value_concept",
    "value_concept_text",
    "value_string",
    "value_integer",
    "value_boolean",
    "value_time",
    "value_ratio_numerator",
    "value_ratio_denominator",
    "value_range_low",
    "value_range_high",
    "absent_reason",
    "absent_reason_text",
    "interpretation",
    "body_site",
    "has_member",
    "component",
)
_VARIANT_SOURCES = _of(
    "observation",
    "status",
    *_CODED,
    "effective",
    "effective_period",
    "issued",
    "value_concept",
    "interpretation",
    "component",
    "component_text",
)
_MEDICATION = _of("medication", "status", *_CODED, "effective", "effective_period", "authored", "do_not_perform")
_ALLERGY = _of("allergy", *_VERIFIED, *_CODED, "criticality", "onset", "recorded")
_PROCEDURE = _of("procedure", "status", *_CODED, "performed", "performed_period", "outcome", "body_site")
_IMMUNIZATION = _of("immunization", "status", *_CODED, "occurrence", "recorded")
_VISIT = _of("encounter", "status", "period")
_ENCOUNTER = (*_VISIT, *_of("encounter", "class", "type", "service_provider"))
_CONSENT = _of("other_resource", "status", "scope", "provision_type", "exception_type", "inner_exception_type")


def _list(fields: dict[str, pl.DataType]) -> pl.DataType:
    return pl.List(pl.Struct(fields))


def _facts(name: str, description: str, sources: tuple[str, ...]) -> DerivedColumn:
    return DerivedColumn(name, _list(FACT), f"{description}, latest first.", sources=sources)


COLUMNS: tuple[DerivedColumn, ...] = (
    DerivedColumn("person_id", pl.String(), "The enterprise id of the person.", Phi.QUASI, _LINKED_BY),
    DerivedColumn("sources", pl.List(pl.String), "Feeds that know the person, sorted.", Phi.NONE),
    DerivedColumn(
        "records", _list(RECORD), "The records that are this person: source and id of the Patient.", Phi.DIRECT
    ),
    DerivedColumn(
        "identifiers", _list(IDENTIFIER), "Business identifiers, by source.", Phi.DIRECT, _of("patient", "identifier")
    ),
    DerivedColumn(
        "name",
        pl.String(),
        "The name of the newest record: official before usual before others.",
        Phi.DIRECT,
        _of("patient", "name"),
    ),
    DerivedColumn("names", _list(TEXT), "Every name, by source.", Phi.DIRECT, _of("patient", "name")),
    DerivedColumn(
        "gender",
        pl.String(),
        "Administrative gender of the newest record that states one.",
        Phi.QUASI,
        _of("patient", "gender"),
    ),
    DerivedColumn("birth_sex", pl.String(), "Sex assigned at birth, likewise.", Phi.QUASI, _of("patient", "birth_sex")),
    DerivedColumn(
        "birth_date", pl.String(), "Date of birth as sent, likewise.", Phi.DIRECT, _of("patient", "birth_date")
    ),
    DerivedColumn(
        "birth_date_start",
        pl.Datetime("us"),
        "Begin of the interval that the date stands for.",
        Phi.DIRECT,
        _of("patient", "birth_date"),
    ),
    DerivedColumn(
        "birth_date_end",
        pl.Datetime("us"),
        "End of that interval, exclusive.",
        Phi.DIRECT,
        _of("patient", "birth_date"),
    ),
    DerivedColumn(
        "deceased",
        pl.Boolean(),
        "Some record says dead; false: all that state it say alive.",
        sources=_of("patient", "deceased", "deceased_time"),
    ),
    DerivedColumn(
        "deceased_date",
        pl.String(),
        "The earliest date of death that a record states.",
        Phi.DIRECT,
        _of("patient", "deceased_time"),
    ),
    DerivedColumn("addresses", _list(TEXT), "Addresses on one line, by source.", Phi.DIRECT, _of("patient", "address")),
    DerivedColumn("telecoms", _list(TEXT), "Contact points, by source.", Phi.DIRECT, _of("patient", "telecom")),
    _facts("problems", "Active problems that are no cancer", _CONDITION),
    _facts("cancers", "Primary cancers in any clinical state; value: the histology", _CONDITION),
    _facts("metastases", "Secondary cancers", _CONDITION),
    _facts("stages", "Cancer stages", (*_STAGE, *_OBSERVATION)),
    _facts("tnm", "TNM categories", _OBSERVATION),
    _facts("ecog", "ECOG performance status, 0 to 5", _OBSERVATION),
    _facts("karnofsky", "Karnofsky performance status, 0 to 100", _OBSERVATION),
    _facts("tumor_markers", "Tumour marker tests", _OBSERVATION),
    DerivedColumn(
        "variants", _list(VARIANT), "Genomic variants, present and absent, latest first.", sources=_VARIANT_SOURCES
    ),
    DerivedColumn("regions_studied", _list(VARIANT), "Genes that were tested, latest first.", sources=_VARIANT_SOURCES),
    _facts("tmb", "Tumour mutational burden", _OBSERVATION),
    _facts("msi", "Microsatellite instability; polarity present: high", _OBSERVATION),
    _facts("mmr", "Mismatch repair by immune stain; polarity present: deficient", _OBSERVATION),
    _facts("medications", "Drugs ordered, stated, dispensed and administered; the status says which", _MEDICATION),
    _facts("allergies", "Allergies and intolerances that are not resolved; value: the criticality", _ALLERGY),
    _facts("procedures", "Procedures done", _PROCEDURE),
    _facts("immunizations", "Vaccinations given", _IMMUNIZATION),
    _facts("latest_results", "The latest result of each other test, by its first code", _OBSERVATION),
    DerivedColumn("encounter_count", pl.Int64(), "Encounters that took place.", sources=_of("encounter", "status")),
    DerivedColumn("last_encounter", pl.String(), "Begin of the last of them, as sent.", Phi.QUASI, _VISIT),
    _facts("last_encounters", "The last five of them; value: the class, and who provided it", _ENCOUNTER),
    DerivedColumn("opted_out", pl.Boolean(), "An active consent denies research use.", sources=_CONSENT),
)

PATIENT_VIEW = DerivedTable(
    "patient_view", ("person_id",), COLUMNS, "The current single view of each person, with pointers to the sources."
)
