"""The invented patients and the people who treat them.

What belongs here: what each chart says, and why the patient is in the sample. The verdicts stand in `truth`.
"""

from spv_platform.sample.chart import SNOMED, Chart, Resource, concept

NPI = "http://hl7.org/fhir/sid/us-npi"
PRACTITIONER_NPI = "9999999995"

LUNG = concept(SNOMED, "254637007", "Non-small cell lung cancer (disorder)")
BREAST = concept(SNOMED, "408643008", "Infiltrating duct carcinoma of breast (disorder)")
MELANOMA = concept(SNOMED, "93655004", "Malignant melanoma of skin (disorder)")

_L858R = ("EGFR", "NM_005228.5:c.2573T>G", "NP_005219.2:p.(Leu858Arg)")
_G12C = ("KRAS", "NM_004985.5:c.34G>T", "NP_004976.2:p.(Gly12Cys)")


def practice() -> list[Resource]:
    """The treating practice and its oncologist."""
    organization = {
        "resourceType": "Organization",
        "id": "sample-practice",
        "active": True,
        "name": "Sampleton Invented Oncology",
    }
    practitioner = {
        "resourceType": "Practitioner",
        "id": "sample-oncologist",
        "identifier": [{"system": NPI, "value": PRACTITIONER_NPI}],
        "name": [{"family": "Sample-Oncologist", "given": ["Inventia"]}],
    }
    return [organization, practitioner]


def aster() -> Chart:
    """Everything the lung cohort asks for is there and fits."""
    chart = Chart(
        "aster",
        name=("Sample-Aster", "Testina"),
        gender="female",
        birth_date="1961-04-17",
        mrn="SAMPLE-0001",
        practitioner="Practitioner/sample-oncologist",
    )
    _lung(chart, ecog=1)
    chart.variant(*_L858R, "2026-02-20", "0.31")
    chart.no_variant(("KRAS", "BRAF"), "2026-02-20")
    chart.report("2026-02-20")
    chart.condition(
        "bone",
        concept(SNOMED, "94222008", "Secondary malignant neoplasm of bone (disorder)"),
        "2026-02-11",
        kind="secondary",
    )
    chart.condition(
        "hypertension", concept(SNOMED, "59621000", "Essential hypertension (disorder)"), "2015", kind="problem"
    )
    chart.encounter("2026-03-02T09:00:00-05:00", "2026-03-02T09:40:00-05:00")
    return chart


def birch() -> Chart:
    """As aster, but nobody has tested EGFR."""
    chart = Chart(
        "birch",
        name=("Sample-Birch", "Mockwell"),
        gender="male",
        birth_date="1957-11-02",
        mrn="SAMPLE-0002",
        practitioner=f"Practitioner?identifier={NPI}|{PRACTITIONER_NPI}",
    )
    _lung(chart, ecog=0)
    chart.no_variant(("KRAS",), "2026-02-21")
    return chart


def cedar() -> Chart:
    """As aster, but too frail: ECOG 3."""
    chart = Chart("cedar", name=("Sample-Cedar", "Fictor"), gender="male", birth_date="1949-07-30", mrn="SAMPLE-0003")
    _lung(chart, ecog=3)
    chart.variant(*_L858R, "2026-02-18", "0.12")
    chart.no_variant(("KRAS",), "2026-02-18")
    return chart


def dogwood() -> Chart:
    """As aster, but dead."""
    chart = Chart(
        "dogwood",
        name=("Sample-Dogwood", "Pretendia"),
        gender="female",
        birth_date="1953-01-25",
        mrn="SAMPLE-0004",
        deceased="2026-03-05",
    )
    _lung(chart, ecog=1)
    chart.variant(*_L858R, "2026-02-10", "0.27")
    chart.no_variant(("KRAS",), "2026-02-10")
    return chart


def elm() -> Chart:
    """As aster, but refuses research."""
    chart = Chart("elm", name=("Sample-Elm", "Placeholda"), gender="female", birth_date="1966-09-09", mrn="SAMPLE-0005")
    _lung(chart, ecog=0)
    chart.variant(*_L858R, "2026-02-14", "0.40")
    chart.no_variant(("KRAS",), "2026-02-14")
    chart.refuses_research("2026-01-15")
    return chart


def fern() -> Chart:
    """Another cancer: fits the breast trial in everything, but that trial is completed."""
    chart = Chart("fern", name=("Sample-Fern", "Dummelia"), gender="female", birth_date="1970-06-12", mrn="SAMPLE-0006")
    chart.condition("cancer", BREAST, "2025-10-03")
    chart.stage("IIB", "2025-10-20")
    chart.ecog(0, "2026-03-01")
    chart.marker(
        "er",
        "85337-4",
        "Estrogen receptor Ag [Presence] in Breast cancer specimen by Immune stain",
        positive=True,
        when="2025-10-10",
    )
    chart.marker(
        "pr",
        "85339-0",
        "Progesterone receptor Ag [Presence] in Breast cancer specimen by Immune stain",
        positive=True,
        when="2025-10-10",
    )
    chart.marker(
        "her2",
        "85319-2",
        "HER2 [Presence] in Breast cancer specimen by Immune stain",
        positive=False,
        when="2025-10-10",
    )
    chart.lab("anc", "26499-4", "Neutrophils [#/volume] in Blood", "4.10", "10*3/uL", "2026-03-01")
    chart.medication("84857", "anastrozole", "2025-11-01")
    return chart


def ginkgo() -> Chart:
    """A melanoma with many mutations, but without the BRAF one that its cohort asks for."""
    chart = Chart(
        "ginkgo", name=("Sample-Ginkgo", "Mockett"), gender="male", birth_date="1979-03-21", mrn="SAMPLE-0007"
    )
    chart.condition("cancer", MELANOMA, "2026-01-08")
    chart.stage("IIIC", "2026-01-20")
    chart.ecog(0, "2026-02-27")
    chart.no_variant(("BRAF", "NRAS"), "2026-02-02")
    chart.tumor_mutational_burden("14.2", "2026-02-02")
    chart.microsatellites_stable("2026-02-02")
    return chart


def hazel() -> Chart:
    """As aster, but with a KRAS mutation, which excludes."""
    chart = Chart(
        "hazel", name=("Sample-Hazel", "Fauxton"), gender="female", birth_date="1959-12-31", mrn="SAMPLE-0008"
    )
    _lung(chart, ecog=1)
    chart.variant(*_L858R, "2026-02-25", "0.05")
    chart.variant(*_G12C, "2026-02-25", "0.22")
    return chart


def ivy() -> Chart:
    """The other tenant's patient who qualifies."""
    chart = Chart("ivy", name=("Sample-Ivy", "Southina"), gender="female", birth_date="1964-08-14", mrn="SAMPLE-0101")
    _lung(chart, ecog=0)
    chart.variant(*_L858R, "2026-02-12", "0.18")
    chart.no_variant(("KRAS",), "2026-02-12")
    return chart


def juniper() -> Chart:
    """The other tenant's patient without any genetic test."""
    chart = Chart(
        "juniper", name=("Sample-Juniper", "Southwick"), gender="male", birth_date="1951-05-05", mrn="SAMPLE-0102"
    )
    _lung(chart, ecog=1)
    return chart


def _lung(chart: Chart, *, ecog: int) -> None:
    """What all lung patients share: non-small cell lung cancer in stage IV with a blood count that fits."""
    chart.condition("cancer", LUNG, "2026-01-12")
    chart.stage("IV", "2026-02-01")
    chart.ecog(ecog, "2026-03-02")
    chart.lab("anc", "26499-4", "Neutrophils [#/volume] in Blood", "3.20", "10*3/uL", "2026-03-02")
    chart.lab("hemoglobin", "718-7", "Hemoglobin [Mass/volume] in Blood", "12.4", "g/dL", "2026-03-02")
