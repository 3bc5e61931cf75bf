"""Reading criteria: YAML text to a `Trial`, and a `Trial` to and from its JSON document.

The document has the form of the file, so there is one grammar and one set of checks. A criteria file holds nothing of
a patient, so errors may quote it; each says `file: trial: cohort: criterion: what and what to do`.
"""

import re
from typing import Any, get_args

import msgspec

from spv_platform import strict_yaml
from spv_platform.errors import UsageError
from spv_platform.trials.model import Cohort, Criterion, Group, Level, Node, Op, Trial, criteria_of, gating_tree
from spv_platform.trials.questions import Site

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16  # groups in groups
MAX_CRITERIA = 1000
_OPS: tuple[Op, ...] = ("all", "any", "none", "at_least")
_TRIAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,39}")


class CriteriaError(UsageError):
    """A criteria file says something that is not in the language."""


def parse_trial(text: str, file: str) -> Trial:
    """Parse the criteria of one trial.

    Args:
        text: the YAML, at most `MAX_BYTES`.
        file: its name, for error messages.

    Raises:
        CriteriaError: not YAML, an unknown key, an id twice, or anything else that is not in the language.
    """
    return _trial(_load(text, file), file)


def to_document(trial: Trial) -> dict[str, Any]:
    """The trial as plain JSON values, in the form of a criteria file."""
    document: dict[str, Any] = msgspec.to_builtins(trial)
    for plain, cohort in zip(document["cohorts"], trial.cohorts, strict=True):
        plain["criteria"] = _node_document(cohort.criteria)
    # one pass over JSON makes tuples lists: what comes out is what a document store gives back
    result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return result


def from_document(document: Any, name: str = "document") -> Trial:
    """The trial of a document that `to_document` made.

    Raises:
        CriteriaError: it is not such a document.
    """
    return _trial(document, name)


def _node_document(node: Node) -> dict[str, Any]:
    if isinstance(node, Group):
        members = [_node_document(member) for member in node.members]
        return {node.op: {"n": node.n, "of": members} if node.op == "at_least" else members}
    document: dict[str, Any] = msgspec.to_builtins(node)
    return document


def _load(text: str, file: str) -> Any:
    try:
        return strict_yaml.load(text, file, max_bytes=MAX_BYTES)
    except UsageError as error:
        raise CriteriaError(str(error)) from None


def _trial(raw: Any, file: str) -> Trial:
    raw = _mapping(raw, file, ("trial", "title", "version", "status", "sites", "cohorts", "ctml"))
    identifier = raw.get("trial")
    if not isinstance(identifier, str) or not _TRIAL_ID.fullmatch(identifier):
        raise CriteriaError(f"{file}: `trial` is not a registry id: write it as `trial: NCT01234567`")
    where = f"{file}: {identifier}"
    cohorts = raw.get("cohorts")
    if not isinstance(cohorts, list) or not cohorts:
        raise CriteriaError(f"{where}: no cohorts: add `cohorts:` with at least one cohort")
    title, version = raw.get("title", ""), raw.get("version", 1)
    if not isinstance(title, str):
        raise CriteriaError(f"{where}: `title` is not text: put it in quotes")
    if type(version) is not int or version < 1:
        raise CriteriaError(f"{where}: `version` is not a whole number from 1")
    status, ctml = raw.get("status", "open"), raw.get("ctml")
    if status not in ("open", "closed"):
        raise CriteriaError(f"{where}: `status` is neither open nor closed")
    if ctml is not None and not isinstance(ctml, dict):
        raise CriteriaError(f"{where}: `ctml` is no document: leave it out, it is written when CTML is read")
    sites = _sites(raw.get("sites", []), where)
    parsed = tuple(_cohort(cohort, where, at) for at, cohort in enumerate(cohorts, start=1))
    _check_unique([cohort.id for cohort in parsed], where, "cohort")
    criteria = [(cohort.id, criterion.id) for cohort in parsed for criterion in criteria_of(cohort.criteria)]
    if len(criteria) > MAX_CRITERIA:
        cohort, name = criteria[MAX_CRITERIA]
        raise CriteriaError(
            f"{where}: cohort {cohort}: criterion {name}: the trial has more than {MAX_CRITERIA} criteria: divide it"
        )
    _check_unique([name for _, name in criteria], where, "criterion")
    return Trial(trial=identifier, title=title, version=version, status=status, sites=sites, cohorts=parsed, ctml=ctml)


def _sites(raw: Any, where: str) -> tuple[Site, ...]:
    if not isinstance(raw, list):
        raise CriteriaError(
            f"{where}: `sites` is not a list: write one `- {{name: …, postal_code: …, country: …}}` a site"
        )
    found = []
    for at, each in enumerate(raw, start=1):
        try:
            site = msgspec.convert(each, Site)
            if site.latitude is None and not (site.postal_code and site.country):
                raise msgspec.ValidationError("needs `latitude` and `longitude`, or `postal_code` and `country`")
            found.append(site)
        except msgspec.ValidationError as error:
            raise CriteriaError(f"{where}: site {at}: {error}: correct it; postal codes stand in quotes") from None
    return tuple(found)


def _cohort(raw: Any, where: str, at: int) -> Cohort:
    name = raw.get("id") if isinstance(raw, dict) else None
    where = f"{where}: cohort {name or at}"
    raw = _mapping(raw, where, ("id", "title", "status", "level", "level_id", "criteria"))
    if not isinstance(name, str) or not name.strip():
        raise CriteriaError(f"{where}: `id` is missing or not text: give the cohort an id, in quotes if it is a number")
    if "criteria" not in raw:
        raise CriteriaError(f"{where}: no criteria: add `criteria:` with `all:`, `any:` or `none:`")
    tree = _node(raw["criteria"], where, "criteria", 1)
    if isinstance(tree, Criterion):
        tree = Group(op="all", members=(tree,))
    if short := _too_few(tree):
        raise CriteriaError(
            f"{where}: `at_least: {short.n}` of fewer criteria that decide: {short.n} have to be gating"
        )
    if gating_tree(tree) is None:
        raise CriteriaError(f"{where}: no gating criterion: without one nothing can decide; add one")
    title, status = raw.get("title", ""), raw.get("status", "open")
    if not isinstance(title, str):
        raise CriteriaError(f"{where}: `title` is not text: put it in quotes")
    if status not in ("open", "closed"):
        raise CriteriaError(f"{where}: `status` is neither open nor closed")
    level, level_id = raw.get("level", "arm"), raw.get("level_id", "")
    if level not in get_args(Level) or not isinstance(level_id, str):
        raise CriteriaError(f"{where}: `level` is none of {', '.join(get_args(Level))}, or `level_id` is not text")
    return Cohort(id=name, title=title, status=status, level=level, level_id=level_id, criteria=tree)


def _node(raw: Any, where: str, path: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise CriteriaError(f"{where}: {path}: nested deeper than {MAX_DEPTH} levels: flatten the criteria")
    if not isinstance(raw, dict):
        raise CriteriaError(f"{where}: {path}: not a criterion and not `all:`, `any:`, `none:` or `at_least:`")
    ops = [op for op in _OPS if op in raw]
    if not ops:
        return _criterion(raw, where, path)
    if len(raw) != 1:
        raise CriteriaError(f"{where}: {path}: `{ops[0]}:` stands beside other keys: put each into an item of its own")
    op, members, n = ops[0], raw[ops[0]], 1
    if op == "at_least":
        members, n = _at_least(members, where, path)
    if not isinstance(members, list) or not members:
        raise CriteriaError(f"{where}: {path}.{op}: needs a list of at least one criterion")
    nodes = (_node(member, where, f"{path}.{op}[{at}]", depth + 1) for at, member in enumerate(members, start=1))
    return Group(op=op, members=tuple(nodes), n=n)


def _too_few(node: Node) -> Group | None:
    """A group `at_least` that wants more than the gating criteria in it."""
    if isinstance(node, Criterion):
        return None
    if node.op == "at_least" and node.n > sum(gating_tree(member) is not None for member in node.members):
        return node
    return next((found for member in node.members if (found := _too_few(member))), None)


def _at_least(raw: Any, where: str, path: str) -> tuple[Any, int]:
    raw = _mapping(raw, f"{where}: {path}.at_least", ("n", "of"))
    n, members = raw.get("n"), raw.get("of")
    if type(n) is not int or n < 1 or (isinstance(members, list) and n > len(members)):
        raise CriteriaError(f"{where}: {path}.at_least: `n` is a whole number from 1 to the number of criteria in `of`")
    return members, n


def _criterion(raw: dict[str, Any], where: str, path: str) -> Criterion:
    name = raw.get("id")
    where = f"{where}: criterion {name if isinstance(name, str) and name else path}"
    if "id" not in raw:
        raise CriteriaError(f"{where}: no `id`: give it one that is unique in the trial")
    raw = dict(raw)
    for key, value in raw.items():
        if not isinstance(value, dict) or "within_days" not in value:
            continue
        if "within_days" in raw:
            raise CriteriaError(f"{where}: `within_days` stands twice: keep one")
        raw |= {key: {k: v for k, v in value.items() if k != "within_days"}, "within_days": value["within_days"]}
        break
    try:
        return msgspec.convert(raw, Criterion)
    except msgspec.ValidationError as error:
        raise CriteriaError(f"{where}: {error}: correct it, see docs/adding-a-trial.md") from None


def _mapping(raw: Any, where: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise CriteriaError(f"{where}: not a mapping: it needs the keys {', '.join(allowed)}")
    unknown = sorted(str(key) for key in raw if key not in allowed)
    if unknown:
        raise CriteriaError(f"{where}: unknown key `{unknown[0]}`: allowed are {', '.join(allowed)}")
    return raw


def _check_unique(names: list[str], where: str, what: str) -> None:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise CriteriaError(f"{where}: {what} {repeated}: the id stands twice: give each {what} its own")
