"""Quality gates: Great Expectations suites as blocking asset checks, partitioned by tenant."""

from spv_platform.checks.staged_batch import staged_rows_are_plausible

CHECKS = [staged_rows_are_plausible]
