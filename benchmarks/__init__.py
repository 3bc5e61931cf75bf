"""Every speed that the README states, as a command: `spv bench NAME`. Not shipped; runs from a source checkout.

A benchmark is a module of this package with `OPTIONS`, its command-line options, and `measure(say, **options)`, which
yields `figures.Figure`s. Real servers, invented data, and beside every speed a peer that was measured in the same run.
"""

#: Benchmark -> what it measures.
BENCHMARKS: dict[str, str] = {
    "latency": "Seconds from a sealed file that has landed to the approval that is committed.",
    "discovery": "Seconds of a look at the landing bucket and of a sweep, with many objects in the bucket.",
    "publish": "Seconds to carry one small batch into a lake that holds many rows already.",
    "load": "Several times what the platform can carry: its speed and memory then, and the share of compactions.",
    "recovery": "Seconds until a file is published all the same, although its worker was killed or stood still.",
    "ingest": "Megabytes of plain FHIR a second, from landed to published, in one worker.",
    "large": "Most memory of a worker at one large Bundle, and at one large NDJSON export.",
    "match": "Seconds to match invented patients against invented cohorts, from facts to explained results in files.",
}
