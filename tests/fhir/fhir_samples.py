"""Small resources and objects for the tests of `spv_platform.fhir`."""

import json
from types import MappingProxyType
from typing import Any

from hypothesis import settings

from spv_platform.fhir import contract
from spv_platform.fhir.parse import ParsedObject, parse_object

#: Property tests: no deadline, for the machine may be busy.
quick = settings(deadline=None, max_examples=40)

#: A stand-in where the contract is not what is tested.
NO_CHECK: Any = lambda *_: []  # noqa: E731

#: A value that may appear nowhere but in tables.
CANARY = "Zyxomma-Canary-4711"


def patient(id_: str | None = "p1", **more: Any) -> dict[str, Any]:
    made = {"resourceType": "Patient", **more}
    return made if id_ is None else {"id": id_, **made}


def observation(id_: str | None = "o1", **more: Any) -> dict[str, Any]:
    made = {"resourceType": "Observation", "status": "final", "code": {"text": "a test"}, **more}
    return made if id_ is None else {"id": id_, **made}


def entry(resource: Any, full_url: str | None = None, **more: Any) -> dict[str, Any]:
    made = {"resource": resource, **more}
    return made if full_url is None else {"fullUrl": full_url, **made}


def delete(target: str) -> dict[str, Any]:
    return {"request": {"method": "DELETE", "url": target}}


def bundle(*entries: Any, kind: str = "transaction", indent: int | None = None, **more: Any) -> bytes:
    whole = {"resourceType": "Bundle", "type": kind, **more, "entry": list(entries)}
    return json.dumps(whole, indent=indent).encode()


def ndjson(*resources: Any) -> bytes:
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)


def parse(
    data: bytes,
    content_type: str = "",
    check: Any = contract.second_opinion,
    max_entries: int = 1000,
    known: Any = MappingProxyType({}),
) -> ParsedObject:
    return parse_object(
        data,
        content_type=content_type,
        source="main",
        landing_seq=7,
        source_object="f" * 64,
        batch_id="b1",
        max_entries=max_entries,
        known=known,
        check=check,
    )


def rows(parsed: ParsedObject, table: str) -> list[dict[str, Any]]:
    return parsed.tables[table].to_dicts()


def reasons(parsed: ParsedObject) -> list[tuple[int, str, str]]:
    return [(problem.entry, problem.reason, problem.pointer) for problem in parsed.quarantined]
