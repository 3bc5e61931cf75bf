"""Advice on criteria that are in the language but probably not what was meant."""

import math

from spv_platform.trials.cancers import cancer_class, extent
from spv_platform.trials.model import Criterion, Group, Node, Trial, criteria_of, gating_tree
from spv_platform.trials.paths import Literal, Path, TooManyPathsError, paths
from spv_platform.trials.questions import ANY_GENE, INTERGENIC, Age, Biomarker, Diagnosis, Finding, Lab, Sex
from spv_platform.trials.sites import point_of
from spv_platform.trials.terms import gene_advice, known_unit, marker_name


def lint(trial: Trial) -> list[str]:
    """Warnings, `trial: cohort: criterion: what`, in the order of the file; empty when there is nothing to say."""
    warnings = []
    if not trial.trial.startswith("NCT"):
        warnings.append(f"{trial.trial}: not a ClinicalTrials.gov id: no registry study will be found for it")
    for cohort in trial.cohorts:
        where = f"{trial.trial}: cohort {cohort.id}"
        for criterion in criteria_of(cohort.criteria):
            found = [*_advice(criterion), *(_of_sites(trial) if criterion.site else ())]
            warnings += [f"{where}: criterion {criterion.id}: {advice}" for advice in found]
        warnings += [f"{where}: criterion {advice}" for advice in _structure(cohort.criteria, excluded=False)]
        warnings += [f"{where}: {advice}" for advice in _possible(cohort.criteria)]
    return warnings


def _advice(criterion: Criterion) -> list[str]:
    advice = []
    if not criterion.wording:
        advice.append("no wording: add the sentence of the protocol")
    test = criterion.test
    if test == "text" and criterion.gating:
        advice.append("a gating text criterion stays UNKNOWN: nobody can be approved; set `gating: false`")
    genes = [test.gene, test.partner] if isinstance(test, Biomarker) else []
    known = [gene_advice(gene) for gene in genes if gene and gene not in (ANY_GENE, INTERGENIC)]
    advice += [wrong for wrong in known if wrong]
    if isinstance(test, Biomarker) and test.call and "mutation" in (test.alteration or ()):
        advice.append("`call` is of a copy number change, `alteration: mutation` is none: no variant is both")
    if isinstance(test, Biomarker) and test.marker and not test.codes and marker_name(test.marker) is None:
        advice.append(f"marker `{test.marker}` is not in the table: add `codes:` of its tests")
    if isinstance(test, Lab) and not known_unit(test.unit):
        advice.append(f"unit `{test.unit}` is not in the table of units: only results in exactly this unit will count")
    if isinstance(test, Diagnosis):
        advice += [
            f"code {code} is in no cancer class: other diagnoses stay UNKNOWN instead of NOT_MET"
            for code in test.codes
            if extent(code) is None and cancer_class(code) is None
        ]
    return advice


def _of_sites(trial: Trial) -> list[str]:
    if not trial.sites and not trial.trial.startswith("NCT"):
        return ["can never match: no site of the trial is known; add `sites:`"]
    if not trial.sites:
        return ["only the sites of the registry's study count; add `sites:` for others"]
    if all(site.status == "closed" for site in trial.sites):
        return ["can never match: all sites are closed"]
    lost = [site.name for site in trial.sites if site.status == "open" and point_of(site) is None]
    return [f"no table tells where the site {', '.join(lost)} is: add `latitude` and `longitude`"] if lost else []


def _structure(node: Node, *, excluded: bool) -> list[str]:
    if isinstance(node, Criterion):
        if excluded and node.gating and isinstance(node.test, Finding) and node.test.state == "present":
            return [
                f"{node.id}: an exclusion by a finding is UNKNOWN unless its absence is recorded: "
                "few records say so; consider `gating: false`"
            ]
        return []
    advice = []
    if node.op == "any" and any(isinstance(m, Criterion) and not m.gating for m in node.members):
        names = ", ".join(m.id for m in node.members if isinstance(m, Criterion) and not m.gating)
        advice.append(f"{names}: not gating inside `any`: the others decide without it")
    return advice + [line for m in node.members for line in _structure(m, excluded=_turned(node, excluded))]


def _turned(group: Group, excluded: bool) -> bool:
    return not excluded if group.op == "none" else excluded


def _possible(tree: Node) -> list[str]:
    """Whether the gating criteria can be met at all, and whether they can fail."""
    decides = gating_tree(tree)
    if decides is None:
        return []
    try:
        ways, failures = paths(decides), paths(decides, negated=True)
    except TooManyPathsError as error:
        return [f"{error}: it was not checked whether they can be met"]
    advice = []
    reasons = [_contradiction(way) for way in ways]
    if all(reasons):
        advice.append(f"can never match: {reasons[0]}")
    if all(_contradiction(failure) for failure in failures):
        advice.append("always matches: whatever a person is like, its criteria hold")
    return advice


def _contradiction(way: Path) -> str | None:
    """Why not all of these can hold of one person; None: they can, as far as can be told."""
    asked: dict[tuple[object, object], Literal] = {}
    for literal in way:
        question = (literal.criterion.test, literal.criterion.within_days)
        other = asked.setdefault(question, literal)
        if other.negated != literal.negated and literal.criterion.test != "text":
            return f"{other.criterion.id} and {literal.criterion.id} ask for the opposite of each other"
    wanted = [literal.criterion for literal in way if not literal.negated]
    sexes = {_sex(criterion) for criterion in wanted} - {None}
    if len(sexes) > 1:
        return "both sexes are asked for at once"
    ages = [criterion.test for criterion in wanted if isinstance(criterion.test, Age)]
    least = max((bound for age in ages for bound in (age.min, age.over) if bound is not None), default=0)
    most = min((bound for age in ages for bound in (age.max, age.under) if bound is not None), default=math.inf)
    return f"no age is at least {least:g} and at most {most:g}" if least > most else None


def _sex(criterion: Criterion) -> str | None:
    if isinstance(criterion.test, Sex):
        return criterion.test.wanted
    return criterion.test if criterion.test in ("female", "male") else None
