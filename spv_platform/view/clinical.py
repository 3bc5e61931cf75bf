"""Facts of conditions, medications, allergies, procedures, immunisations, encounters, specimens and research consents.

A fact is `usable` when its resource's own status lets it count as evidence. The rules, per FHIR R4 value set:
a condition or allergy without a verification status counts, unless it is refuted, entered in error, or not yet
confirmed; a medication counts as taken only by a statement, administration or dispense, never by a request.
"""

from collections.abc import Sequence

import polars as pl

from spv_platform.view.codes import SYSTEMS, display, display_or_code, keys, lookup
from spv_platform.view.rows import conditions_in, fact_rows, has_profile, identifier_keys, live, own_type, when_true

#: FHIR's codes of clinicalStatus, of conditions and of allergies.
_COURSES = ("active", "recurrence", "relapse", "inactive", "remission", "resolved")
_UNVERIFIED = ("refuted", "entered-in-error", "differential", "provisional", "unconfirmed")
#: As FHIR and SNOMED CT say it, and in words.
_CONFIRMED = r"(?:^|-)confirmed\b|^410605003$"
_YET_TO_BE = r"(?:^|-)(?:not|non|un|never|cannot|to-be|until|if)(?:-|$)"
_TAKEN = (
    "statement:active",
    "statement:completed",
    "statement:stopped",
    "statement:on-hold",
    "administration:completed",
    "administration:in-progress",
    "administration:stopped",
    "dispense:completed",
)
_DONE = ("completed", "in-progress")
_VISITED = ("arrived", "triaged", "in-progress", "onleave", "finished")

# ICD-10-CM chapter 2: C77-C79 and C7B are secondary, C00-C96 else malignant, D00-D09 in situ.
_ICD10_SECONDARY = r"^C7(?:[789]|B)"
_ICD10_CANCER = r"^(?:C[0-8]\d|C9[0-6]|C[47][A]|D0\d)"
_SECONDARY_WORDS = r"(?i)^(?:secondary malignant neoplasm|metastatic (?:malignant|carcinoma)|metastasis (?:to|from))"
_CANCER_WORDS = (
    r"(?i)^(?:primary |overlapping )?malignant (?:neoplasm|neoplastic|tumou?r|melanoma|lymphoma|glioma|mesothelioma)"
    r"|\b(?:adenocarcinoma|carcinoma|sarcoma|leuka?emia|lymphoma|myeloma|glioblastoma|neuroblastoma|mesothelioma)\b"
)
_NO_CANCER_WORDS = (
    r"(?i)\b(?:history|family|suspected|screening|risk|fear|benign|no evidence|negative|disorder due to)\b"
)

_OTHER_STAGING = (
    r"(?i)\b(?:R?-?ISS|Rai|Binet|INSS|INRG|INRGSS|International Staging System|neuroblastoma|Wilms|lymphoma|lymphocytic"
    r"|myeloma|Ann Arbor|Lugano|rhabdomyosarcoma|Breslow|Clark)\b"
)


def facts_of_conditions(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Conditions, cancers and metastases, and the stages that a condition states without an Observation behind them.

    Which it is: an mCODE profile decides, then the codes, then the display of a SNOMED CT coding. A cancer's histology
    is in `value_codes` and `value_display`. `status` is the clinical status, or the verification status where that is
    what keeps the fact from counting.
    """
    clinical = _status_of("clinical_status", _COURSES)
    verification = pl.coalesce(unverified_as(_UNVERIFIED), _not_confirmed())
    unverified = verification.is_not_null()
    ended = pl.when(pl.col("abatement").is_not_null()).then(pl.lit("inactive"))
    rows = live(rows).with_columns(
        _kind=_condition_kind(),
        _usable=~unverified,
        _status=pl.when(unverified).then(verification).otherwise(pl.coalesce(clinical, ended)),
    )
    conditions = fact_rows(
        rows,
        pl.col("_kind"),
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text"),
        value_codes=keys("histology"),
        value_display=display("histology"),
        polarity=pl.when("_usable").then(pl.lit("present")),
        body_site=display("body_site"),
        cancers=pl.concat_list(pl.col("related_primary_key")).list.drop_nulls(),
        status=pl.col("_status"),
        usable=pl.col("_usable"),
        known=pl.col("recorded"),
        **when_true("onset"),
    )
    # A stage with an assessment is the Observation's to tell: it has the date, and the two often differ.
    staged = rows.filter((pl.col("stage").list.len() > 0) & (pl.col("stage_assessment").list.len().fill_null(0) == 0))
    stages = fact_rows(
        staged.filter(pl.col("_kind") != "condition"),
        "stage",
        codes=keys("stage_type"),
        display=display("stage_type"),
        value_codes=keys("stage"),
        value_display=display("stage"),
        value_text=stage_group(display("stage")),
        cancers=pl.concat_list(pl.concat_str("resource_type", pl.lit("/"), "resource_id")),
        status=pl.col("_status"),
        usable=pl.col("_usable"),
        known=pl.col("recorded"),
    )
    return [conditions, stages]


def _status_of(column: str, known: Sequence[str]) -> pl.Expr:
    """The status that FHIR knows, whichever coding has it; else the first code: senders add codes of their own."""
    codes = pl.col(column).list.eval(pl.element().struct.field("code"))
    return pl.coalesce(codes.list.eval(pl.element().filter(pl.element().is_in(known))).list.first(), codes.list.first())


def unverified_as(among: Sequence[str]) -> pl.Expr:
    """Which of these a problem is, by any coding or the words of its verification status; null: none."""
    return _verification().list.eval(pl.element().filter(pl.element().is_in(among))).list.first()


def _not_confirmed() -> pl.Expr:
    """`unconfirmed` where a stated verification status says nowhere that the problem is confirmed; else null."""
    said = _verification().list.drop_nulls()
    word = pl.element().str
    confirmed = said.list.eval(word.contains(_CONFIRMED) & ~word.contains(_YET_TO_BE)).list.any()
    return pl.when((said.list.len() > 0) & ~confirmed).then(pl.lit("unconfirmed"))


def _verification() -> pl.Expr:
    """What codings and words a verification status has, spelt as FHIR spells its codes."""
    coding = pl.col("verification_status").list.eval
    said = pl.concat_list(
        coding(pl.element().struct.field("code")).fill_null([]),
        coding(pl.element().struct.field("display")).fill_null([]),
        "verification_status_text",
    )
    return said.list.eval(pl.element().str.strip_chars().str.to_lowercase().str.replace_all(r"[\s_]+", "-"))


def stage_group(text: pl.Expr) -> pl.Expr:
    """The stage group in a text such as "AJCC stage IIIC (qualifier value)" or "IV": Roman numerals, upper case.

    Null for staging systems of their own, whose stage II is not the stage II of TNM.
    """
    group = r"(IV|I{1,3}|0|[1-4])\s?([ABC]\d?)?"
    found = pl.coalesce(
        text.str.extract(rf"(?i)\bstage\s+(?:group\s+)?((?:{group}))\b", 1),
        text.str.extract(rf"(?i)^\s*({group})\s*$", 1),
    )
    roman = found.str.to_uppercase().str.replace_all(" ", "")
    for digit, numeral in (("1", "I"), ("2", "II"), ("3", "III"), ("4", "IV")):
        roman = roman.str.replace(rf"^{digit}", numeral)
    return pl.when(~text.str.contains(_OTHER_STAGING)).then(roman)


def facts_of_medications(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Medications; `status` says where it is from and its state, as in "request:active"."""
    origin = own_type().str.strip_prefix("Medication").str.to_lowercase()
    status = pl.concat_str(origin, pl.lit(":"), pl.col("status").fill_null("unknown"))
    medications = fact_rows(
        live(rows).with_columns(_status=status),
        "medication",
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text"),
        status=pl.col("_status"),
        usable=pl.col("_status").is_in(_TAKEN) & ~pl.col("do_not_perform").fill_null(False),
        cancers=conditions_in("reason_reference"),
        known=pl.col("authored"),
        **when_true("effective", "effective_period"),
    )
    return [medications]


def facts_of_allergies(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Allergies and intolerances; `value_display` holds the criticality."""
    clinical = _status_of("clinical_status", _COURSES)
    verification = unverified_as(_UNVERIFIED[:2])
    unverified = verification.is_not_null()
    allergies = fact_rows(
        live(rows),
        "allergy",
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text"),
        value_display=pl.col("criticality"),
        # An unconfirmed allergy is still one to heed; only a refuted one is none.
        status=pl.when(unverified).then(verification).otherwise(clinical),
        usable=~unverified,
        known=pl.col("recorded"),
        **when_true("onset"),
    )
    return [allergies]


def facts_of_procedures(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Procedures."""
    procedures = fact_rows(
        live(rows),
        "procedure",
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text"),
        value_codes=keys("outcome"),
        value_display=display("outcome"),
        body_site=display("body_site"),
        cancers=conditions_in("reason_reference"),
        status=pl.col("status"),
        usable=pl.col("status").is_in(_DONE).fill_null(False),
        **when_true("performed", "performed_period"),
    )
    return [procedures]


def facts_of_immunizations(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Immunisations."""
    immunizations = fact_rows(
        live(rows),
        "immunization",
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text"),
        status=pl.col("status"),
        usable=pl.col("status").eq("completed").fill_null(False),
        known=pl.col("recorded"),
        **when_true("occurrence"),
    )
    return [immunizations]


def facts_of_encounters(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Encounters; `value_codes` and `value_display` hold the class, `value_text` the key of the service provider."""
    encounters = fact_rows(
        live(rows),
        "encounter",
        codes=keys("type"),
        display=display("type"),
        value_codes=keys("class"),
        value_text=pl.col("service_provider_key"),
        value_display=display_or_code("class"),
        status=pl.col("status"),
        usable=pl.col("status").is_in(_VISITED).fill_null(False),
        time=pl.coalesce("period_from", "period_to"),
        time_start=pl.col("period_start"),
        time_end=pl.col("period_end"),
    )
    return [encounters]


def facts_of_others(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Refusals of research use, and specimens."""
    return [*facts_of_consents(rows), *facts_of_specimens(rows)]


def facts_of_specimens(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Specimens, with what they are, when they were taken, and what they are known by: results point to them."""
    taken = fact_rows(
        live(rows).filter(own_type() == "Specimen"),
        "specimen",
        codes=keys("code"),
        display=display("code"),
        value_codes=pl.concat_list(identifier_keys(name).fill_null([]) for name in ("identifier", "accession")),
        status=pl.col("status"),
        usable=~pl.col("status").eq("entered-in-error").fill_null(False),
        **when_true("date"),
    )
    return [taken]


def facts_of_consents(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Refusals of research use: Consents of scope research that deny, as a whole or with an exception.

    What an exception is about is not weighed: who refuses a part is not to be found by the rest.
    """
    research = keys("scope").list.eval(pl.element().str.ends_with("|research")).list.any()
    denies = (pl.col("provision_type") == "deny").fill_null(False)
    for exceptions in ("exception_type", "inner_exception_type"):
        denies |= pl.col(exceptions).list.contains("deny").fill_null(False)
    refused = live(rows).filter((own_type() == "Consent") & denies & research.fill_null(False))
    opt_outs = fact_rows(
        refused,
        "opt_out",
        codes=keys("scope"),
        polarity=pl.lit("present"),
        status=pl.col("status"),
        usable=pl.col("status").eq("active").fill_null(False),
        known=pl.col("date"),
        time=pl.coalesce("provision_period_from", "date"),
        time_start=pl.coalesce("provision_period_start", "date_start"),
        time_end=pl.col("provision_period_end"),
    )
    return [opt_outs]


def _condition_kind() -> pl.Expr:
    def coded(alias: str, pattern: str, part: str) -> pl.Expr:
        coding = pl.element().struct
        matches = coding.field("system").is_in(SYSTEMS[alias]) & coding.field(part).str.contains(pattern)
        return pl.col("code").list.eval(matches.fill_null(False)).list.any().fill_null(False)

    named_cancer = coded("sct", _CANCER_WORDS, "display") & ~coded("sct", _NO_CANCER_WORDS, "display")
    return (
        pl.when(has_profile("mcode-primary-cancer-condition"))
        .then(pl.lit("cancer"))
        .when(has_profile("mcode-secondary-cancer-condition"))
        .then(pl.lit("metastasis"))
        .when(lookup("code", "condition").is_not_null())
        .then(lookup("code", "condition"))
        .when(coded("icd10", _ICD10_SECONDARY, "code"))
        .then(pl.lit("metastasis"))
        .when(coded("icd10", _ICD10_CANCER, "code"))
        .then(pl.lit("cancer"))
        .when(coded("sct", _SECONDARY_WORDS, "display"))
        .then(pl.lit("metastasis"))
        .when(named_cancer)
        .then(pl.lit("cancer"))
        .otherwise(pl.lit("condition"))
    )
