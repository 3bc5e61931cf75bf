"""PyFlink on the same resources: read as JSON, counted and summed up by patient. A process of its own.

Run by a Python that has `apache-flink` (and a Java): `python flink.py FILE`, one resource a line. Prints the seconds
from the first statement to the last row.
"""

import sys
import time

_TABLE = """
CREATE TABLE resources (
    resourceType STRING,
    id STRING,
    status STRING,
    subject ROW<reference STRING>,
    patient ROW<reference STRING>,
    code ROW<`text` STRING, coding ARRAY<ROW<`system` STRING, code STRING, display STRING>>>,
    valueQuantity ROW<`value` DECIMAL(38, 10), unit STRING>,
    effectiveDateTime STRING
) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json')
"""
_BY_PATIENT = """
SELECT COALESCE(subject.reference, patient.reference) AS person, COUNT(*), MAX(effectiveDateTime),
    SUM(valueQuantity.`value`), COUNT(DISTINCT code.`text`)
FROM resources GROUP BY COALESCE(subject.reference, patient.reference)
"""


def main(path: str) -> None:
    """Read, group, print the seconds."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    began = time.perf_counter()
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    tables.execute_sql(_TABLE.format(path=path))
    with tables.execute_sql(_BY_PATIENT).collect() as rows:
        for _ in rows:
            pass
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1])
