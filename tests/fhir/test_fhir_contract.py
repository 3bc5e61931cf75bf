import json
from pathlib import Path
from typing import Any

import pytest
from fhir_samples import CANARY, observation, patient

from spv_platform.fhir import contract
from spv_platform.fhir.contract import is_known, second_opinion
from spv_platform.fhir.rules import RULES, Problem, page

TARGET = "/managingOrganization/reference"


def of(resource: Any) -> list[Problem]:
    return judged(resource["resourceType"], json.dumps(resource).encode())


def judged(type_: str, raw: bytes) -> list[Problem]:
    """The verdict of the whole contract."""
    if contract.read(type_, raw) is not None:
        return []
    return second_opinion(type_, raw)


def test_a_valid_resource_has_no_problem() -> None:
    assert of(patient(birthDate="2020-02", name=[{"family": "x"}])) == []


CONTACT = {"relationship": [{"text": "x"}]}


def parameters(inside: Any, *, part: bool = False) -> dict[str, Any]:
    one = {"name": "a", "resource": inside}
    return {"resourceType": "Parameters", "parameter": [{"name": "b", "part": [one]} if part else one]}


EXTENSION = {"url": "http://example.org/e", "valueCode": "x"}


@pytest.mark.parametrize(
    ("resource", "reason", "pointer"),
    [
        (patient(birthDate="2020-02-30"), "invalid_resource", "/birthDate"),
        (patient(birthDate="1900-02-29"), "invalid_resource", "/birthDate"),
        (patient(birthDate=20200101), "wrong_json_type", "/birthDate"),
        (patient(name=[{"text": "x"}, {"given": CANARY}]), "wrong_json_type", "/name/1/given"),
        (patient(name=[{"family": {CANARY: 1}}]), "wrong_json_type", "/name/0/family"),
        (patient(name=[{CANARY: "x"}]), "unknown_element", "/name/0"),
        (patient(**{CANARY: "x"}), "unknown_element", ""),
        (patient(contact=[{**CONTACT, "birthDate": "2020"}]), "unknown_element", "/contact/0/birthDate"),
        (patient(fhir_comments=[CANARY]), "unknown_element", ""),
        (patient(resource_type=CANARY), "unknown_element", ""),
        (patient(maritalStatus=[CANARY]), "wrong_json_type", "/maritalStatus"),
        (patient(gender="a\0"), "nul_character", ""),
        (patient(gender=CANARY), "not_in_value_set", "/gender"),
        (observation(status=CANARY), "not_in_value_set", "/status"),
        (observation(status="registered", category=[]), "empty_element", "/category"),
        (observation(subject={}), "empty_element", "/subject"),
        (patient(name=[{}]), "empty_element", "/name/0"),
        (patient(contained=[]), "empty_element", "/contained"),
        (patient(implicitRules=""), "empty_element", "/implicitRules"),
        (patient(identifier=[{"system": "", "value": "1"}]), "empty_element", "/identifier/0/system"),
        (patient(birthDate=None), "null_value", "/birthDate"),
        (patient(name=[None]), "null_value", "/name/0"),
        (patient(name=[{"given": [None, "x"]}]), "null_value", "/name/0/given/0"),
        (patient(name=[{"given": ["x"], "_given": [None, {"id": "g"}]}]), "null_value", "/name/0/given"),
        (patient(name=[{"given": [None, "x"], "_given": [None, {"id": "g"}]}]), "null_value", "/name/0/given/0"),
        (patient(managingOrganization={"reference": "Patient/1"}), "wrong_reference_target", TARGET),
        (patient(managingOrganization={"reference": "https://a.example/Patient/1"}), "wrong_reference_target", TARGET),
        (patient(managingOrganization={"reference": "Group?identifier=a|b"}), "wrong_reference_target", TARGET),
        (patient("x" * 65), "id_too_long", "/id"),
        (patient(contained=[{"resourceType": CANARY}]), "unknown_resource_type", "/contained/0"),
        (patient(contained=[{"id": "x"}]), "invalid_resource", "/contained/0"),
        (patient(contained=[5]), "invalid_resource", "/contained/0"),
        (patient(contained=CANARY), "wrong_json_type", "/contained"),
        (patient(contained=[patient(birthDate=CANARY)]), "invalid_resource", "/contained/0/birthDate"),
        (patient(contained=[patient(contained=[patient()])]), "nested_contained", "/contained/0"),
        (parameters(patient(birthDate=CANARY)), "invalid_resource", "/parameter/0/resource/birthDate"),
        (parameters(patient(name=[])), "empty_element", "/parameter/0/resource/name"),
        (parameters(patient(gender=CANARY), part=True), "not_in_value_set", "/parameter/0/part/0/resource/gender"),
        (parameters({"id": CANARY}), "invalid_resource", "/parameter/0/resource"),
        (parameters({"resourceType": "Evidence", "id": CANARY + "!"}), "invalid_id", "/parameter/0/resource/id"),
        (patient(extension=[{**EXTENSION, "extension": [EXTENSION]}]), "value_and_extensions", "/extension/0"),
        (patient(extension=[{"valueCode": "x"}]), "missing_element", "/extension/0/url"),
        (patient(multipleBirthInteger="2"), "wrong_json_type", "/multipleBirthInteger"),
        (patient(multipleBirthInteger=2.0), "wrong_json_type", "/multipleBirthInteger"),
        (patient(multipleBirthInteger=True), "wrong_json_type", "/multipleBirthInteger"),
        (patient(deceasedBoolean="true"), "wrong_json_type", "/deceasedBoolean"),
        (patient(deceasedBoolean=1), "wrong_json_type", "/deceasedBoolean"),
        (observation(valueQuantity={"value": "7.0"}), "wrong_json_type", "/valueQuantity/value"),
        (observation(valueString=7), "wrong_json_type", "/valueString"),
        (observation(effectiveDateTime=1577836800), "wrong_json_type", "/effectiveDateTime"),
        (observation(effectiveDateTime="2020-01-01T10:00:00"), "invalid_resource", "/effectiveDateTime"),
        (observation(effectiveDateTime="2020-01-01T24:00:00Z"), "invalid_resource", "/effectiveDateTime"),
        (observation(code=None), "null_value", "/code"),
        ({"resourceType": "Observation", "status": "final"}, "missing_element", "/code"),
        (
            observation(valueQuantity={"value": 1, "comparator": "about"}),
            "not_in_value_set",
            "/valueQuantity/comparator",
        ),
        (observation(valueString="a", valueBoolean=True), "several_choices", "/value[x]"),
        (observation(valueString="a", _valueBoolean={"extension": [EXTENSION]}), "several_choices", "/value[x]"),
        (
            observation(
                component=[{"code": {"text": "x"}, "valueString": "a", "_valueTime": {"extension": [EXTENSION]}}]
            ),
            "several_choices",
            "/component/0/value[x]",
        ),
        (
            patient(extension=[{**EXTENSION, "_valueDate": {"extension": [EXTENSION]}}]),
            "several_choices",
            "/extension/0/value[x]",
        ),
        ({"resourceType": "Encounter", "status": "finished", "class": 5}, "wrong_json_type", "/class"),
        (
            {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": CANARY}}]},
            "invalid_resource",
            "",
        ),
    ],
)
def test_a_problem_names_its_place_and_no_value(resource: dict[str, Any], reason: str, pointer: str) -> None:
    found = of(resource)
    assert Problem(reason, pointer) in found
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    "type_", [CANARY, "", "HumanName", "Resource", "DomainResource", "SubscriptionTopic", "patient"]
)
def test_a_type_that_r4_does_not_have_is_unknown(type_: str) -> None:
    assert not is_known(type_)
    assert of({"resourceType": type_}) == [Problem("unknown_resource_type", "")]


def test_a_code_may_be_any_where_the_value_set_is_not_required() -> None:
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "requirements",
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "xml"],
    }
    assert of(statement) == []


def test_a_null_may_keep_the_place_of_an_extension() -> None:
    assert of(patient(name=[{"given": [None, "x"], "_given": [{"id": "g"}, None]}])) == []


def test_a_required_code_may_be_absent_for_a_reason() -> None:
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    without = {key: value for key, value in observation().items() if key != "status"}
    assert of(without | {"_status": {"extension": [absent]}}) == []
    assert of(without) == [Problem("missing_element", "/status")]


ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}
SHOT = {
    "resourceType": "Immunization",
    "status": "completed",
    "vaccineCode": {"text": "x"},
    "patient": {"reference": "Patient/1"},
}


@pytest.mark.parametrize(
    "beside", [{"_valueCode": ABSENT}, {"valueString": "a", "_valueString": {"id": "x", **ABSENT}}]
)
def test_the_value_of_an_extension_may_have_extensions_or_only_these(beside: dict[str, Any]) -> None:
    extended = patient(extension=[{"url": "http://example.org/e", **beside}])
    assert of(extended) == []
    assert second_opinion("Patient", json.dumps(extended).encode()) == []
    for wrong in ({"_valueCode": {CANARY: 1}}, {"_valueQuantity": ABSENT}, {"_valueCode": {"extension": [{}]}}):
        assert of(patient(extension=[{"url": "http://example.org/e", **wrong}]))


def test_a_required_choice_may_be_absent_for_a_reason() -> None:
    assert of(SHOT | {"_occurrenceDateTime": ABSENT}) == []
    assert of(SHOT | {"_occurrenceString": ABSENT}) == []
    assert of(SHOT)


def test_a_value_set_is_no_value_of_an_extension() -> None:
    system = {"resourceType": "CodeSystem", "status": "active", "content": "complete", "url": "http://example.org/s"}
    extended = system | {"valueSet": "http://example.org/v", "date": "1899-01-01", "extension": [EXTENSION]}
    assert of(extended) == []


@pytest.mark.parametrize(
    "raw",
    [
        b'{"resourceType":"Patient","extension":[{"url":"aaaaa","url":"b","valueDecimal":1e11}]}',
        b'{"resourceType":"Patient","maritalStatus":{"coding":[{"code":"a","code":"b","display":"\\"\\u003a"}]}}',
    ],
)
def test_a_name_that_comes_twice_is_seen_whatever_else_is_written_longer(raw: bytes) -> None:
    assert judged("Patient", raw) == [Problem("repeated_key", "")]


#: Every resource type of FHIR R4 (4.0.1) that is not abstract.
TYPES = """
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest
CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List
Location Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication
MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition
MessageHeader MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition
OperationOutcome Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation Person
PlanDefinition Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson
RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment
RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition
StructureMap Subscription Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein
SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task
TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription
"""


def test_each_type_of_r4_is_known_and_has_a_struct_or_is_taken_by_its_shape() -> None:
    types = set(TYPES.split())
    assert {type_ for type_ in types if not is_known(type_)} == set()
    assert types > contract.BY_SHAPE
    for type_ in types - contract.BY_SHAPE:
        smallest = {"resourceType": type_, "id": "x"}
        taken = contract.read(type_, json.dumps(smallest, separators=(",", ":")).encode()) is not None
        assert taken == (of(smallest) == []), type_
        assert Problem("unknown_element", "") in of(smallest | {CANARY: "x"}), type_


def test_a_type_that_only_r4_has_is_taken_by_its_shape() -> None:
    assert is_known("RiskEvidenceSynthesis")
    assert of({"resourceType": "RiskEvidenceSynthesis", "id": "x"}) == []
    assert of(parameters({"resourceType": "RiskEvidenceSynthesis", "id": "x"})) == []
    assert of({"resourceType": "RiskEvidenceSynthesis", "x": {"y": None}}) == [Problem("null_value", "")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"resourceType":"Patient","id":"a","id":"b"}', "repeated_key"),
        (b'{"resourceType":"Patient","name":[{"text":"a","text":"b"}]}', "repeated_key"),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', "wrong_json_type"),
        (b'{"resourceType":"Patient","multipleBirthInteger":01}', "entry_not_json"),
        (b'{"resourceType":"Patient","multipleBirthInteger":+1}', "entry_not_json"),
        (b'{"resourceType":"Patient","name":[{"text":"\x01"}]}', "entry_not_json"),
        (b"{", "entry_not_json"),
        (b'{"resourceType":"Patient","id":"\xff"}', "entry_not_json"),
        (b"[]", "entry_not_object"),
    ],
)
def test_json_that_fhir_does_not_allow_is_refused(raw: bytes, reason: str) -> None:
    assert judged("Patient", raw) == [Problem(reason, "")]


def test_half_a_character_is_refused() -> None:
    raw = b'{"resourceType":"Patient","name":[{"text":"\\ud800"}]}'
    assert judged("Patient", raw) == [Problem("invalid_resource", "/name/0/text")]
    assert judged("Patient", raw.replace(b"ud800", b"ud83d\\ude00")) == []


def test_the_list_of_rules_is_closed_short_and_on_its_page() -> None:
    assert len(RULES) <= 15
    assert (Path(__file__).parents[2] / "docs" / "contract.md").read_text() == page()


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"r4_only_type", "primitive_extension", "several_choices"}))
def test_what_a_rule_refuses_the_models_alone_would_take(rule: str) -> None:
    """Else it would be no rule of ours; `several_choices` tells a place that the models do not."""
    raw = TOO_LAX[rule]
    assert [problem.reason for problem in judged("Patient", raw)] == [rule]
    assert contract.model_of("Patient").model_validate(json.loads(raw))


TOO_LAX = {
    "nul_character": b'{"resourceType":"Patient","name":[{"text":"a\\u0000b"}]}',
    "repeated_key": b'{"resourceType":"Patient","id":"a","id":"b"}',
    "null_value": b'{"resourceType":"Patient","birthDate":null}',
    "empty_element": b'{"resourceType":"Patient","name":[]}',
    "wrong_json_type": b'{"resourceType":"Patient","multipleBirthInteger":"7"}',
    "not_in_value_set": b'{"resourceType":"Patient","gender":"robot"}',
    "wrong_reference_target": b'{"resourceType":"Patient","managingOrganization":{"reference":"Patient/1"}}',
    "id_too_long": b'{"resourceType":"Patient","id":"' + b"x" * 65 + b'"}',
    "value_and_extensions": b'{"resourceType":"Patient","extension":[{"url":"a","valueCode":"b","extension":'
    b'[{"url":"c","valueCode":"d"}]}]}',
    "nested_contained": b'{"resourceType":"Patient","contained":[{"resourceType":"Patient","contained":'
    b'[{"resourceType":"Patient","id":"x"}]}]}',
    "unknown_element": b'{"resourceType":"Patient","fhir_comments":["x"]}',
    "unknown_resource_type": b'{"resourceType":"Patient","contained":[{"resourceType":"Resource","id":"x"}]}',
}


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert judged("Patient", b'{"resourceType":"Patient","name":[{"text":"\\\\u0000"}]}') == []


@pytest.mark.parametrize("number", ["1.50", "-0", "1e400", "12345678901234567890.5", "1E-7"])
def test_any_decimal_of_the_grammar_is_taken(number: str) -> None:
    raw = json.dumps(observation(valueQuantity={"value": "N"})).replace('"N"', number).encode()
    assert judged("Observation", raw) == []


@pytest.mark.parametrize("number", ["1e400", "1e999999999999", "1e99999999999999999999", "1" * 5000])
def test_no_number_is_too_large_to_be_refused(number: str) -> None:
    raw = json.dumps(observation(valueInteger="N")).replace('"N"', number).encode()
    assert judged("Observation", raw) == [Problem("wrong_json_type", "/valueInteger")]


def test_only_the_first_problems_are_told() -> None:
    assert len(of(patient(name=[{"family": 1}] * 100))) == contract.MAX_PROBLEMS
