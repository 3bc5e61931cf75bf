"""The description of every FHIR resource table: each table and column is described once, here.

A source path is a dotted element path from the resource root (FHIR R4 element names). Lists are walked in order.
`a|b` takes the first alternative that is present. `extension(URL)` selects extensions by their url.
"""

from spv_platform.lake.describe import Column, Phi, Table

#: Days after today that a time can be without being a mistake. What is only planned has no such limit.
_TODAY, _TOMORROW = 0, 1


def _c(
    name: str,
    path: str,
    type_: str,
    description: str,
    phi: Phi = Phi.CLINICAL,
    latest_days: int | None = None,
) -> Column:
    return Column(name, path, type_, description, phi, latest_days)


def _loosely(name: str, what: str) -> tuple[Column, ...]:
    """The columns of a choice of types for a time, beside that of `…DateTime` and of the beginning of `…Period`."""
    return (
        _c(f"{name}_until", f"{name}Period.end", "time", f"{what}, the end of that time.", Phi.QUASI),
        _c(f"{name}_age", f"{name}Age", "quantity", f"{what}, as an age.", Phi.QUASI),
        _c(f"{name}_age_low", f"{name}Range.low", "quantity", f"{what}, the least age.", Phi.QUASI),
        _c(f"{name}_age_high", f"{name}Range.high", "quantity", f"{what}, the greatest age.", Phi.QUASI),
        _c(f"{name}_string", f"{name}String", "string", f"{what}, in words.", Phi.QUASI),
    )


_CODE = (
    _c("code", "code", "codings", "What the record is about, every coding as sent."),
    _c("code_text", "code.text", "string", "The text of the code.", Phi.QUASI),
)
_IDENTIFIER = _c("identifier", "identifier", "identifiers", "Business identifiers.", Phi.DIRECT)
_STATUS = _c("status", "status", "string", "The record's own status code.")
_CATEGORY = _c("category", "category", "codings", "Category of the record.")
_ENCOUNTER = _c("encounter", "encounter", "reference", "The encounter it belongs to.", Phi.QUASI)
_ISSUED = _c("issued", "issued", "time", "When it was made available.", Phi.QUASI, _TOMORROW)
_VERIFICATION_TEXT = _c(
    "verification_status_text", "verificationStatus.text", "string", "The same in words.", Phi.QUASI
)
_NOTE = _c("note", "note.text", "strings", "Notes, free text.", Phi.DIRECT)

PATIENT = Table(
    "patient",
    ("Patient",),
    "",
    (
        _IDENTIFIER,
        _c("active", "active", "boolean", "Whether the record is in active use."),
        _c("name", "name", "names", "Names.", Phi.DIRECT),
        _c("telecom", "telecom", "telecoms", "Contact points.", Phi.DIRECT),
        _c("gender", "gender", "string", "Administrative gender.", Phi.QUASI),
        _c(
            "birth_sex",
            "extension(http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex).valueCode",
            "string",
            "Sex assigned at birth (US Core).",
            Phi.QUASI,
        ),
        _c("birth_date", "birthDate", "time", "Date of birth, as precise as sent.", Phi.DIRECT, _TODAY),
        _c("deceased", "deceasedBoolean", "boolean", "Whether the patient is dead."),
        _c("deceased_time", "deceasedDateTime", "time", "When the patient died.", Phi.DIRECT, _TOMORROW),
        _c("address", "address", "addresses", "Addresses.", Phi.DIRECT),
        _c("place", "address", "places", "Where the addresses are, with the geolocation of FHIR.", Phi.DIRECT),
        _c("marital_status", "maritalStatus", "codings", "Marital status.", Phi.QUASI),
        _c(
            "race",
            "extension(http://hl7.org/fhir/us/core/StructureDefinition/us-core-race)"
            ".extension(ombCategory).valueCoding",
            "codings",
            "Race (US Core, OMB category).",
            Phi.QUASI,
        ),
        _c(
            "ethnicity",
            "extension(http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity)"
            ".extension(ombCategory).valueCoding",
            "codings",
            "Ethnicity (US Core, OMB category).",
            Phi.QUASI,
        ),
        _c("multiple_birth", "multipleBirthBoolean", "boolean", "Whether one of several at birth.", Phi.QUASI),
        _c("multiple_birth_order", "multipleBirthInteger", "integer", "Birth order.", Phi.QUASI),
        _c("general_practitioner", "generalPractitioner", "references", "Nominated practices.", Phi.QUASI),
        _c("managing_organization", "managingOrganization", "reference", "Custodian of the record.", Phi.QUASI),
        _c("link_other", "link.other", "references", "Other records of the same person, as stated.", Phi.QUASI),
        _c("link_type", "link.type", "strings", "What each link means."),
    ),
    "Patient records as each source sends them.",
)

CONDITION = Table(
    "condition",
    ("Condition",),
    "subject",
    (
        _IDENTIFIER,
        _c("clinical_status", "clinicalStatus", "codings", "active, recurrence, remission, resolved, …"),
        _c("verification_status", "verificationStatus", "codings", "confirmed, differential, refuted, …"),
        _VERIFICATION_TEXT,
        _CATEGORY,
        _c("severity", "severity", "codings", "Severity."),
        *_CODE,
        _c("body_site", "bodySite", "codings", "Body site."),
        _ENCOUNTER,
        _c("onset", "onsetDateTime|onsetPeriod.start", "time", "When it began.", Phi.QUASI),
        *_loosely("onset", "When it began"),
        _c("abatement", "abatementDateTime|abatementPeriod.start", "time", "When it ended.", Phi.QUASI),
        *_loosely("abatement", "When it ended"),
        _c("recorded", "recordedDate", "time", "When it was recorded.", Phi.QUASI, _TOMORROW),
        _c("stage", "stage.summary", "codings", "Stages stated on the condition."),
        _c("stage_type", "stage.type", "codings", "Which staging each is."),
        _c("stage_assessment", "stage.assessment", "references", "Observations behind the stages.", Phi.QUASI),
        _c(
            "histology",
            "extension(http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior)"
            ".valueCodeableConcept",
            "codings",
            "Histology, morphology, behaviour (mCODE).",
        ),
        _c(
            "related_primary",
            "extension(http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-related-primary-cancer-condition)"
            ".valueReference|extension(http://hl7.org/fhir/StructureDefinition/condition-related).valueReference",
            "reference",
            "The primary cancer that a secondary one belongs to (mCODE), or another condition that it is related to.",
            Phi.QUASI,
        ),
        _NOTE,
    ),
    "Problems, diagnoses and cancer conditions.",
)

OBSERVATION = Table(
    "observation",
    ("Observation",),
    "subject",
    (
        _IDENTIFIER,
        _STATUS,
        _CATEGORY,
        *_CODE,
        _c("focus", "focus", "references", "What it is about, when not the subject.", Phi.QUASI),
        _ENCOUNTER,
        _c("effective", "effectiveDateTime|effectiveInstant", "time", "When it was true.", Phi.QUASI, _TOMORROW),
        _c("effective_period", "effectivePeriod", "period", "When it was true, as a period.", Phi.QUASI, _TOMORROW),
        _c("effective_timing", "effectiveTiming.event", "strings", "When it was true, several times.", Phi.QUASI),
        _c("effective_timing_code", "effectiveTiming.code", "codings", "When it was true, as a rule."),
        _c("effective_bounds", "effectiveTiming.repeat.boundsPeriod", "period", "How long by that rule.", Phi.QUASI),
        _ISSUED,
        _c("performer", "performer", "references", "Who is responsible.", Phi.QUASI),
        _c("performer_display", "performer.display", "strings", "The names of those who are responsible.", Phi.QUASI),
        _c("value", "valueQuantity", "quantity", "Value as a quantity."),
        _c("value_concept", "valueCodeableConcept", "codings", "Value as a concept."),
        _c("value_concept_text", "valueCodeableConcept.text", "string", "Text of the value.", Phi.QUASI),
        _c("value_string", "valueString", "string", "Value as text.", Phi.QUASI),
        _c("value_integer", "valueInteger", "integer", "Value as an integer."),
        _c("value_boolean", "valueBoolean", "boolean", "Value as yes or no."),
        _c("value_time", "valueDateTime", "time", "Value as a time.", Phi.QUASI),
        _c("value_ratio_numerator", "valueRatio.numerator", "quantity", "Numerator of a ratio."),
        _c("value_ratio_denominator", "valueRatio.denominator", "quantity", "Denominator of a ratio."),
        _c("value_range_low", "valueRange.low", "quantity", "Low end of a range."),
        _c("value_range_high", "valueRange.high", "quantity", "High end of a range."),
        _c("value_period", "valuePeriod", "period", "Value as a period.", Phi.QUASI),
        _c("value_clock", "valueTime", "string", "Value as a time of day."),
        _c("value_samples", "valueSampledData.data", "string", "Samples, as one text."),
        _c("value_samples_origin", "valueSampledData.origin", "quantity", "What a sample of 0 stands for."),
        _c("value_samples_period", "valueSampledData.period", "decimal", "Milliseconds between samples."),
        _c("value_samples_factor", "valueSampledData.factor", "decimal", "What one in a sample stands for."),
        _c("value_samples_lower", "valueSampledData.lowerLimit", "decimal", "Lower limit of detection."),
        _c("value_samples_upper", "valueSampledData.upperLimit", "decimal", "Upper limit of detection."),
        _c("value_samples_dimensions", "valueSampledData.dimensions", "integer", "Samples at each point in time."),
        _c("absent_reason", "dataAbsentReason", "codings", "Why there is no value."),
        _c("absent_reason_text", "dataAbsentReason.text", "string", "Why there is no value, in words.", Phi.QUASI),
        _c("interpretation", "interpretation", "codings", "High, low, positive, negative, …"),
        _c("body_site", "bodySite", "codings", "Body site."),
        _c("method", "method", "codings", "How it was done."),
        _c("specimen", "specimen", "reference", "The specimen.", Phi.QUASI),
        _c("specimen_display", "specimen.display", "string", "The specimen in words.", Phi.QUASI),
        _c("specimen_identifier", "specimen.identifier", "identifiers", "Identifier of the specimen.", Phi.DIRECT),
        _c("derived_from", "derivedFrom", "references", "What it was derived from.", Phi.QUASI),
        _c("has_member", "hasMember", "references", "Members of a panel.", Phi.QUASI),
        _c("component", "component", "components", "Component results."),
        _c(
            "component_value",
            "component",
            "component_values",
            "Ranges, ratios, periods, samples, words for a code, one for each component; null: none has any.",
        ),
        _c("component_text", "component.valueCodeableConcept.text", "strings", "Texts of concepts.", Phi.QUASI),
        _c(
            "condition_absent",
            "extension(http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-related-condition-absent)"
            ".valueCodeableConcept",
            "codings",
            "Conditions that a panel of comorbidities says are absent (mCODE).",
        ),
        _NOTE,
    ),
    "Measurements, laboratory results, tumour markers, genomic findings, stages, assessments.",
)

MEDICATION = Table(
    "medication",
    ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"),
    "subject|patient",
    (
        _IDENTIFIER,
        _STATUS,
        _c("intent", "intent", "string", "proposal, plan, order, … (requests only)."),
        _CATEGORY,
        _c("code", "medicationCodeableConcept", "codings", "The drug, every coding as sent."),
        _c("code_text", "medicationCodeableConcept.text", "string", "The drug in words.", Phi.QUASI),
        _c("medication", "medicationReference", "reference", "The drug by reference.", Phi.QUASI),
        _c("encounter", "encounter|context", "reference", "The encounter it belongs to.", Phi.QUASI),
        _c("effective", "effectiveDateTime|whenHandedOver", "time", "When taken or handed over.", Phi.QUASI, _TOMORROW),
        _c("effective_period", "effectivePeriod", "period", "When taken, as a period.", Phi.QUASI),
        _c("authored", "authoredOn|dateAsserted|whenPrepared", "time", "When recorded.", Phi.QUASI, _TOMORROW),
        _c("status_reason", "statusReason|statusReasonCodeableConcept", "codings", "Why it has this status."),
        _c("reason", "reasonCode", "codings", "Why it is given."),
        _c("reason_reference", "reasonReference", "references", "The problem it is given for.", Phi.QUASI),
        _c("do_not_perform", "doNotPerform", "boolean", "The order is not to give it."),
        _NOTE,
    ),
    "Drugs ordered, stated, dispensed and administered.",
)

PROCEDURE = Table(
    "procedure",
    ("Procedure",),
    "subject",
    (
        _IDENTIFIER,
        _STATUS,
        _CATEGORY,
        *_CODE,
        _ENCOUNTER,
        _c("performed", "performedDateTime", "time", "When it was done.", Phi.QUASI),
        _c("performed_period", "performedPeriod", "period", "When it was done, as a period.", Phi.QUASI),
        *_loosely("performed", "When it was done")[1:],
        _c("reason", "reasonCode", "codings", "Why it was done."),
        _c("reason_reference", "reasonReference", "references", "The problem it was done for.", Phi.QUASI),
        _c("body_site", "bodySite", "codings", "Body site."),
        _c("outcome", "outcome", "codings", "Outcome."),
        _NOTE,
    ),
    "Procedures, operations, radiotherapy.",
)

ENCOUNTER = Table(
    "encounter",
    ("Encounter",),
    "subject",
    (
        _IDENTIFIER,
        _STATUS,
        _c("class", "class", "codings", "Inpatient, ambulatory, …"),
        _c("type", "type", "codings", "Kind of encounter."),
        _c("period", "period", "period", "When it took place.", Phi.QUASI),
        _c("reason", "reasonCode", "codings", "Why it took place."),
        _c("service_provider", "serviceProvider", "reference", "The responsible organisation.", Phi.QUASI),
        _c("participant", "participant.individual", "references", "Who took part.", Phi.QUASI),
        _c("location", "location.location", "references", "Where it took place.", Phi.QUASI),
    ),
    "Contacts between a patient and a provider.",
)

IMMUNIZATION = Table(
    "immunization",
    ("Immunization",),
    "patient",
    (
        _IDENTIFIER,
        _STATUS,
        _c("code", "vaccineCode", "codings", "The vaccine."),
        _c("code_text", "vaccineCode.text", "string", "The vaccine in words.", Phi.QUASI),
        _ENCOUNTER,
        _c("occurrence", "occurrenceDateTime", "time", "When it was given.", Phi.QUASI, _TOMORROW),
        _c("occurrence_string", "occurrenceString", "string", "When it was given, in words.", Phi.QUASI),
        _c("recorded", "recorded", "time", "When it was recorded.", Phi.QUASI, _TOMORROW),
    ),
    "Vaccinations.",
)

ALLERGY = Table(
    "allergy",
    ("AllergyIntolerance",),
    "patient",
    (
        _IDENTIFIER,
        _c("clinical_status", "clinicalStatus", "codings", "active, inactive, resolved."),
        _c("verification_status", "verificationStatus", "codings", "confirmed, refuted, …"),
        _VERIFICATION_TEXT,
        _c("type", "type", "string", "allergy or intolerance."),
        _c("category", "category", "strings", "food, medication, environment, biologic."),
        _c("criticality", "criticality", "string", "low, high, unable-to-assess."),
        *_CODE,
        _c("onset", "onsetDateTime|onsetPeriod.start", "time", "When it began.", Phi.QUASI),
        *_loosely("onset", "When it began"),
        _c("recorded", "recordedDate", "time", "When it was recorded.", Phi.QUASI, _TOMORROW),
        _c("manifestation", "reaction.manifestation", "codings", "How it shows."),
    ),
    "Allergies and intolerances.",
)

DIAGNOSTIC_REPORT = Table(
    "diagnostic_report",
    ("DiagnosticReport",),
    "subject",
    (
        _IDENTIFIER,
        _STATUS,
        _CATEGORY,
        *_CODE,
        _ENCOUNTER,
        _c("effective", "effectiveDateTime", "time", "When it was true.", Phi.QUASI, _TOMORROW),
        _c("effective_period", "effectivePeriod", "period", "When it was true, as a period.", Phi.QUASI, _TOMORROW),
        _ISSUED,
        _c("performer", "performer", "references", "Who is responsible.", Phi.QUASI),
        _c("performer_display", "performer.display", "strings", "The names of those who are responsible.", Phi.QUASI),
        _c("specimen", "specimen", "references", "Specimens.", Phi.QUASI),
        _c("result", "result", "references", "The observations of the report.", Phi.QUASI),
        _c("presented_form", "presentedForm.url", "links", "The report as it was written.", Phi.QUASI),
        _c("conclusion", "conclusion", "string", "Conclusion, free text.", Phi.DIRECT),
        _c("conclusion_code", "conclusionCode", "codings", "Coded conclusions."),
    ),
    "Reports that group results.",
)

OTHER_RESOURCE = Table(
    "other_resource",
    (),
    "subject|patient|beneficiary|individual|for|participant.actor",
    (
        _IDENTIFIER,
        _c("status", "status", "string", "The record's own status code."),
        _c("category", "category", "codings", "Category of the record."),
        _c("scope", "scope", "codings", "Scope (Consent)."),
        _c("code", "code|type", "codings", "What the record is about."),
        _c("name", "name", "string", "What it is called (Organization, Location).", Phi.DIRECT),
        _c("accession", "accessionIdentifier", "identifiers", "Accession of the laboratory (Specimen).", Phi.DIRECT),
        _c("date", "dateTime|date|recorded|created|authoredOn|collection.collectedDateTime", "time", "Its main date."),
        _c(
            "attachment",
            "content.attachment.url|content.url|sourceAttachment.url",
            "links",
            "Where the content of a document, a medium or a consent is.",
            Phi.QUASI,
        ),
        _c("provision_type", "provision.type", "string", "deny or permit (Consent)."),
        _c("exception_type", "provision.provision.type", "strings", "deny or permit, of exceptions (Consent)."),
        _c(
            "inner_exception_type",
            "provision.provision.provision.type",
            "strings",
            "deny or permit, of exceptions of exceptions (Consent).",
        ),
        _c("provision_action", "provision.action", "codings", "Actions (Consent)."),
        _c("provision_purpose", "provision.purpose", "codings", "Purposes (Consent)."),
        _c("provision_period", "provision.period", "period", "When the provision holds (Consent)."),
    ),
    "Every resource of a type that has no table of its own.",
)

TABLES: tuple[Table, ...] = (
    PATIENT,
    CONDITION,
    OBSERVATION,
    MEDICATION,
    PROCEDURE,
    ENCOUNTER,
    IMMUNIZATION,
    ALLERGY,
    DIAGNOSTIC_REPORT,
    OTHER_RESOURCE,
)

_BY_TYPE = {resource_type: table for table in TABLES for resource_type in table.resource_types}


def table_of(resource_type: str) -> Table:
    """The table that holds resources of this FHIR type."""
    return _BY_TYPE.get(resource_type, OTHER_RESOURCE)
