"""Trials in CTML, MatchMiner's language, to the platform's criteria and back.

Each step, arm and dose level that has a `match` becomes a cohort of its own, as MatchMiner matches each by itself. All
keys of one genomic object hold of one record. A `!` in any value turns the whole object around. What the platform has
no question for becomes a question in words, so nothing is dropped; keys of the document that are no criteria are kept
and come back on export.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec

from spv_platform import strict_yaml
from spv_platform.errors import UsageError
from spv_platform.trials import oncotree
from spv_platform.trials.criteria import MAX_CRITERIA, MAX_DEPTH, CriteriaError
from spv_platform.trials.describe import describe
from spv_platform.trials.matchminer.words import (
    CALLS,
    CATEGORIES,
    FUNCTIONS,
    MARKERS,
    OPEN_STATUS,
    POLARITY,
    REPAIR,
    SIGNATURES,
    YES_NO,
    comparison,
    limits,
)
from spv_platform.trials.model import (
    ANY_GENE,
    INTERGENIC,
    Age,
    Alteration,
    Biomarker,
    Cohort,
    Criterion,
    Diagnosis,
    Group,
    Node,
    Range,
    Trial,
    criteria_of,
)
from spv_platform.trials.notation import any_change, consequence_name, protein_change
from spv_platform.trials.terms import gene_advice

MAX_BYTES = 4 * 2**20
_LEVELS = ("step", "arm", "dose")
_NO_GENE = ("", "none")
#: Keys of a genomic object that say the same as others.
_REDUNDANT = ("display_name",)

_Object = dict[str, Any]


@dataclass
class Imported:
    """A trial, and what could not be put into a question.

    Attributes:
        trial: the criteria.
        remarks: one line each, `file: trial: cohort: what`.
    """

    trial: Trial
    remarks: list[str] = field(default_factory=list)


def parse_ctml(text: str, file: str) -> Imported:
    """Read one trial.

    Args:
        text: JSON or YAML, at most `MAX_BYTES`.
        file: its name, for messages.

    Raises:
        CriteriaError: not CTML, no level with a `match`, or a match that is no tree of `and`, `or`, `clinical` and
            `genomic`.
    """
    document = _load(text, file)
    name = document.get("protocol_no") or document.get("nct_id")
    if not isinstance(name, str) or not name:
        raise CriteriaError(f"{file}: neither `protocol_no` nor `nct_id`: a trial in CTML needs one")
    return _Import(document, file, name).run()


def _load(text: str, file: str) -> _Object:
    if len(text) > MAX_BYTES:
        raise CriteriaError(f"{file}: larger than {MAX_BYTES} bytes: one trial a file")
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except CriteriaError as error:
        raise CriteriaError(f"{file}: {error}") from None
    except (ValueError, RecursionError):
        try:
            document = strict_yaml.load(text, file, max_bytes=MAX_BYTES)
        except UsageError as error:
            raise CriteriaError(f"{error}; and it is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("treatment_list"), dict):
        raise CriteriaError(f"{file}: no `treatment_list`: this is no trial in CTML")
    return document


def _once(pairs: list[tuple[str, Any]]) -> _Object:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise CriteriaError(f"`{twice}` stands twice in one object: keep one, or put each into a clause of its own")
    return found


@dataclass
class _Level:
    kind: str
    node: _Object
    closed: bool
    path: tuple[int, ...]


def _items(value: Any) -> list[_Object]:
    items = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    return [item for item in items if isinstance(item, dict)]


def _levels(document: _Object) -> Iterator[_Level]:
    """Steps, arms and dose levels. A step is closed when all its arms are; a dose level goes by its own suspension."""
    for at, step in enumerate(_items(document["treatment_list"].get("step"))):
        arms = _items(step.get("arm"))
        yield _Level("step", step, bool(arms) and all(_is(arm, "arm_suspended") for arm in arms), (at,))
        for number, arm in enumerate(arms):
            yield _Level("arm", arm, _is(arm, "arm_suspended"), (at, number))
            for place, level in enumerate(_items(arm.get("dose_level"))):
                yield _Level("dose", level, _is(level, "level_suspended"), (at, number, place))


def _is(node: _Object, name: str) -> bool:
    return str(node.get(name, "N")).strip().upper() in ("Y", "YES", "TRUE")


def _named(level: _Level) -> tuple[str, str, str]:
    """The level's id, its code and its description."""
    prefix = "level" if level.kind == "dose" else level.kind
    code = str(level.node.get(f"{prefix}_code", "") or "")
    number = level.node.get(f"{prefix}_internal_id")
    description = str(level.node.get(f"{prefix}_description", "") or level.node.get("step_type", "") or "")
    return str(number if number is not None else code), code, description


class _Import:
    """The import of one document."""

    def __init__(self, document: _Object, file: str, name: str) -> None:
        self._document, self._name = document, name
        self._where = f"{file}: {name}"
        self._remarks: list[str] = []
        self._count = 0

    def run(self) -> Imported:
        cohorts: list[Cohort] = []
        names: set[str] = set()
        for level in _levels(self._document):
            clauses = level.node.get("match")
            if not clauses:
                continue
            level_id, code, description = _named(level)
            base = name = f"{level.kind} {level_id or '.'.join(str(part + 1) for part in level.path)}"
            while name in names:
                name = f"{base} ({'.'.join(str(part + 1) for part in level.path)})"
                base += "'"
            names.add(name)
            where = f"{self._where}: {name}"
            self._count = 0
            tree = self._clauses(clauses, "or", where, name, 1)
            if isinstance(tree, Criterion):
                tree = Group(op="all", members=(tree,))
            cohorts.append(
                Cohort(
                    id=name,
                    title=": ".join(part for part in (code, description) if part),
                    status="closed" if level.closed else "open",
                    level=level.kind,  # type: ignore[arg-type]
                    level_id=level_id,
                    criteria=tree,
                )
            )
        if not cohorts:
            raise CriteriaError(f"{self._where}: no step, arm or dose level has a `match`: there is nothing to match")
        trial = Trial(
            trial=self._name,
            title=str(self._document.get("short_title") or self._document.get("long_title") or ""),
            status="open" if self._status().lower() == OPEN_STATUS else "closed",
            cohorts=tuple(cohorts),
            ctml=_without_matches(self._document),
        )
        return Imported(trial, self._remarks)

    def _status(self) -> str:
        status = self._document.get("status")
        if isinstance(status, str):
            return status.strip()
        summary = self._document.get("_summary")
        stated = _items(summary.get("status")) if isinstance(summary, dict) else []
        return str(stated[0].get("value", "")) if stated else ""

    def _clauses(self, clauses: Any, op: str, where: str, name: str, depth: int) -> Node:
        if not isinstance(clauses, list) or not clauses:
            raise CriteriaError(f"{where}: `{op}` needs a list of at least one clause")
        members = tuple(self._clause(clause, where, name, depth + 1) for clause in clauses)
        return members[0] if len(members) == 1 else Group(op="all" if op == "and" else "any", members=members)

    def _clause(self, clause: Any, where: str, name: str, depth: int) -> Node:
        if depth > 4 * MAX_DEPTH:
            raise CriteriaError(f"{where}: clauses are nested deeper than {4 * MAX_DEPTH} levels: flatten them")
        if not isinstance(clause, dict) or not clause:
            raise CriteriaError(f"{where}: a clause is not an object with `and`, `or`, `clinical` or `genomic`")
        parts: list[Node] = []
        for key, value in clause.items():
            if key in ("and", "or"):
                parts.append(self._clauses(value, key, where, name, depth))
            elif key in ("clinical", "genomic"):
                if not isinstance(value, dict) or not value:
                    raise CriteriaError(f"{where}: `{key}` is empty or no object: name what is asked for")
                parts.append(self._leaf(key, value, where, name))
            else:
                raise CriteriaError(f"{where}: unknown key `{key}`: a clause has `and`, `or`, `clinical`, `genomic`")
        return parts[0] if len(parts) == 1 else Group(op="all", members=tuple(parts))

    def _leaf(self, kind: str, value: _Object, where: str, name: str) -> Node:
        # each key of a clinical object is a question of its own; those of a genomic one hold of one record
        parts = [value] if kind == "genomic" else [{key: stated} for key, stated in value.items()]
        nodes = [self._question(kind, part, where, name) for part in parts]
        return nodes[0] if len(nodes) == 1 else Group(op="all", members=tuple(nodes))

    def _question(self, kind: str, value: _Object, where: str, name: str) -> Node:
        try:
            test, negated = _genomic(value) if kind == "genomic" else _clinical(*next(iter(value.items())))
        except (_NoQuestionError, ValueError) as error:
            self._remarks.append(f"{where}: {error}: it is asked of a person, in words")
            test, negated = "text", False
        for gene in (test.gene, test.partner) if isinstance(test, Biomarker) else ():
            if gene and gene not in (ANY_GENE, INTERGENIC) and (advice := gene_advice(gene)):
                self._remarks.append(f"{where}: {advice}")
        return self._criterion(test, _wording(value), where, name, negated=negated)

    def _criterion(self, test: Any, wording: str, where: str, name: str, *, negated: bool) -> Node:
        self._count += 1
        if self._count > MAX_CRITERIA:
            raise CriteriaError(f"{where}: more than {MAX_CRITERIA} criteria: divide the arm")
        match test:
            case Age():
                asked: _Object = {"age": test}
            case Diagnosis():
                asked = {"diagnosis": test}
            case Biomarker():
                asked = {"biomarker": test}
            case "text":
                asked = {"text": True}
            case _:
                asked = {"sex": test}
        criterion = Criterion(id=f"{name}/{self._count}", wording=wording, **asked)
        return Group(op="none", members=(criterion,)) if negated else criterion


def _wording(value: _Object) -> str:
    """An object of CTML on one line, which can be read back (`_raw`)."""
    return ", ".join(f"{key}: {json.dumps(stated, ensure_ascii=False)}" for key, stated in sorted(value.items()))


_SEXES = ("female", "male")


class _NoQuestionError(Exception):
    """The language has no question for this."""


def _plain(value: Any) -> tuple[str, bool]:
    """A value as text, without the `!`, and whether it had one.

    Raises:
        _NoQuestionError: it is a list or an object.
    """
    if isinstance(value, list | dict):
        raise _NoQuestionError(f"`{json.dumps(value, ensure_ascii=False)}` is not one value")
    text = str(value).strip()
    return (text[1:].strip(), True) if text.startswith("!") else (text, False)


def _clinical(key: str, stated: Any) -> tuple[Any, bool]:
    """The question of one key of a clinical object."""
    if isinstance(stated, list | dict):
        raise _NoQuestionError(f"clinical `{key}: {stated}` is no question of the language")
    text, negated = _plain(stated)
    folded = text.lower()
    if key == "age_numerical" and (bounds := limits(text)):
        return Age(**bounds), negated
    if key in ("tmb_numerical", "tmb") and (bounds := limits(text)):
        return Biomarker(tmb=Range(**bounds)), negated
    if key == "oncotree_primary_diagnosis":
        if not oncotree.nodes(text):
            better = oncotree.close_to(text)
            raise _NoQuestionError(f"`{text}` is not in OncoTree" + (f", did you mean {better}?" if better else ""))
        return Diagnosis(codes=(f"oncotree|{text}",)), negated
    if key == "gender" and folded in _SEXES:
        return folded, negated
    if key in MARKERS and folded in POLARITY:
        return Biomarker(marker=MARKERS[key], state=POLARITY[folded]), negated  # type: ignore[arg-type]
    if key in ("mmr_status", "ms_status"):
        return _repair(key, text), negated
    raise _NoQuestionError(f"clinical `{key}: {stated}` is no question of the language")


def _repair(key: str, text: str) -> Biomarker:
    mmr, msi = REPAIR.get(text.lower(), (None, None))
    if key == "mmr_status" and mmr:
        return Biomarker(mmr=mmr)  # type: ignore[arg-type]
    if msi:
        return Biomarker(msi=msi)  # type: ignore[arg-type]
    raise _NoQuestionError(f"`{key}: {text}` is no state that is known")


def _genomic(value: _Object) -> tuple[Biomarker, bool]:
    """The one question of a genomic object."""
    read = {key: _plain(stated) for key, stated in value.items() if key not in _REDUNDANT}
    negated = any(turned for _, turned in read.values())
    said = {key: text for key, (text, _) in read.items()}
    gene = said.pop("hugo_symbol", "")
    subject = next((key for key in said if key.endswith("_signature") or key in ("mmr_status", "ms_status")), None)
    if subject is not None:
        return _state_of_genome(subject, said.pop(subject), said), negated
    asked: _Object = {}
    for key, text in said.items():
        asked |= _narrowing(key, text)
    has_gene = gene.lower() not in (*_NO_GENE, "any_gene")
    asked["gene"] = gene if has_gene else ANY_GENE
    try:
        return Biomarker(**asked), negated
    except ValueError as error:
        raise _NoQuestionError(str(error)) from None


def _state_of_genome(key: str, text: str, rest: dict[str, str]) -> Biomarker:
    if any(name != "variant_category" for name in rest):
        raise _NoQuestionError(f"`{key}` stands beside {', '.join(rest)}")
    if not key.endswith("_signature"):
        return _repair(key, text)
    name, state = key.removesuffix("_signature"), YES_NO.get(text.lower())
    if name not in SIGNATURES or state is None:
        raise _NoQuestionError(f"`{key}: {text}` is no signature that is known")
    return Biomarker(signature=name, state=state)  # type: ignore[arg-type]


def _narrowing(key: str, text: str) -> _Object:
    folded = text.lower()
    if key == "variant_category" and folded in CATEGORIES:
        return {"alteration": CATEGORIES[folded]}
    if key == "variant_classification" and (consequence := consequence_name(text)):
        return {"consequence": (consequence,)}
    if key == "protein_change" and protein_change(text):
        return {"change": text}
    if key == "wildcard_protein_change":
        if residue := any_change(text):
            return {"change": f"{residue} any"}
        if protein_change(text):
            return {"change": text}
    if key == "exon" and text.isascii() and text.isdigit():
        return {"exons": (int(text),)}
    if key == "cnv_call" and folded in CALLS:
        return {"call": (CALLS[folded],)}
    if key == "fusion_partner_hugo_symbol":
        partner = {"any_gene": ANY_GENE, "intergenic": INTERGENIC}.get(folded, text)
        return {"partner": partner}
    if key == "molecular_function" and folded in FUNCTIONS:
        return {"function": FUNCTIONS[folded]}
    if key == "wildtype":
        return {"state": "absent" if folded == "true" else "present"}
    better = _close(text, CALLS) if key == "cnv_call" else None
    hint = f", did you mean `{better}`?" if better else ""
    raise _NoQuestionError(f"genomic `{key}: {text}` is no value that is known{hint}")


def _close(text: str, known: dict[str, Any]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(text.lower(), known, n=1, cutoff=0.8)), None)


def _without_matches(document: _Object) -> _Object:
    plain = copy.deepcopy(document)
    for level in _levels(plain):
        level.node.pop("match", None)
    return plain


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
    levels: dict[tuple[str, str], list[_Level]] = {}
    for level in _levels(document):
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


def _key(level: _Level) -> tuple[str, str]:
    return level.kind, _named(level)[0]


def _skeleton(trial: Trial) -> _Object:
    arms: list[_Object] = [
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


def _clause_of(node: Node, *, negated: bool) -> _Object | None:
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


def _as_it_came(criterion: Criterion, *, negated: bool) -> _Object | None:
    """The object of CTML that a criterion was read from, if it still asks the same."""
    try:
        value = json.loads("{" + re.sub(r"(^|, )(\w+): ", r'\1"\2": ', criterion.wording) + "}")
    except ValueError:
        return None
    for kind in ("clinical", "genomic") if value else ():
        try:
            asked = _genomic(value) if kind == "genomic" else _clinical(*next(iter(value.items())))
        except (_NoQuestionError, ValueError):
            continue
        if asked == (criterion.test, negated):
            return {kind: value}
    if not criterion.text:
        return None
    return {"genomic" if {"hugo_symbol", "variant_category"} & value.keys() else "clinical": value}


def _leaf_of(criterion: Criterion, *, negated: bool = False) -> _Object | None:
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


def _both_bounds(limits_: Age | Range, key: str, mark: str) -> _Object | None:
    if mark:
        return None
    parts = [comparison({name: value}) for name, value in _bounds(limits_).items()]
    return {"and": [{"clinical": {key: part}} for part in parts]}


def _biomarker_of(test: Biomarker, mark: str) -> _Object | None:
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


def _variant_of(test: Biomarker, mark: str) -> _Object | None:
    if any((test.codons, test.vaf, test.copy_number, test.zygosity, test.origin)):
        return None
    said: _Object = {"hugo_symbol": "any_gene" if test.gene == ANY_GENE else test.gene}
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
