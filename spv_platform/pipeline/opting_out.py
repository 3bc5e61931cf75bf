"""Who takes no part in trial matching: the practice's list, kept as keyed hashes of identifiers."""

from pathlib import Path

import polars as pl

from spv_platform.envelope.keys import mac
from spv_platform.errors import UsageError
from spv_platform.ledger import audit, batches, criteria, opt_outs
from spv_platform.pipeline.platform import Platform


def change_list(platform: Platform, tenant: str, file: Path, action: str, *, who: str) -> int:
    """Add the identifiers of a file to the list, or remove them; every patient is matched again.

    Args:
        file: one `system|value` per line; blank lines do not count.
        action: `add` or `remove`.

    Returns:
        How many identifiers changed sides.

    Raises:
        UsageError: a line is no identifier; the list stays as it was.
    """
    index_key = platform.tenant_keys(tenant).index
    hashes = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip():
            continue
        system, bar, value = line.strip().rpartition("|")
        if not (system and bar and value):
            raise UsageError(f"{file}: line {number}: expected SYSTEM|VALUE: correct it, nothing was changed")
        hashes.append(_hash(index_key, f"{system}|{value}"))
    with platform.db.transaction() as cur:
        change = opt_outs.add if action == "add" else opt_outs.remove
        changed = sum(change(cur, tenant, hashed) for hashed in hashes)
        audit.write(cur, who, f"opt-out {action}", tenant, f"{changed} identifiers")
        newest = criteria.newest(cur)
        if newest:
            batches.form_rematch(cur, tenant, newest.version)
    return changed


def opted_out(platform: Platform, tenant: str, facts: pl.DataFrame) -> pl.DataFrame:
    """Every person of the facts with `opted_out`: by a Consent of theirs, or by the practice's list."""
    index_key = platform.tenant_keys(tenant).index
    by_hash = {
        _hash(index_key, value): value for value in facts.filter(kind="identifier")["value_text"].drop_nulls().unique()
    }
    with platform.db.transaction() as cur:
        listed = [by_hash[hashed] for hashed in opt_outs.among(cur, tenant, list(by_hash))]
    by_list = (pl.col("kind") == "identifier") & pl.col("value_text").is_in(listed)
    by_consent = (pl.col("kind") == "opt_out") & pl.col("usable") & (pl.col("polarity") == "present")
    return facts.group_by("person_id").agg(opted_out=(by_consent | by_list).fill_null(value=False).any())


def _hash(index_key: bytes, identifier: str) -> bytes:
    return mac(index_key, "opt-out", identifier)
