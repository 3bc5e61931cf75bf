"""Criteria as trials in CTML, with a remark for each that CTML has no key for."""

import copy
import json
import re
from typing import get_args

import msgspec

from spv_platform.trials import oncotree
from spv_platform.trials.criteria import CriteriaError
from spv_platform.trials.describe import describe
from spv_platform.trials.matchminer.ctml import Imported, Level, levels_of, named
from spv_platform.trials.matchminer.questions import NoQuestionError, Object, clinical, genomic
from spv_platform.trials.matchminer.words import (
    CALLS,
    CATEGORIES,
    MARKERS,
    comparison,
)
from spv_platform.trials.model import Criterion, Node, Trial, criteria_of
from spv_platform.trials.notation import any_change
from spv_platform.trials.questions import ANY_GENE, Age, Alteration, Biomarker, Diagnosis, Range


def to_ctml(trial: Trial) -> Imported:
    """A trial as CTML, with a remark for each criterion that CTML has no key for.

    Such criteria go into `prior_treatment_requirements`, in words. A trial that was read from CTML keeps its document;
    any other one becomes one step with an arm for each cohort.

    Returns:
        The trial with its whole document in `ctml`, and the remarks.

    Raises:
        CriteriaError: a group `at_least`, which CTML cannot say.
    """
    document = copy.deepcopy(trial.ctml) if trial.ctml else _skeleton(trial)
    remarks: list[str] = []
    in_words: list[str] = []
    # several levels can have one id, and then follow each other as the cohorts do
    levels: dict[tuple[str, str], list[Level]] = {}
    for level in levels_of(document):
        levels.setdefault(_key(level), []).append(level)
    for cohort in trial.cohorts:
        level = (levels.get((cohort.level, cohort.level_id)) or levels[("arm", cohort.id)]).pop(0)
        clause = _clause_of(cohort.criteria, negated=False)
        level.node["match"] = [clause] if clause else []
        for criterion in _unsayable(cohort.criteria, negated=False):
            in_words.append(describe(criterion))
            remarks.append(f"{trial.trial}: {cohort.id}: {criterion.id}: CTML has no key for it: it stands in words")
    if in_words:
        kept = document.get("prior_treatment_requirements")
        document["prior_treatment_requirements"] = [*(kept if isinstance(kept, list) else []), *dict.fromkeys(in_words)]
    return Imported(msgspec.structs.replace(trial, ctml=document), remarks)


def _unsayable(node: Node, *, negated: bool) -> list[Criterion]:
    """The criteria of what CTML cannot say."""
    if _clause_of(node, negated=negated) is None:
        return criteria_of(node)
    if isinstance(node, Criterion):
        return []
    turned = negated != (node.op == "none")
    return [criterion for member in node.members for criterion in _unsayable(member, negated=turned)]


def _key(level: Level) -> tuple[str, str]:
    return level.kind, named(level)[0]


def _skeleton(trial: Trial) -> Object:
    arms: list[Object] = [
        {
            "arm_code": cohort.id,
            "arm_description": cohort.title,
            "arm_internal_id": cohort.id,
            "arm_suspended": "Y" if cohort.status == "closed" else "N",
            "dose_level": [],
        }
        for cohort in trial.cohorts
    ]
    return {
        "protocol_no": trial.trial,
        "nct_id": trial.trial,
        "short_title": trial.title,
        "status": "Open to Accrual" if trial.status == "open" else "Closed to Accrual",
        "treatment_list": {"step": [{"step_code": "1", "step_internal_id": 1, "arm": arms}]},
    }


def _clause_of(node: Node, *, negated: bool) -> Object | None:
    """A node as a clause; None: nothing of it can be said in CTML."""
    if isinstance(node, Criterion):
        return _as_it_came(node, negated=negated) or _leaf_of(node, negated=negated)
    if node.op == "at_least":
        raise CriteriaError(f"`at_least: {{n: {node.n}}}` cannot be said in CTML: write out the combinations")
    turned = negated != (node.op == "none")
    together = (node.op == "all") != negated if node.op != "none" else not negated
    clauses = [_clause_of(member, negated=turned) for member in node.members]
    # one of several of which one cannot be said would ask for more than the trial does
    parts = [clause for clause in clauses if clause] if together or all(clauses) else []
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"and" if together else "or": parts}


def _as_it_came(criterion: Criterion, *, negated: bool) -> Object | None:
    """The object of CTML that a criterion was read from, if it still asks the same."""
    try:
        value = json.loads("{" + re.sub(r"(^|, )(\w+): ", r'\1"\2": ', criterion.wording) + "}")
    except ValueError:
        return None
    for kind in ("clinical", "genomic") if value else ():
        try:
            asked = genomic(value) if kind == "genomic" else clinical(*next(iter(value.items())))
        except (NoQuestionError, ValueError):
            continue
        if asked == (criterion.test, negated):
            return {kind: value}
    if not criterion.text:
        return None
    return {"genomic" if {"hugo_symbol", "variant_category"} & value.keys() else "clinical": value}


def _leaf_of(criterion: Criterion, *, negated: bool = False) -> Object | None:
    if not criterion.gating or criterion.within_days is not None or criterion.missing != "unknown":
        return None
    test = criterion.test
    mark = "!" if negated else ""
    match test:
        case Age():
            said = comparison(_bounds(test))
            return {"clinical": {"age_numerical": mark + said}} if said else _both_bounds(test, "age_numerical", mark)
        case Diagnosis(codes=(code,), histology=()) if code.startswith(oncotree.SYSTEM):
            return {"clinical": {"oncotree_primary_diagnosis": mark + code.partition("|")[2]}}
        case "female" | "male":
            return {"clinical": {"gender": mark + test.capitalize()}}
        case Biomarker():
            return _biomarker_of(test, mark)
    return None


def _bounds(limits_: Age | Range) -> dict[str, float]:
    values = {name: getattr(limits_, name) for name in ("min", "over", "max", "under")}
    return {name: value for name, value in values.items() if value is not None}


def _both_bounds(limits_: Age | Range, key: str, mark: str) -> Object | None:
    if mark:
        return None
    parts = [comparison({name: value}) for name, value in _bounds(limits_).items()]
    return {"and": [{"clinical": {key: part}} for part in parts]}


def _biomarker_of(test: Biomarker, mark: str) -> Object | None:
    if test.tmb is not None:
        said = comparison(_bounds(test.tmb))
        return {"clinical": {"tmb_numerical": mark + said}} if said else _both_bounds(test.tmb, "tmb_numerical", mark)
    if test.marker is not None:
        key = next((key for key, marker in MARKERS.items() if marker == test.marker), None)
        return (
            {"clinical": {key: f"{mark}{str(test.state).capitalize()}"}}
            if key and test.state in ("positive", "negative")
            else None
        )
    if test.mmr is not None:
        return {"genomic": {"mmr_status": f"{mark}MMR-{test.mmr.capitalize()}"}}
    if test.msi is not None:
        return {"genomic": {"ms_status": mark + {"high": "MSI-H", "stable": "MSS"}[test.msi]}}
    if test.signature is not None:
        return {"genomic": {f"{test.signature}_signature": mark + ("Yes" if test.state == "present" else "No")}}
    return _variant_of(test, mark)


def _variant_of(test: Biomarker, mark: str) -> Object | None:
    if any((test.codons, test.vaf, test.copy_number, test.zygosity, test.origin)):
        return None
    said: Object = {"hugo_symbol": "any_gene" if test.gene == ANY_GENE else test.gene}
    alteration = test.alteration or tuple(get_args(Alteration))
    category = _category(alteration, test)
    if category is None:
        return None
    if test.state == "absent":
        # a negative result, which is more than that there is no positive one
        said["wildtype"] = "true"
    said["variant_category"] = mark + category
    if test.change is not None:
        residue = any_change(test.change)
        said |= {"wildcard_protein_change": f"p.{residue}"} if residue else {"protein_change": f"p.{test.change}"}
    if test.consequence is not None:
        if len(test.consequence) > 1:
            return None
        said["variant_classification"] = _spelling(test.consequence[0])
    if isinstance(test.exons, tuple):
        if len(test.exons) > 1:
            return None
        said["exon"] = str(test.exons[0])
    if isinstance(test.call, tuple):
        if len(test.call) > 1:
            return None
        said["cnv_call"] = next(spelling for spelling, call in CALLS.items() if call == test.call[0]).capitalize()
    if test.partner is not None:
        said["fusion_partner_hugo_symbol"] = {ANY_GENE: "any_gene"}.get(test.partner, test.partner)
    if test.function is not None:
        said["molecular_function"] = test.function.capitalize()
    return {"genomic": said}


def _category(alteration: tuple[str, ...] | str, test: Biomarker) -> str | None:
    names = {"mutation": "Mutation", "copy number variation": "Copy Number Variation"}
    names |= {"structural variation": "Structural Variation", "any variation": "Any Variation"}
    if test.alteration is None and (test.change or test.consequence or test.exons):
        return "Mutation"
    wanted = set(alteration if isinstance(alteration, tuple) else (alteration,))
    return next((spelling for name, spelling in names.items() if set(CATEGORIES[name]) == wanted), None)


def _spelling(consequence: str) -> str:
    spellings = {"missense_variant": "Missense_Mutation", "stop_gained": "Nonsense_Mutation"}
    spellings |= {
        "inframe_deletion": "In_Frame_Del",
        "inframe_insertion": "In_Frame_Ins",
        "splice_site_variant": "Splice_Site",
    }
    spellings |= {
        "frameshift_deletion": "Frame_Shift_Del",
        "frameshift_insertion": "Frame_Shift_Ins",
        "delins": "Del_Ins",
    }
    return spellings.get(consequence, consequence)
