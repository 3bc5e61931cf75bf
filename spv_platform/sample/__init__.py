"""The first demo's world: invented patients, an invented trial feed, and the truth about who qualifies.

What belongs here: small, deterministic data of our own making, the same bytes at every call. Nobody in it exists.
"""

from spv_platform.sample.files import SampleFile, bundles, trial_files
from spv_platform.sample.truth import BROKEN, BrokenEntry, Expected, expected

__all__ = ["BROKEN", "BrokenEntry", "Expected", "SampleFile", "bundles", "expected", "trial_files"]
