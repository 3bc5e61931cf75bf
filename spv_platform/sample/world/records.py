"""The hidden model as FHIR R4: one version of one resource of one record.

What belongs here: how each kind of entry looks in a chart. What does not: which entries there are (`stories`), how
they are packed (`files`).
"""

from datetime import date, timedelta
from typing import Any

from spv_platform.sample.chart import LOINC, SNOMED, Chart, Resource, concept
from spv_platform.sample.world.model import Entry, Identity, Person

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
_SSN = "http://hl7.org/fhir/sid/us-ssn"

_CANCERS: dict[str, tuple[str, str, str]] = {
    "lung-icd": (_ICD10, "C34.90", "Malignant neoplasm of unspecified part of unspecified bronchus or lung"),
    "lung-nsclc": (SNOMED, "254637007", "Non-small cell lung cancer (disorder)"),
    "lung-adeno": (SNOMED, "254626006", "Adenocarcinoma of lung (disorder)"),
    "lung-squamous": (SNOMED, "254634000", "Squamous cell carcinoma of lung (disorder)"),
    "lung-small": (SNOMED, "254632001", "Small cell carcinoma of lung (disorder)"),
    "breast": (SNOMED, "254837009", "Malignant neoplasm of breast (disorder)"),
    "breast-ductal": (SNOMED, "408643008", "Infiltrating duct carcinoma of breast (disorder)"),
    "breast-icd": (_ICD10, "C50.912", "Malignant neoplasm of unspecified site of left female breast"),
    "colon": (SNOMED, "363406005", "Malignant tumor of colon (disorder)"),
    "colon-icd": (_ICD10, "C18.7", "Malignant neoplasm of sigmoid colon"),
    "rectum": (_ICD10, "C20", "Malignant neoplasm of rectum"),
    "melanoma": (SNOMED, "93655004", "Malignant melanoma of skin (disorder)"),
    "melanoma-icd": (_ICD10, "C43.59", "Malignant melanoma of other part of trunk"),
    "prostate": (SNOMED, "399068003", "Malignant tumor of prostate (disorder)"),
    "prostate-icd": (_ICD10, "C61", "Malignant neoplasm of prostate"),
    "pancreas": (_ICD10, "C25.0", "Malignant neoplasm of head of pancreas"),
}
_METASTASES = {
    "bone": ("94222008", "Secondary malignant neoplasm of bone (disorder)"),
    "liver": ("94381002", "Secondary malignant neoplasm of liver (disorder)"),
    "brain": ("94225005", "Secondary malignant neoplasm of brain (disorder)"),
}
_PROBLEMS = {
    "hypertension": ("59621000", "Essential hypertension (disorder)"),
    "diabetes": ("44054006", "Diabetes mellitus type 2 (disorder)"),
    "copd": ("13645005", "Chronic obstructive lung disease (disorder)"),
}
_DRUGS = {"anastrozole": "84857", "metformin": "6809", "ondansetron": "26225"}
_LABS = {
    "anc": ("26499-4", "Neutrophils [#/volume] in Blood", "10*3/uL"),
    "hemoglobin": ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL"),
    "creatinine": ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL"),
    "psa": ("2857-1", "Prostate specific Ag [Mass/volume] in Serum or Plasma", "ng/mL"),
}
_MARKERS = {
    "ER": ("85337-4", "Estrogen receptor Ag [Presence] in Breast cancer specimen by Immune stain"),
    "PR": ("85339-0", "Progesterone receptor Ag [Presence] in Breast cancer specimen by Immune stain"),
    "HER2": ("85319-2", "HER2 [Presence] in Breast cancer specimen by Immune stain"),
    "PD-L1": ("83052-1", "PD-L1 by clone 28-8 [Presence] in Tissue by Immune stain"),
}
#: Change -> coding and protein change in HGVS.
_VARIANTS = {
    "L858R": ("NM_005228.5:c.2573T>G", "NP_005219.2:p.(Leu858Arg)"),
    "E746_A750del": ("NM_005228.5:c.2235_2249del", "NP_005219.2:p.(Glu746_Ala750del)"),
    "G12C": ("NM_004985.5:c.34G>T", "NP_004976.2:p.(Gly12Cys)"),
    "G12D": ("NM_004985.5:c.35G>A", "NP_004976.2:p.(Gly12Asp)"),
    "H1047R": ("NM_006218.4:c.3140A>G", "NP_006209.2:p.(His1047Arg)"),
    "V600E": ("NM_004333.6:c.1799T>A", "NP_004324.2:p.(Val600Glu)"),
    "V600K": ("NM_004333.6:c.1798_1799delinsAA", "NP_004324.2:p.(Val600Lys)"),
    "S1982fs": ("NM_000059.4:c.5946del", "NP_000050.3:p.(Ser1982ArgfsTer22)"),
}
#: Clinical stage findings of SNOMED CT; a subdivision is told in words.
_STAGES = {"I": "13104003", "II": "60333009", "III": "50283003", "IV": "2640006"}
_EQUIVOCAL = concept(SNOMED, "42425007", "Equivocal")
_MARRIED = "Newbridge"


class Record(Chart):
    """Writes the entries of one record, one at a time.

    Args:
        person: whose record.
        feed: of which source system.
        today: of the world.
    """

    def __init__(self, person: Person, feed: str, today: date) -> None:
        self.patient_id = person.patient_id(feed)
        self.resources: list[Resource] = []
        self._person = person
        self._feed = feed
        self._today = today

    def write(self, entry: Entry) -> Resource:
        """One version of one resource; its id is made of the record's and the entry's part."""
        self.resources.clear()
        when = (self._today - timedelta(days=entry.days_ago)).isoformat()
        says, _, name = entry.says.partition(":")
        match says:
            case "patient":
                return self._patient(entry.value, when)
            case "visit":
                self.encounter(f"{when}T14:00:00Z", f"{when}T14:40:00Z")
                clinic = f"Organization/{organization_id(int(entry.value))}"
                self.resources[-1]["serviceProvider"] = {"reference": clinic}
            case "consent":
                self.refuses_research(when)
            case "medication":
                self.medication(_DRUGS[entry.value], entry.value, when)
            case "cancer" | "metastasis" | "problem":
                self._condition(says, entry.value, when)
            case _:
                self._result(says, name, entry.value, when)
                self.resources[-1]["status"] = entry.status
        resource = self.resources[-1]
        resource["id"] = f"{self.patient_id}-{entry.part}"
        return resource

    def _condition(self, says: str, value: str, when: str) -> None:
        match says:
            case "cancer":
                self.condition("cancer", concept(*_CANCERS[value]), when)
            case "metastasis":
                self.condition("metastasis", concept(SNOMED, *_METASTASES[value]), when, kind="secondary")
                del self.resources[-1]["extension"]  # which primary it belongs to is not on record
            case _:
                self.condition("problem", concept(SNOMED, *_PROBLEMS[value]), when, kind="problem")

    def _result(self, says: str, name: str, value: str, when: str) -> None:
        match says:
            case "stage":
                self.stage("IV", when)
                del self.resources[-1]["focus"]
                self.resources[-1]["valueCodeableConcept"] = _stage(value)
            case "ecog":
                self.ecog(int(value), when)
            case "lab":
                code, display, unit = _LABS[name]
                self.lab(name, code, display, value, unit, when)
            case "marker":
                self.marker(name, *_MARKERS[name], positive=value == "positive", when=when)
                if value == "equivocal":
                    self.resources[-1]["valueCodeableConcept"] = _EQUIVOCAL
            case "tmb":
                self.tumor_mutational_burden(value, when)
            case "msi":
                self.microsatellites_stable(when)
                if value == "high":
                    self.resources[-1]["valueCodeableConcept"] = concept(LOINC, "LA26203-2", "MSI-H")
            case "gene":
                if value == "negative":
                    self.no_variant((name,), when)
                else:
                    self.variant(name, *_VARIANTS[value], when, "0.27")
            case _:
                raise ValueError(says)

    def _patient(self, value: str, when: str) -> Resource:
        known = self._person.records[self._feed]
        family = _MARRIED if value == "married" else known.family
        patient: dict[str, Any] = {
            "resourceType": "Patient",
            "id": self.patient_id,
            "identifier": self._identifiers(known),
            "active": True,
            "name": [{"use": "official", "family": family, "given": [known.given]}],
            "gender": known.sex,
            "birthDate": known.birth_date,
            "address": [
                {
                    "line": [known.street],
                    "city": known.city,
                    "state": known.state,
                    "postalCode": known.postal_code,
                    "country": "US",
                }
            ],
        }
        if known.phone:
            patient["telecom"] = [{"system": "phone", "value": known.phone, "use": "home"}]
        if value == "dead":
            patient["deceasedDateTime"] = when
        if self._person.named_clinic is not None and self._feed == "emr":
            clinic = f"Organization/{organization_id(self._person.named_clinic)}"
            patient["generalPractitioner"] = [{"reference": clinic}]
        return patient

    def _identifiers(self, known: Identity) -> list[Resource]:
        base = f"http://{self._person.tenant}.example.org"
        found = [_identifier("PI", "Patient internal identifier", f"{base}/{self._feed}/patient", self.patient_id)]
        if known.mrn:
            found.append(_identifier("MR", "Medical record number", f"{base}/mrn", known.mrn))
        if known.ssn:
            found.append(_identifier("SS", "Social Security number", _SSN, known.ssn))
        return found


def organization_id(clinic: int) -> str:
    """Id of the Organization that a clinic is in the EMR."""
    return f"clinic-{clinic + 1}"


def organization(clinic: int) -> Resource:
    """A clinic as the EMR knows it."""
    return {
        "resourceType": "Organization",
        "id": organization_id(clinic),
        "active": True,
        "name": f"Invented Oncology Clinic {clinic + 1}",
    }


def reference_of(person: Person, entry: Entry) -> str:
    """`Type/id` of the resource that an entry is a version of."""
    if not entry.part:
        return f"Patient/{person.patient_id(entry.feed)}"
    says = entry.says.partition(":")[0]
    return f"{_TYPES.get(says, 'Observation')}/{person.patient_id(entry.feed)}-{entry.part}"


_TYPES = {
    "visit": "Encounter",
    "consent": "Consent",
    "medication": "MedicationStatement",
    "cancer": "Condition",
    "metastasis": "Condition",
    "problem": "Condition",
}


def _stage(group: str) -> Resource:
    if group in _STAGES:
        return concept(SNOMED, _STAGES[group], f"Clinical stage {group} (finding)")
    return {"text": f"Stage {group}"}


def _identifier(code: str, display: str, system: str, value: str) -> Resource:
    return {"type": concept(f"{_TERMINOLOGY}v2-0203", code, display), "system": system, "value": value}
