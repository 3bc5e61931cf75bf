"""The words of CTML and of MatchMiner's records, and what they mean in the platform's criteria and facts."""

import re

#: `variant_category` of CTML -> alterations.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "mutation": ("mutation",),
    "copy number variation": ("copy_number_gain", "copy_number_loss"),
    "cnv": ("copy_number_gain", "copy_number_loss"),
    "structural variation": ("fusion",),
    "sv": ("fusion",),
    # a mutation or a change in copy number, not a structural variant
    "any variation": ("mutation", "copy_number_gain", "copy_number_loss"),
}
#: `cnv_call`, as trials and records spell it -> call.
CALLS: dict[str, str] = {
    "high level amplification": "amplification",
    "high amplification": "amplification",
    "low amplification": "gain",
    "gain": "gain",
    "heterozygous deletion": "heterozygous_loss",
    "homozygous deletion": "homozygous_loss",
}
GAINS = ("amplification", "gain")
#: `mmr_status` and `ms_status`, as trials and records spell them -> (deficient?, high?); a record states both.
REPAIR: dict[str, tuple[str | None, str | None]] = {
    "mmr-deficient": ("deficient", None),
    "mmr-proficient": ("proficient", None),
    "msi-h": (None, "high"),
    "mss": (None, "stable"),
    "deficient (mmr-d / msi-h)": ("deficient", "high"),
    "proficient (mmr-p / mss)": ("proficient", "stable"),
}
MARKERS = {"er_status": "ER", "pr_status": "PR", "her2_status": "HER2"}
#: Spellings of a positive and of a negative status.
POLARITY = {"true": "positive", "positive": "positive", "false": "negative", "negative": "negative"}
FUNCTIONS = {"activating": "activating", "inactivating": "inactivating"}
SIGNATURES = ("apobec", "pole", "temozolomide", "tobacco", "uva")
YES_NO = {"yes": "present", "no": "absent"}
OPEN_STATUS = "open to accrual"

_LIMIT = re.compile(r"\s*(>=|<=|==|=|>|<)\s*(\d+(?:\.\d+)?)\s*")
_BOUNDS = {">=": ("min",), ">": ("over",), "<=": ("max",), "<": ("under",), "==": ("min", "max"), "=": ("min", "max")}


def limits(text: str) -> dict[str, float] | None:
    """A comparison such as `>=18` as bounds of a criterion; None: it is none."""
    found = _LIMIT.fullmatch(text)
    return dict.fromkeys(_BOUNDS[found[1]], float(found[2])) if found else None


def comparison(bounds: dict[str, float]) -> str | None:
    """The bounds of a criterion as one comparison; None: CTML needs two for it."""
    given = tuple(bounds)
    sign = next((sign for sign, names in _BOUNDS.items() if names == given), None)
    if sign is None or len(set(bounds.values())) > 1:
        return None
    return f"{sign}{next(iter(bounds.values())):g}"
