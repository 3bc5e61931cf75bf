"""One invented visit: an Encounter and all that comes of it, in the shapes and sizes that Synthea writes.

What belongs here: how each kind of resource looks, and how many of each a visit has.
"""

import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

Resource = dict[str, Any]
NewId = Callable[[], str]

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_BENCH = "https://bench.example.org/id"
_PRACTITIONER = {"reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999999995", "display": "Dr. B"}
_PRACTICE = {"reference": f"Organization?identifier={_BENCH}|bench-practice", "display": "Invented Practice"}
_ROOM = {"reference": f"Location?identifier={_BENCH}|bench-room", "display": "Invented Room"}

#: LOINC code, name, unit, least and greatest value.
MEASURES: tuple[tuple[str, str, str, int, int], ...] = (
    ("8302-2", "Body Height", "cm", 150, 195),
    ("29463-7", "Body Weight", "kg", 45, 120),
    ("39156-5", "Body mass index (BMI) [Ratio]", "kg/m2", 18, 38),
    ("8867-4", "Heart rate", "/min", 55, 110),
    ("9279-1", "Respiratory rate", "/min", 12, 22),
    ("72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported", "{score}", 0, 10),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", 3, 12),
    ("789-8", "Erythrocytes [#/volume] in Blood by Automated count", "10*6/uL", 3, 6),
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 10, 17),
    ("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "%", 33, 50),
    ("777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", 140, 420),
    ("2339-0", "Glucose [Mass/volume] in Blood", "mg/dL", 65, 180),
    ("38483-4", "Creatinine [Mass/volume] in Blood", "mg/dL", 1, 3),
    ("2947-0", "Sodium [Moles/volume] in Blood", "mmol/L", 134, 146),
    ("6298-4", "Potassium [Moles/volume] in Blood", "mmol/L", 3, 6),
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 4, 9),
)
_PROBLEMS = (
    ("59621000", "Hypertension"),
    ("444814009", "Viral sinusitis"),
    ("271737000", "Anemia"),
)
_ACTS = ("430193006", "Medication Reconciliation (procedure)"), ("40701008", "Echocardiography (procedure)")
_DRUGS = ("314076", "lisinopril 10 MG Oral Tablet"), ("860975", "24 HR Metformin hydrochloride 500 MG Oral Tablet")
_VACCINES = ("140", "Influenza, seasonal, injectable, preservative free"), ("113", "Td (adult) preservative free")
_CHECK_UP = (SNOMED, "185349003", "Encounter for check up (procedure)")


@dataclass(frozen=True)
class Subject:
    """Whose visit it is."""

    id: str
    name: str

    @property
    def reference(self) -> Resource:
        """To the Patient entry of the same bundle."""
        return {"reference": f"urn:uuid:{self.id}"}


def concept(system: str, code: str, display: str) -> Resource:
    """A CodeableConcept with one coding and its text."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def visit(subject: Subject, start: datetime, chance: random.Random, new_id: NewId) -> list[Resource]:
    """All resources of one visit, the Encounter first."""
    maker = _Visit(subject, start, chance, new_id)
    measures = [maker.measure(*each) for each in chance.sample(MEASURES, chance.randrange(3, 12))]
    made = [*measures, maker.pressure(), maker.report(measures), maker.note(), maker.claim(), maker.benefit()]
    for share, maybe in (
        (0.6, maker.immunization),
        (0.5, maker.medication),
        (0.4, maker.procedure),
        (0.15, maker.condition),
    ):
        if chance.random() < share:
            made.append(maybe())
    return [maker.encounter, *made]


class _Visit:
    def __init__(self, subject: Subject, start: datetime, chance: random.Random, new_id: NewId) -> None:
        self._subject, self._chance, self._new_id = subject, chance, new_id
        self._start, self._end = start.isoformat(), (start + timedelta(minutes=30)).isoformat()
        self._issued = f"{start:%Y-%m-%dT%H:%M:%S}.{chance.randrange(1000):03d}+00:00"
        period = {"start": self._start, "end": self._end}
        self.encounter = self._new("Encounter", "encounter") | {
            "status": "finished",
            "class": {"system": f"{_TERMINOLOGY}v3-ActCode", "code": "AMB"},
            "type": [concept(*_CHECK_UP)],
            "subject": subject.reference | {"display": subject.name},
            "participant": [
                {
                    "type": [concept(f"{_TERMINOLOGY}v3-ParticipationType", "PPRF", "primary performer")],
                    "period": period,
                    "individual": _PRACTITIONER,
                }
            ],
            "period": period,
            "location": [{"location": _ROOM}],
            "serviceProvider": _PRACTICE,
        }
        self._where = {"reference": f"urn:uuid:{self.encounter['id']}"}

    def measure(self, code: str, name: str, unit: str, low: int, high: int) -> Resource:
        value = Decimal(self._chance.randrange(low * 100, high * 100)) / 100
        quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
        return self._observation(code, name) | {"valueQuantity": quantity}

    def pressure(self) -> Resource:
        parts = (("8462-4", "Diastolic Blood Pressure", 60, 95), ("8480-6", "Systolic Blood Pressure", 100, 150))
        return self._observation("85354-9", "Blood pressure panel with all children optional") | {
            "component": [
                {
                    "code": concept(LOINC, code, name),
                    "valueQuantity": {
                        "value": self._chance.randrange(low, high),
                        "unit": "mm[Hg]",
                        "system": UCUM,
                        "code": "mm[Hg]",
                    },
                }
                for code, name, low, high in parts
            ]
        }

    def report(self, results: list[Resource]) -> Resource:
        return self._new("DiagnosticReport", "diagnosticreport-lab") | {
            "status": "final",
            "category": [concept(f"{_TERMINOLOGY}v2-0074", "LAB", "Laboratory")],
            "code": concept(LOINC, "51990-0", "Basic Metabolic Panel"),
            "subject": self._subject.reference,
            "encounter": self._where,
            "effectiveDateTime": self._start,
            "issued": self._issued,
            "performer": [_PRACTITIONER],
            "result": [
                {"reference": f"urn:uuid:{result['id']}", "display": result["code"]["text"]} for result in results
            ],
        }

    def note(self) -> Resource:
        words = self._chance.choices(("invented", "words", "of", "a", "note", "about", "nobody", "at", "all"), k=140)
        return self._new("DocumentReference", "documentreference") | {
            "status": "current",
            "type": concept(LOINC, "34117-2", "History and physical note"),
            "category": [concept(f"{_US_CORE}documentreference-category", "clinical-note", "Clinical Note")],
            "subject": self._subject.reference,
            "date": self._issued,
            "author": [_PRACTITIONER],
            "custodian": _PRACTICE,
            "content": [
                {
                    "attachment": {
                        "contentType": "text/plain; charset=utf-8",
                        "data": b64encode(" ".join(words).encode()).decode(),
                    }
                }
            ],
            "context": {"encounter": [self._where], "period": {"start": self._start, "end": self._end}},
        }

    def immunization(self) -> Resource:
        return self._new("Immunization", "immunization") | {
            "status": "completed",
            "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", *self._chance.choice(_VACCINES)),
            "patient": self._subject.reference,
            "encounter": self._where,
            "occurrenceDateTime": self._start,
            "primarySource": True,
            "location": _ROOM,
        }

    def medication(self) -> Resource:
        return self._new("MedicationRequest", "medicationrequest") | {
            "status": self._chance.choice(("active", "stopped", "completed")),
            "intent": "order",
            "medicationCodeableConcept": concept(RXNORM, *self._chance.choice(_DRUGS)),
            "subject": self._subject.reference,
            "encounter": self._where,
            "authoredOn": self._start,
            "requester": _PRACTITIONER,
        }

    def procedure(self) -> Resource:
        return self._new("Procedure", "procedure") | {
            "status": "completed",
            "code": concept(SNOMED, *self._chance.choice(_ACTS)),
            "subject": self._subject.reference,
            "encounter": self._where,
            "performedPeriod": {"start": self._start, "end": self._end},
            "location": _ROOM,
        }

    def condition(self) -> Resource:
        return self._new("Condition", "condition") | {
            "clinicalStatus": concept(f"{_TERMINOLOGY}condition-clinical", "active", "Active"),
            "verificationStatus": concept(f"{_TERMINOLOGY}condition-ver-status", "confirmed", "Confirmed"),
            "category": [concept(f"{_TERMINOLOGY}condition-category", "encounter-diagnosis", "Encounter Diagnosis")],
            "code": concept(SNOMED, *self._chance.choice(_PROBLEMS)),
            "subject": self._subject.reference,
            "encounter": self._where,
            "onsetDateTime": self._start,
            "recordedDate": self._start,
        }

    def claim(self) -> Resource:
        return self._new("Claim", "") | {
            **self._billed(),
            "provider": _PRACTICE,
            "priority": concept(f"{_TERMINOLOGY}processpriority", "normal", "Normal"),
            "facility": _ROOM,
            "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "Invented Mutual"}}],
            "item": [{"sequence": 1, "productOrService": concept(*_CHECK_UP), "encounter": [self._where]}],
            "total": {"value": Decimal(12916) / 100, "currency": "USD"},
        }

    def benefit(self) -> Resource:
        amounts = "benefit", "deductible", "eligible", "copay", "submitted"
        return self._new("ExplanationOfBenefit", "") | {
            **self._billed(),
            "contained": [
                {
                    "resourceType": "Coverage",
                    "id": "coverage",
                    "status": "active",
                    "type": {"text": "Invented Mutual"},
                    "beneficiary": self._subject.reference,
                    "payor": [{"display": "Invented Mutual"}],
                }
            ],
            "insurer": {"display": "Invented Mutual"},
            "provider": _PRACTITIONER,
            "outcome": "complete",
            "insurance": [{"focal": True, "coverage": {"reference": "#coverage", "display": "Invented Mutual"}}],
            "item": [
                {
                    "sequence": number,
                    "productOrService": concept(*_CHECK_UP),
                    "servicedPeriod": {"start": self._start, "end": self._end},
                    "encounter": [self._where],
                    "adjudication": [
                        {
                            "category": concept(f"{_TERMINOLOGY}adjudication", amount, amount.title()),
                            "amount": {"value": Decimal(self._chance.randrange(100, 30000)) / 100, "currency": "USD"},
                        }
                        for amount in amounts
                    ],
                }
                for number in (1, 2)
            ],
        }

    def _billed(self) -> Resource:
        return {
            "status": "active",
            "type": concept(f"{_TERMINOLOGY}claim-type", "professional", "Professional"),
            "use": "claim",
            "patient": self._subject.reference | {"display": self._subject.name},
            "billablePeriod": {"start": self._start, "end": self._end},
            "created": self._end,
        }

    def _observation(self, code: str, name: str) -> Resource:
        return self._new("Observation", "observation-lab") | {
            "status": "final",
            "category": [concept(f"{_TERMINOLOGY}observation-category", "laboratory", "laboratory")],
            "code": concept(LOINC, code, name),
            "subject": self._subject.reference,
            "encounter": self._where,
            "effectiveDateTime": self._start,
            "issued": self._issued,
        }

    def _new(self, resource_type: str, profile: str) -> Resource:
        resource: Resource = {"resourceType": resource_type, "id": self._new_id()}
        if profile:
            resource["meta"] = {"profile": [f"{_US_CORE}{profile}"]}
        return resource
