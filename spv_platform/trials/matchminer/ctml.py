"""Trials in CTML, MatchMiner's language, as the platform's criteria.

Each step, arm and dose level that has a `match` becomes a cohort of its own, as MatchMiner matches each by itself. All
keys of one genomic object hold of one record. A `!` in any value turns the whole object around. What the platform has
no question for becomes a question in words, so nothing is dropped; keys of the document that are no criteria are kept
and come back on export.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from spv_platform import strict_yaml
from spv_platform.errors import UsageError
from spv_platform.trials.criteria import MAX_CRITERIA, MAX_DEPTH, CriteriaError
from spv_platform.trials.matchminer.questions import NoQuestionError, Object, clinical, genomic
from spv_platform.trials.matchminer.words import (
    OPEN_STATUS,
)
from spv_platform.trials.model import Cohort, Criterion, Group, Node, Trial
from spv_platform.trials.questions import ANY_GENE, INTERGENIC, Age, Biomarker, Diagnosis
from spv_platform.trials.terms import gene_advice

MAX_BYTES = 4 * 2**20


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


def _load(text: str, file: str) -> Object:
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


def _once(pairs: list[tuple[str, Any]]) -> Object:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise CriteriaError(f"`{twice}` stands twice in one object: keep one, or put each into a clause of its own")
    return found


@dataclass
class Level:
    """A step, an arm or a dose level.

    Attributes:
        kind: which of these.
        node: what the document says of it.
        closed: nobody is taken.
        path: its place in the document.
    """

    kind: str
    node: Object
    closed: bool
    path: tuple[int, ...]


def _items(value: Any) -> list[Object]:
    items = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    return [item for item in items if isinstance(item, dict)]


def levels_of(document: Object) -> Iterator[Level]:
    """Steps, arms and dose levels. A step is closed when all its arms are; a dose level goes by its own suspension."""
    for at, step in enumerate(_items(document["treatment_list"].get("step"))):
        arms = _items(step.get("arm"))
        yield Level("step", step, bool(arms) and all(_is(arm, "arm_suspended") for arm in arms), (at,))
        for number, arm in enumerate(arms):
            yield Level("arm", arm, _is(arm, "arm_suspended"), (at, number))
            for place, level in enumerate(_items(arm.get("dose_level"))):
                yield Level("dose", level, _is(level, "level_suspended"), (at, number, place))


def _is(node: Object, name: str) -> bool:
    return str(node.get(name, "N")).strip().upper() in ("Y", "YES", "TRUE")


def named(level: Level) -> tuple[str, str, str]:
    """The level's id, its code and its description."""
    prefix = "level" if level.kind == "dose" else level.kind
    code = str(level.node.get(f"{prefix}_code", "") or "")
    number = level.node.get(f"{prefix}_internal_id")
    description = str(level.node.get(f"{prefix}_description", "") or level.node.get("step_type", "") or "")
    return str(number if number is not None else code), code, description


class _Import:
    """The import of one document."""

    def __init__(self, document: Object, file: str, name: str) -> None:
        self._document, self._name = document, name
        self._where = f"{file}: {name}"
        self._remarks: list[str] = []
        self._count = 0

    def run(self) -> Imported:
        cohorts: list[Cohort] = []
        names: set[str] = set()
        for level in levels_of(self._document):
            clauses = level.node.get("match")
            if not clauses:
                continue
            level_id, code, description = named(level)
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

    def _leaf(self, kind: str, value: Object, where: str, name: str) -> Node:
        # each key of a clinical object is a question of its own; those of a genomic one hold of one record
        parts = [value] if kind == "genomic" else [{key: stated} for key, stated in value.items()]
        nodes = [self._question(kind, part, where, name) for part in parts]
        return nodes[0] if len(nodes) == 1 else Group(op="all", members=tuple(nodes))

    def _question(self, kind: str, value: Object, where: str, name: str) -> Node:
        try:
            test, negated = genomic(value) if kind == "genomic" else clinical(*next(iter(value.items())))
        except (NoQuestionError, ValueError) as error:
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
                asked: Object = {"age": test}
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


def _wording(value: Object) -> str:
    """An object of CTML on one line, which `exporting` reads back."""
    return ", ".join(f"{key}: {json.dumps(stated, ensure_ascii=False)}" for key, stated in sorted(value.items()))


def _without_matches(document: Object) -> Object:
    plain = copy.deepcopy(document)
    for level in levels_of(plain):
        level.node.pop("match", None)
    return plain
