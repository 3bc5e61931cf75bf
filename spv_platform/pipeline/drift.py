"""What is new in the content of a batch's feeds, against all that was published of them."""

from collections import defaultdict

import polars as pl

from spv_platform.ledger.batches import Claim
from spv_platform.pipeline.catalog import FEED_CONTENT_SPEC
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader
from spv_platform.pipeline.staged import read_staged
from spv_platform.quality.drift import COLUMNS

_TABLE = FEED_CONTENT_SPEC.name


def unseen(platform: Platform, claim: Claim, content: pl.DataFrame) -> pl.DataFrame:
    """The rows for `feed_content` that no publication has yet.

    Args:
        platform: of the installation.
        claim: the batch.
        content: key columns of `feed_content`, in any number.
    """
    published = reader(platform, claim.tenant)
    new = content.unique().join(_known(platform, published), on=COLUMNS, how="anti").sort(COLUMNS)
    return new.with_columns(deleted=pl.lit(False), _seq=pl.lit(published.seq + 1, dtype=pl.Int64)).select(
        list(FEED_CONTENT_SPEC.schema)
    )


def drift(platform: Platform, claim: Claim) -> dict[str, dict[str, int]]:
    """How much the staged batch brings that its feeds never had, by feed and kind; feeds that begin are left out."""
    staged = read_staged(platform, claim, [_TABLE]).get(_TABLE)
    if staged is None:
        return {}
    familiar = set(_known(platform, reader(platform, claim.tenant))["source"].unique())
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for source, kind, count in staged.group_by("source", "kind").len().sort("source", "kind").iter_rows():
        if source in familiar:
            found[source][kind] = count
    return dict(found)


def _known(platform: Platform, published: TenantReader) -> pl.DataFrame:
    """What was published, which a process remembers as long as the table has no new version."""
    if _TABLE not in published.tables() or published.publication is None:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    pin = published.publication.tables[_TABLE]
    kept = platform.feed_content.get(published.tenant)
    if kept is None or kept[0] != pin:
        kept = platform.feed_content[published.tenant] = (
            pin,
            published.stored(_TABLE).select(COLUMNS).unique().collect(),
        )
    return kept[1]
