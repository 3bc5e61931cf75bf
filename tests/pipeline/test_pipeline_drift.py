"""What a feed never brought before is told of that feed, whatever others brought."""

from pipeline_bundles import bundle, patient, result
from pipeline_world import TENANT, World

from spv_platform.pipeline.reading import reader


def content_of(world: World) -> list[tuple[str, str, str, int]]:
    """Feed, kind, value and publication of all that was noted, as far as it is about units and extensions."""
    found = reader(world.platform, TENANT).current("feed_content").collect()
    told = found.select("source", "kind", "value", "_seq").rows()
    return sorted(row for row in told if row[1] in ("unit", "extension"))


def test_a_unit_and_an_extension_are_noted_once_a_feed_with_the_publication_that_brought_them(new_world):
    world = new_world()
    for feed in ("emr", "lab"):
        world.land(f"first-{feed}", bundle(patient("ann"), result("a", "ann", 1)), feed=feed)
    world.drain()
    told = {"url": "http://example.org/e", "extension": [{"url": "inner", "valueCode": "x"}]}
    odd = result("b", "ann", 1, valueQuantity={"value": 1, "unit": "stone"}, extension=[told])
    for feed in ("lab", "emr", "lab"):
        world.land(f"odd-{feed}", bundle(odd), feed=feed)
        world.drain()
    assert content_of(world) == [
        ("emr", "extension", "http://example.org/e", 3),
        ("emr", "extension", "inner", 3),
        ("emr", "unit", "g/dL", 1),
        ("emr", "unit", "stone", 3),
        ("lab", "extension", "http://example.org/e", 2),
        ("lab", "extension", "inner", 2),
        ("lab", "unit", "g/dL", 1),
        ("lab", "unit", "stone", 2),
    ]
