"""Feed contracts at work: what breaks one is quarantined, in this feed only, and a file that is none is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_bundles import bundle, patient, result
from pipeline_world import TENANT, World, reasons

from spv_platform.errors import UsageError
from spv_platform.ledger.contracts import FeedContract
from spv_platform.pipeline import tenancy
from spv_platform.pipeline.bodies import body

CONTENT = bundle(patient("ann"), result("r", "ann", 1))


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (FeedContract(max_object_bytes=len(CONTENT) - 1), "too_large"),
        (FeedContract(max_ratio=1), "ratio_exceeded"),
        (FeedContract(max_entries=1), "too_many_entries"),
        (FeedContract(content_types=("application/fhir+ndjson",)), "content_type_refused"),
    ],
)
def test_an_object_that_breaks_its_feeds_contract_is_quarantined_and_passes_in_another_feed(
    new_world: Callable[..., World], terms: FeedContract, reason: str
) -> None:
    world = new_world()
    tenancy.add_tenant(world.platform, TENANT, contracts_of={"lab": terms})
    padded = CONTENT + b" " * 4000 if reason == "ratio_exceeded" else CONTENT
    world.land("refused", padded, feed="lab")
    world.land("taken", padded, feed="emr")
    world.drain()
    assert reasons(world) == {"refused": ("quarantined", reason), "taken": ("published", None)}
    assert "ann" in body(world.platform, TENANT, "emr", "Patient/ann", who="me")


def test_a_contract_may_allow_more_than_the_installation_does_for_others(new_world: Callable[..., World]) -> None:
    world = new_world(max_entries=1)
    tenancy.add_tenant(world.platform, TENANT, contracts_of={"lab": FeedContract(max_entries=2)})
    for feed in ("emr", "lab"):
        world.land(feed, CONTENT, feed=feed)
    world.drain()
    assert reasons(world) == {"emr": ("quarantined", "too_many_entries"), "lab": ("published", None)}
    assert "ann" in body(world.platform, TENANT, "lab", "Patient/ann", who="me")


def test_an_array_of_resources_lands_where_the_contract_says_so(new_world: Callable[..., World]) -> None:
    world = new_world()
    tenancy.add_tenant(world.platform, TENANT, contracts_of={"lab": FeedContract(arrays=True)})
    data = json.dumps([patient("ann"), result("r", "ann", 1)]).encode()
    for feed in ("emr", "lab"):
        world.land(feed, data, feed=feed, content_type="application/json")
    world.drain()
    assert reasons(world) == {"emr": ("quarantined", "not_a_bundle"), "lab": ("published", None)}
    assert "ann" in body(world.platform, TENANT, "lab", "Patient/ann", who="me")


def test_a_contract_file_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("max_entries: 5\nquarantine_limit: 0.1\n")
    assert tenancy.read_contract(file) == FeedContract(max_entries=5, quarantine_limit=0.1)
    file.write_text("")
    assert tenancy.read_contract(file) == FeedContract()
    for text, said in [
        ("max_entris: 5", "unknown field `max_entris`"),
        ("format: zip", "format: not one of spv"),
        ("max_entries: 5\nmax_entries: 6", "line 1, column 1: .*a key stands twice"),
        ("content_types: [&a x, *a]", "aliases are not allowed"),
        ("max_entries: [", "not usable YAML"),
        ("#" + "x" * tenancy.CONTRACT_MAX_BYTES, "larger than"),
        ("- max_entries", "Expected `object`"),
    ]:
        file.write_text(text)
        with pytest.raises(UsageError, match=f"{file}: .*{said}"):
            tenancy.read_contract(file)
    file.write_bytes(b"\xff\xfe\x00")
    for unreadable in (file, tmp_path / "none.yaml"):
        with pytest.raises(UsageError, match="cannot be read"):
            tenancy.read_contract(unreadable)
