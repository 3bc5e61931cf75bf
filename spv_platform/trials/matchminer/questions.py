"""Objects of CTML as questions: one for each key of a clinical object, one for a genomic object as a whole."""

import json
from typing import Any

from spv_platform.trials import oncotree
from spv_platform.trials.matchminer.words import (
    CALLS,
    CATEGORIES,
    FUNCTIONS,
    MARKERS,
    POLARITY,
    REPAIR,
    SIGNATURES,
    YES_NO,
    limits,
)
from spv_platform.trials.notation import any_change, consequence_name, protein_change
from spv_platform.trials.questions import ANY_GENE, INTERGENIC, Age, Biomarker, Diagnosis, Range

Object = dict[str, Any]
SEXES = ("female", "male")
_NO_GENE = ("", "none")
#: Keys of a genomic object that say the same as others.
_REDUNDANT = ("display_name",)


class NoQuestionError(Exception):
    """The language has no question for this."""


def plain(value: Any) -> tuple[str, bool]:
    """A value as text, without the `!`, and whether it had one.

    Raises:
        NoQuestionError: it is a list or an object.
    """
    if isinstance(value, list | dict):
        raise NoQuestionError(f"`{json.dumps(value, ensure_ascii=False)}` is not one value")
    text = str(value).strip()
    return (text[1:].strip(), True) if text.startswith("!") else (text, False)


def clinical(key: str, stated: Any) -> tuple[Any, bool]:
    """The question of one key of a clinical object."""
    if isinstance(stated, list | dict):
        raise NoQuestionError(f"clinical `{key}: {stated}` is no question of the language")
    text, negated = plain(stated)
    folded = text.lower()
    if key == "age_numerical" and (bounds := limits(text)):
        return Age(**bounds), negated
    if key in ("tmb_numerical", "tmb") and (bounds := limits(text)):
        return Biomarker(tmb=Range(**bounds)), negated
    if key == "oncotree_primary_diagnosis":
        if not oncotree.nodes(text):
            better = oncotree.close_to(text)
            raise NoQuestionError(f"`{text}` is not in OncoTree" + (f", did you mean {better}?" if better else ""))
        return Diagnosis(codes=(f"oncotree|{text}",)), negated
    if key == "gender" and folded in SEXES:
        return folded, negated
    if key in MARKERS and folded in POLARITY:
        return Biomarker(marker=MARKERS[key], state=POLARITY[folded]), negated  # type: ignore[arg-type]
    if key in ("mmr_status", "ms_status"):
        return _repair(key, text), negated
    raise NoQuestionError(f"clinical `{key}: {stated}` is no question of the language")


def _repair(key: str, text: str) -> Biomarker:
    mmr, msi = REPAIR.get(text.lower(), (None, None))
    if key == "mmr_status" and mmr:
        return Biomarker(mmr=mmr)  # type: ignore[arg-type]
    if msi:
        return Biomarker(msi=msi)  # type: ignore[arg-type]
    raise NoQuestionError(f"`{key}: {text}` is no state that is known")


def genomic(value: Object) -> tuple[Biomarker, bool]:
    """The one question of a genomic object."""
    read = {key: plain(stated) for key, stated in value.items() if key not in _REDUNDANT}
    negated = any(turned for _, turned in read.values())
    said = {key: text for key, (text, _) in read.items()}
    gene = said.pop("hugo_symbol", "")
    subject = next((key for key in said if key.endswith("_signature") or key in ("mmr_status", "ms_status")), None)
    if subject is not None:
        return _state_of_genome(subject, said.pop(subject), said), negated
    asked: Object = {}
    for key, text in said.items():
        asked |= _narrowing(key, text)
    has_gene = gene.lower() not in (*_NO_GENE, "any_gene")
    asked["gene"] = gene if has_gene else ANY_GENE
    try:
        return Biomarker(**asked), negated
    except ValueError as error:
        raise NoQuestionError(str(error)) from None


def _state_of_genome(key: str, text: str, rest: dict[str, str]) -> Biomarker:
    if any(name != "variant_category" for name in rest):
        raise NoQuestionError(f"`{key}` stands beside {', '.join(rest)}")
    if not key.endswith("_signature"):
        return _repair(key, text)
    name, state = key.removesuffix("_signature"), YES_NO.get(text.lower())
    if name not in SIGNATURES or state is None:
        raise NoQuestionError(f"`{key}: {text}` is no signature that is known")
    return Biomarker(signature=name, state=state)  # type: ignore[arg-type]


def _narrowing(key: str, text: str) -> Object:
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
    raise NoQuestionError(f"genomic `{key}: {text}` is no value that is known{hint}")


def _close(text: str, known: dict[str, Any]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(text.lower(), known, n=1, cutoff=0.8)), None)
