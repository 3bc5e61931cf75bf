"""One invented patient's chart: FHIR R4 resources in the shapes of mCODE 4 and Genomics Reporting.

What belongs here: how each kind of resource looks. What does not: which patients there are (`patients`), how charts
are packed into files (`files`).
"""

from decimal import Decimal
from typing import Any

Resource = dict[str, Any]

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
HGNC = "http://www.genenames.org"
HGVS = "http://varnomen.hgvs.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"

_HGNC_IDS = {"BRAF": "1097", "BRCA2": "1101", "EGFR": "3236", "KRAS": "6407", "NRAS": "7989", "PIK3CA": "8975"}
_ECOG_ANSWERS = ("LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8")
_STAGES = {"IIB": "1222769001", "IIIC": "1222806003", "IV": "1222837003"}


def concept(system: str, code: str, display: str = "") -> Resource:
    """A CodeableConcept with one coding."""
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}


class Chart:
    """Collects the resources of one patient, the Patient first.

    Args:
        label: names the patient in tests; ids are `sample-<label>…`.
        name: family and given name.
        deceased: when the patient died; empty: alive.
        practitioner: reference to the treating practitioner.
    """

    def __init__(
        self,
        label: str,
        *,
        name: tuple[str, str],
        gender: str,
        birth_date: str,
        mrn: str,
        deceased: str = "",
        practitioner: str = "",
    ) -> None:
        self.patient_id = f"sample-{label}"
        patient: Resource = {
            "resourceType": "Patient",
            "id": self.patient_id,
            "meta": {"profile": [f"{_MCODE}cancer-patient"]},
            "identifier": [
                {
                    "use": "usual",
                    "type": concept(f"{_TERMINOLOGY}v2-0203", "MR", "Medical record number"),
                    "system": "http://sample-hospital.example.org/mrn",
                    "value": mrn,
                }
            ],
            "active": True,
            "name": [{"use": "official", "family": name[0], "given": [name[1]]}],
            "telecom": [{"system": "phone", "value": f"+1-555-01{mrn[-2:]}", "use": "home"}],
            "gender": gender,
            "birthDate": birth_date,
            "address": [{"line": ["1 Invented Lane"], "city": "Sampleton", "postalCode": "00000", "country": "US"}],
        }
        if deceased:
            patient["deceasedDateTime"] = deceased
        if practitioner:
            patient["generalPractitioner"] = [{"reference": practitioner}]
        self.resources: list[Resource] = [patient]

    def condition(self, part: str, code: Resource, onset: str, *, kind: str = "primary") -> None:
        """A problem; `kind` is primary or secondary for cancers, else problem."""
        profile = f"{_US_CORE}condition-problems-health-concerns" if kind == "problem" else ""
        resource = self._add("Condition", part, profile or f"{_MCODE}{kind}-cancer-condition")
        resource |= {
            "clinicalStatus": concept(f"{_TERMINOLOGY}condition-clinical", "active"),
            "verificationStatus": concept(f"{_TERMINOLOGY}condition-ver-status", "confirmed"),
            "category": [concept(f"{_TERMINOLOGY}condition-category", "problem-list-item")],
            "code": code,
            "onsetDateTime": onset,
        }
        if kind == "secondary":
            related = {"reference": f"Condition/{self.patient_id}-cancer"}
            resource["extension"] = [{"url": f"{_MCODE}related-primary-cancer-condition", "valueReference": related}]

    def stage(self, group: str, when: str) -> None:
        """The clinical TNM stage group of the primary cancer: IIB, IIIC or IV."""
        resource = self._observation("stage", f"{_MCODE}tnm-stage-group", "imaging", when)
        display = f"American Joint Committee on Cancer stage {group} (qualifier value)"
        resource |= {
            "code": concept(SNOMED, "399537006", "Clinical TNM stage grouping"),
            "focus": [{"reference": f"Condition/{self.patient_id}-cancer"}],
            "valueCodeableConcept": concept(SNOMED, _STAGES[group], display),
        }

    def ecog(self, score: int, when: str) -> None:
        """The ECOG performance status, 0 to 4."""
        resource = self._observation("ecog", f"{_MCODE}ecog-performance-status", "survey", when)
        resource |= {
            "code": concept(LOINC, "89247-1", "ECOG Performance Status score"),
            "valueInteger": score,
            "interpretation": [concept(LOINC, _ECOG_ANSWERS[score])],
        }

    def marker(self, part: str, code: str, display: str, *, positive: bool, when: str) -> None:
        """A tumour marker with a yes-or-no result."""
        resource = self._observation(part, f"{_MCODE}tumor-marker-test", "laboratory", when)
        value = concept(LOINC, "LA6576-8", "Positive") if positive else concept(LOINC, "LA6577-6", "Negative")
        resource |= {"code": concept(LOINC, code, display), "valueCodeableConcept": value}

    def variant(self, gene: str, coding: str, protein: str, when: str, allele_fraction: str) -> None:
        """A somatic variant that was found.

        Args:
            gene: HGNC symbol.
            coding: HGVS coding change with its transcript.
            protein: HGVS protein change.
            when: date of the test.
            allele_fraction: variant allele fraction, 0 to 1, as sent.
        """
        resource = self._genetic(f"variant-{gene.lower()}", "LA9633-4", "Present", when)
        resource["component"] = [
            self._gene(gene),
            _component("48004-6", "DNA change (c.HGVS)", concept(HGVS, coding, coding)),
            _component("48005-3", "Amino acid change (pHGVS)", concept(HGVS, protein, protein)),
            _component("48002-0", "Genomic source class [Type]", concept(LOINC, "LA6684-0", "Somatic")),
            {
                "code": concept(LOINC, "81258-6", "Sample variant allelic frequency [NFr]"),
                "valueQuantity": {"value": Decimal(allele_fraction), "system": UCUM, "code": "1"},
            },
        ]

    def no_variant(self, genes: tuple[str, ...], when: str) -> None:
        """A pertinent negative: these genes were tested and no variant was found."""
        resource = self._genetic("variant-none", "LA9634-2", "Absent", when)
        resource["component"] = [self._gene(gene) for gene in genes]

    def tumor_mutational_burden(self, value: str, when: str) -> None:
        """Mutations per million bases."""
        profile = "http://hl7.org/fhir/uv/genomics-reporting/StructureDefinition/tmb"
        resource = self._observation("tmb", profile, "laboratory", when)
        resource |= {
            "code": concept(LOINC, "94076-7", "Mutations/Megabase [# Ratio] in Tumor"),
            "valueQuantity": {"value": Decimal(value), "system": UCUM, "code": "1/1000000{Base}"},
        }

    def microsatellites_stable(self, when: str) -> None:
        """A microsatellite test without instability."""
        profile = "http://hl7.org/fhir/uv/genomics-reporting/StructureDefinition/msi"
        resource = self._observation("msi", profile, "laboratory", when)
        resource |= {
            "code": concept(LOINC, "81695-9", "Microsatellite instability [Interpretation] in Cancer specimen"),
            "valueCodeableConcept": concept(LOINC, "LA14122-8", "Stable"),
        }

    def lab(self, part: str, code: str, display: str, value: str, unit: str, when: str) -> Resource:
        """A laboratory result; the value is a decimal as sent, the unit UCUM."""
        resource = self._observation(part, f"{_US_CORE}observation-lab", "laboratory", when)
        resource |= {
            "code": concept(LOINC, code, display),
            "valueQuantity": {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit},
        }
        return resource

    def medication(self, code: str, name: str, when: str) -> None:
        """A drug that the patient takes."""
        resource = self._add("MedicationStatement", "medication", "")
        resource |= {
            "status": "active",
            "medicationCodeableConcept": concept(RXNORM, code, name),
            "effectiveDateTime": when,
        }

    def encounter(self, start: str, end: str) -> None:
        """An ambulatory visit."""
        resource = self._add("Encounter", "visit", f"{_US_CORE}encounter")
        resource |= {
            "status": "finished",
            "class": {"system": f"{_TERMINOLOGY}v3-ActCode", "code": "AMB", "display": "ambulatory"},
            "type": [concept(SNOMED, "185349003", "Encounter for check up")],
            "period": {"start": start, "end": end},
        }

    def refuses_research(self, when: str) -> None:
        """A consent in force that denies research."""
        resource = {
            "resourceType": "Consent",
            "id": f"{self.patient_id}-consent",
            "status": "active",
            "scope": concept(f"{_TERMINOLOGY}consentscope", "research", "Research"),
            "category": [concept(LOINC, "57016-8", "Privacy policy acknowledgement Document")],
            "patient": self._subject(),
            "dateTime": when,
            "policyRule": concept(f"{_TERMINOLOGY}v3-ActCode", "OPTOUT", "opt-out"),
            "provision": {"type": "deny"},
        }
        self.resources.append(resource)

    def report(self, when: str) -> None:
        """The genomics report over all genetic results added so far."""
        resource = self._add("DiagnosticReport", "genomics-report", f"{_MCODE}genomics-report")
        results = [r["id"] for r in self.resources if r["id"].startswith(f"{self.patient_id}-variant")]
        resource |= {
            "status": "final",
            "category": [concept(f"{_TERMINOLOGY}v2-0074", "GE", "Genetics")],
            "code": concept(LOINC, "51969-4", "Genetic analysis report"),
            "effectiveDateTime": when,
            "result": [{"reference": f"Observation/{result}"} for result in results],
        }

    def _genetic(self, part: str, code: str, display: str, when: str) -> Resource:
        resource = self._observation(part, f"{_MCODE}genomic-variant", "laboratory", when)
        resource |= {
            "code": concept(LOINC, "69548-6", "Genetic variant assessment"),
            "valueCodeableConcept": concept(LOINC, code, display),
            "method": concept(LOINC, "LA26398-0", "Sequencing"),
        }
        return resource

    def _gene(self, gene: str) -> Resource:
        return _component("48018-6", "Gene studied [ID]", concept(HGNC, f"HGNC:{_HGNC_IDS[gene]}", gene))

    def _observation(self, part: str, profile: str, category: str, when: str) -> Resource:
        resource = self._add("Observation", part, profile)
        resource |= {
            "status": "final",
            "category": [concept(f"{_TERMINOLOGY}observation-category", category)],
            "effectiveDateTime": when,
        }
        return resource

    def _add(self, resource_type: str, part: str, profile: str) -> Resource:
        resource: Resource = {"resourceType": resource_type, "id": f"{self.patient_id}-{part}"}
        if profile:
            resource["meta"] = {"profile": [profile]}
        resource["subject"] = self._subject()
        self.resources.append(resource)
        return resource

    def _subject(self) -> Resource:
        return {"reference": f"Patient/{self.patient_id}"}


def _component(code: str, display: str, value: Resource) -> Resource:
    return {"code": concept(LOINC, code, display), "valueCodeableConcept": value}
