"""The platform's connections as one Dagster resource.

Addresses and credentials are not Dagster config: they come from the home's settings and the environment, which the
command line reads too, and never appear in a run's config.
"""

from functools import cache

import dagster as dg

from spv_platform.pipeline.platform import Platform
from spv_platform.settings import load_settings


class PlatformResource(dg.ConfigurableResource):
    """Ledger, keys, lake and object store of the installation that `$SPV_HOME` names."""

    def open(self) -> Platform:
        """The connections of this process; made once."""
        return _platform()


@cache
def _platform() -> Platform:
    return Platform(load_settings())
