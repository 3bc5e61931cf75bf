"""What a criterion can ask for: one struct for each kind of question.

What belongs here: the structs and the checks of one value. What does not: trials and how their criteria are combined
(`model`), reading files (`criteria`), judging (`leaves`). All structs are frozen and compare by value, so that equal
questions are asked once.
"""

import math
from typing import Literal, TypeAlias

import msgspec

from spv_platform.trials.notation import any_change, consequence_name, protein_change, stage_group
from spv_platform.trials.terms import canonical_code, current_gene, marker_name, table

FindingKind: TypeAlias = Literal["condition", "metastasis", "medication", "allergy", "procedure", "immunization"]
Alteration: TypeAlias = Literal["mutation", "fusion", "copy_number_gain", "copy_number_loss"]
#: Classes of a copy number change: many copies, more, one lost, all lost.
Call: TypeAlias = Literal["amplification", "gain", "heterozygous_loss", "homozygous_loss"]
Signature: TypeAlias = Literal["apobec", "pole", "temozolomide", "tobacco", "uva"]
#: Partners of a fusion that are no gene symbols: any gene, and none (the other end lies between genes).
ANY_GENE, INTERGENIC = "any", "intergenic"

_settle = msgspec.structs.force_setattr


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all: immutable, by keyword, no unknown keys."""


def _check_limits(limits: "Range | Age | Lab") -> None:
    low = [bound for bound in (limits.min, limits.over) if bound is not None]
    high = [bound for bound in (limits.max, limits.under) if bound is not None]
    if not low and not high:
        raise ValueError("needs `min`, `max` or both (or `over`, `under`, which leave the bound out)")
    if len(low) == 2 or len(high) == 2:
        raise ValueError("`min` and `over`, `max` and `under` exclude each other")
    if not all(math.isfinite(bound) for bound in low + high):
        raise ValueError("bounds must be finite numbers")
    if low and high and (low > high or (low == high and (limits.over is not None or limits.under is not None))):
        raise ValueError("`min` is greater than `max`, so nothing can lie between")


def _codes(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(canonical_code(code) for code in codes)


class Range(Struct, frozen=True, kw_only=True):
    """Numbers from `min` to `max`, both included; `over` and `under` leave the bound itself out."""

    min: float | None = None
    max: float | None = None
    over: float | None = None
    under: float | None = None

    def __post_init__(self) -> None:
        _check_limits(self)


class Age(Struct, frozen=True, kw_only=True):
    """Age on the day of evaluation, in years; a fraction counts as whole months.

    `min: 18` is met from the 18th birthday on, `max: 75` to the day before the 76th. `over: 18` is met from the day
    after the 18th birthday on, `under: 18` to the day before it.
    """

    min: float | None = None
    max: float | None = None
    over: float | None = None
    under: float | None = None

    def __post_init__(self) -> None:
        _check_limits(self)
        if any(bound is not None and not 0 <= bound <= 200 for bound in (self.min, self.max, self.over, self.under)):
            raise ValueError("an age lies between 0 and 200 years")


class Sex(Struct, frozen=True, kw_only=True):
    """A sex, and which one: that at birth, or the one that is administered."""

    wanted: Literal["female", "male"] = msgspec.field(name="is")
    of: Literal["birth", "administrative"]


class Diagnosis(Struct, frozen=True, kw_only=True):
    """A primary cancer with one of these codes (`system|code`, `*` at the end for a prefix), and with a histology.

    Stages and biomarkers of a record that belong to another cancer of the person do not count beside it.
    """

    codes: tuple[str, ...]
    histology: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.codes:
            raise ValueError("needs at least one code")
        _settle(self, "codes", _codes(self.codes))
        _settle(self, "histology", _codes(self.histology))


class Therapy(Struct, frozen=True, kw_only=True):
    """Systemic anticancer drugs that were taken, by ingredient or by class (`data/drugs.json`).

    Attributes:
        drugs: ingredients.
        classes: of drugs; without drugs and classes any systemic anticancer drug.
        state: `taken` or `never`.
        washout_days: none was taken in so many days before the day of evaluation.
        lines: how many lines of therapy, see `trials.therapies`.
    """

    drugs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    state: Literal["taken", "never"] = "taken"
    washout_days: int | None = None
    lines: Range | None = None

    def __post_init__(self) -> None:
        known = table("drugs")["drugs"]
        _settle(self, "drugs", tuple(name.casefold() for name in self.drugs))
        for name in self.drugs:
            if name not in known:
                raise ValueError(f"drug `{name}` is not in the table of drugs: name its ingredient, or add it there")
        classes = {each for entry in known.values() for each in entry["classes"]}
        for name in self.classes:
            if name not in classes:
                raise ValueError(f"class `{name}` is not in the table of drugs: it has {', '.join(sorted(classes))}")
        if self.lines is not None and (self.drugs or self.classes or self.washout_days is not None):
            raise ValueError("`lines` counts all systemic therapy: it stands alone")
        if self.washout_days is not None and (self.washout_days < 1 or self.state != "taken"):
            raise ValueError("`washout_days` is at least 1 and goes without `state`")


class Finding(Struct, frozen=True, kw_only=True):
    """A recorded fact of a kind with one of the codes; without codes any fact of the kind."""

    kind: FindingKind
    codes: tuple[str, ...] = ()
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        _settle(self, "codes", _codes(self.codes))


class Stage(Struct, frozen=True, kw_only=True):
    """The latest stage group is one of these or a subdivision of one."""

    one_of: tuple[str, ...] = msgspec.field(name="in")

    def __post_init__(self) -> None:
        stages = tuple(stage_group(stage) for stage in self.one_of)
        if not stages or None in stages:
            raise ValueError("`in` needs stage groups such as IIIB, IV")
        _settle(self, "one_of", stages)


class Biomarker(Struct, frozen=True, kw_only=True):
    """A variant of a gene, the state of a marker, the mutational burden, or a state of the whole genome.

    Exactly one of `gene`, `marker`, `tmb` (mutations per megabase), `msi`, `mmr` and `signature`. Everything that
    narrows a gene holds of one and the same variant.

    Attributes:
        gene: HGNC symbol, or `any`.
        change: a protein change in any HGVS spelling, or `V600 any`: whatever replaces that residue.
        alteration: one of these classes.
        partner: the other gene of a fusion, in either order; `any` gene, or `intergenic`.
        codons: of the protein, first to last.
        exons: of the transcript that the laboratory reports; some, or first to last.
        consequence: names of the Sequence Ontology, or classes of the mutation annotation format.
        call: the class of a copy number change.
        copy_number: copies.
        vaf: variant allele frequency, 0 to 1.
        function: what the laboratory says that the change does.
        codes: replace the table's codes of a marker's tests.
    """

    gene: str | None = None
    change: str | None = None
    alteration: tuple[Alteration, ...] | Alteration | None = None
    partner: str | None = None
    codons: Range | None = None
    exons: tuple[int, ...] | int | Range | None = None
    consequence: tuple[str, ...] | str | None = None
    call: tuple[Call, ...] | Call | None = None
    copy_number: Range | None = None
    vaf: Range | None = None
    zygosity: Literal["heterozygous", "homozygous", "hemizygous"] | None = None
    function: Literal["activating", "inactivating"] | None = None
    origin: Literal["somatic", "germline"] | None = None
    marker: str | None = None
    codes: tuple[str, ...] = ()
    state: Literal["present", "absent", "positive", "negative", "low", "ultralow"] | None = None
    tmb: Range | None = None
    msi: Literal["high", "stable"] | None = None
    mmr: Literal["deficient", "proficient"] | None = None
    signature: Signature | None = None

    def __post_init__(self) -> None:
        given = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(f'`{name}`' for name in _SUBJECTS)}")
        self._check_belongs("gene", given[0], NARROWING)
        self._check_belongs("marker", given[0], ("codes",))
        states = _STATES.get(given[0], ())
        if self.state is not None and self.state not in states:
            raise ValueError(
                f"`state` is {' or '.join(states)}" if states else f"`state` does not go with `{given[0]}`"
            )
        if states and self.state is None:
            _settle(self, "state", states[0])
        if self.state in ("low", "ultralow") and marker_name(self.marker or "") != "HER2":
            raise ValueError(f"`state: {self.state}` goes with `marker: HER2` only")
        for name in ("alteration", "exons", "consequence", "call"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, tuple | Range):
                _settle(self, name, (value,))
        if isinstance(self.exons, Range):
            _settle(self, "exons", _exons(self.exons))
        if self.change is not None:
            _settle(self, "change", _change(self.change))
        if self.consequence is not None:
            _settle(self, "consequence", tuple(_consequence(name) for name in self.consequence))
        for name in ("gene", "partner"):
            if getattr(self, name) is not None:
                _settle(self, name, current_gene(getattr(self, name)))
        if self.partner is not None and self.alteration is None:
            _settle(self, "alteration", ("fusion",))
        if self.gene == ANY_GENE and not any(getattr(self, name) is not None for name in NARROWING):
            raise ValueError("`gene: any` alone asks for nothing: say which alteration")
        _settle(self, "codes", _codes(self.codes))

    def _check_belongs(self, owner: str, given: str, names: tuple[str, ...]) -> None:
        wrong = [name for name in names if getattr(self, name)] if given != owner else []
        if wrong:
            raise ValueError(f"`{wrong[0]}` belongs to `{owner}`")


#: What a biomarker criterion is about, and what narrows a gene.
_SUBJECTS = ("gene", "marker", "tmb", "msi", "mmr", "signature")
NARROWING = (
    *("change", "alteration", "partner", "codons", "exons", "consequence", "call", "copy_number", "vaf", "zygosity"),
    *("function", "origin"),
)
_STATES: dict[str, tuple[str, ...]] = {
    "gene": ("present", "absent"),
    "marker": ("positive", "negative", "low", "ultralow"),
    "signature": ("present", "absent"),
}


def _exons(limits: Range) -> tuple[int, ...]:
    first, last = limits.min, limits.max
    if first is None or last is None or not (first.is_integer() and last.is_integer() and 1 <= first <= last <= 1000):
        raise ValueError("`exons` as a range has `min` and `max`, whole numbers from 1 to 1000")
    return tuple(range(int(first), int(last) + 1))


def _change(text: str) -> str:
    position = any_change(text)
    change = f"{position} any" if position else protein_change(text)
    if change is None:
        raise ValueError(f"`change: {text}` is not a protein change such as L858R, E746_A750del or `V600 any`")
    return change


def _consequence(text: str) -> str:
    name = consequence_name(text)
    if name is None:
        raise ValueError(f"`consequence: {text}` is neither a Sequence Ontology name nor a MAF class that is known")
    return name


class PerformanceStatus(Struct, frozen=True, kw_only=True):
    """The latest ECOG (0-5) or Karnofsky (0-100) status; the two scales are not converted."""

    ecog: Range | None = None
    karnofsky: Range | None = None

    def __post_init__(self) -> None:
        if (self.ecog is None) == (self.karnofsky is None):
            raise ValueError("needs exactly one of `ecog`, `karnofsky`")


class Lab(Struct, frozen=True, kw_only=True):
    """The latest result of a laboratory test, in `unit` (UCUM); bounds as of `Range`."""

    code: str | tuple[str, ...]
    unit: str
    min: float | None = None
    max: float | None = None
    over: float | None = None
    under: float | None = None

    def __post_init__(self) -> None:
        codes = _codes((self.code,) if isinstance(self.code, str) else self.code)
        if not codes:
            raise ValueError("needs a code")
        _settle(self, "code", codes)
        _check_limits(self)

    @property
    def codes(self) -> tuple[str, ...]:
        """The test's codes, as `system-url|code`."""
        return (self.code,) if isinstance(self.code, str) else self.code


class Distance(Struct, frozen=True, kw_only=True):
    """The person lives so near to a site of the trial that takes patients; see `trials.sites`."""

    within_km: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.within_km) and 0 < self.within_km <= MAX_KM):
            raise ValueError(f"`within_km` is a number over 0, at most {MAX_KM}: no two places are farther apart")


#: Half the length of the equator, rounded up.
MAX_KM = 20_040


class Site(Struct, frozen=True, kw_only=True):
    """A place where a trial runs: by its coordinates (degrees, WGS 84), or by postal code and country.

    Attributes:
        status: at a `closed` site no patients are taken.
    """

    name: str
    status: Literal["open", "closed"] = "open"
    country: str = ""
    postal_code: str = ""
    latitude: float | None = None
    longitude: float | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("`name` is empty")
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("`latitude` and `longitude` go together")
        if abs(self.latitude or 0) > 90 or abs(self.longitude or 0) > 180:
            raise ValueError("`latitude` lies between -90 and 90, `longitude` between -180 and 180")


class Reach(Struct, frozen=True, kw_only=True):
    """A `Distance`, asked for the sites of one trial."""

    within_km: float
    sites: tuple[Site, ...]


Test: TypeAlias = (
    Age
    | Distance
    | Reach
    | Sex
    | Diagnosis
    | Finding
    | Stage
    | Biomarker
    | PerformanceStatus
    | Lab
    | Therapy
    | Literal["female", "male", "text"]
)
