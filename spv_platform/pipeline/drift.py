"""What is new in the content of a batch's feeds, against all that was published of them."""

from collections import defaultdict
from dataclasses import dataclass

import polars as pl

from spv_platform.ledger.batches import Claim
from spv_platform.pipeline.catalog import FEED_CONTENT_SPEC
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader
from spv_platform.quality.drift import COLUMNS

_TABLE = FEED_CONTENT_SPEC.name


@dataclass(frozen=True)
class Drift:
    """What a batch brings that was never published of its feeds.

    Attributes:
        rows: for the table `feed_content`.
        new: how much of each kind, by feed; of feeds that were there before.
    """

    rows: pl.DataFrame
    new: dict[str, dict[str, int]]


def drift(platform: Platform, claim: Claim, content: pl.DataFrame) -> Drift:
    """Tell what is new.

    Args:
        platform: of the installation.
        claim: the batch.
        content: key columns of `feed_content`, in any number.
    """
    published = reader(platform, claim.tenant)
    known = _known(platform, published)
    unseen = content.unique().join(known, on=COLUMNS, how="anti").sort(COLUMNS)
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    familiar = unseen.join(known.select("source").unique(), on="source", how="semi")
    for source, kind, count in familiar.group_by("source", "kind").len().sort("source", "kind").iter_rows():
        counts[source][kind] = count
    rows = unseen.with_columns(deleted=pl.lit(False), _seq=pl.lit(published.seq + 1, dtype=pl.Int64))
    return Drift(rows.select(list(FEED_CONTENT_SPEC.schema)), dict(counts))


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
