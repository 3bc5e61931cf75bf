"""Advice on criteria that are in the language but probably not what was meant."""

from spv_platform.trials.cancers import cancer_class, extent
from spv_platform.trials.model import Biomarker, Criterion, Diagnosis, Finding, Group, Node, Trial, criteria_of
from spv_platform.trials.terms import gene_advice, marker_name


def lint(trial: Trial) -> list[str]:
    """Warnings, `trial: cohort: criterion: what`, in the order of the file; empty when there is nothing to say."""
    warnings = []
    if not trial.trial.startswith("NCT"):
        warnings.append(f"{trial.trial}: not a ClinicalTrials.gov id: no registry study will be found for it")
    for cohort in trial.cohorts:
        where = f"{trial.trial}: cohort {cohort.id}"
        for criterion in criteria_of(cohort.criteria):
            warnings += [f"{where}: criterion {criterion.id}: {advice}" for advice in _advice(criterion)]
        warnings += [f"{where}: criterion {advice}" for advice in _structure(cohort.criteria, excluded=False)]
    return warnings


def _advice(criterion: Criterion) -> list[str]:
    advice = []
    if not criterion.wording:
        advice.append("no wording: add the sentence of the protocol")
    test = criterion.test
    if test == "text" and criterion.gating:
        advice.append("a gating text criterion stays UNKNOWN: nobody can be approved; set `gating: false`")
    if isinstance(test, Biomarker) and test.gene and (wrong := gene_advice(test.gene)):
        advice.append(wrong)
    if isinstance(test, Biomarker) and test.marker and not test.codes and marker_name(test.marker) is None:
        advice.append(f"marker `{test.marker}` is not in the table: add `codes:` of its tests")
    if isinstance(test, Diagnosis):
        advice += [
            f"code {code} is in no cancer class: other diagnoses stay UNKNOWN instead of NOT_MET"
            for code in test.codes
            if extent(code) is None and cancer_class(code) is None
        ]
    return advice


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
