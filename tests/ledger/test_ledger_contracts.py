"""Feed contracts: what a file may say, what counts where it says nothing, and where they are kept."""

import dataclasses

import msgspec
import pytest

from spv_platform.errors import UsageError
from spv_platform.ledger import tenants
from spv_platform.ledger.contracts import FeedContract, Limits, contract_of, parse_contract, put_contract
from spv_platform.ledger.db import Database
from spv_platform.settings import Settings

FULL = FeedContract("spv", 10, 20, 30, 0.25, ("application/fhir+json",))


@pytest.mark.parametrize("document", [None, {}])
def test_a_contract_that_says_nothing_is_the_default_one(document: object) -> None:
    assert parse_contract(document, "c.yaml") == FeedContract()
    assert FeedContract().quarantine_limit == 0.5


def test_a_contract_may_say_everything() -> None:
    assert parse_contract(msgspec.to_builtins(FULL), "c.yaml") == FULL
    assert parse_contract({"quarantine_limit": 1}, "c.yaml").quarantine_limit == 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"max_entris": 1}, "unknown field `max_entris`"),
        ({"max_entries": 0}, r"`int` >= 1 - at `\$.max_entries`"),
        ({"max_ratio": "many"}, r"Expected `int \| null`, got `str` - at `\$.max_ratio`"),
        ({"max_object_bytes": 1.5}, r"at `\$.max_object_bytes`"),
        ({"quarantine_limit": 1.01}, r"`float` <= 1.0 - at `\$.quarantine_limit`"),
        ({"quarantine_limit": -0.1}, r"`float` >= 0.0 - at `\$.quarantine_limit`"),
        ({"content_types": "application/json"}, r"at `\$.content_types`"),
        ({"content_types": [""]}, r"at `\$.content_types\[0\]`"),
        (["max_entries"], "Expected `object`"),
    ],
)
def test_a_contract_that_says_something_else_is_refused_with_file_field_and_what_to_do(
    document: object, said: str
) -> None:
    with pytest.raises(UsageError, match=rf"^c\.yaml: .*{said}.*: correct it; the fields of a feed contract are "):
        parse_contract(document, "c.yaml")


def test_what_a_contract_leaves_open_is_the_installations_limit(servers: Settings) -> None:
    settings = dataclasses.replace(servers, object_max_bytes=1, max_ratio=2, max_entries=3)
    assert FeedContract().limits(settings) == Limits(1, 2, 3)
    assert FeedContract(max_ratio=9).limits(settings) == Limits(1, 9, 3)
    assert FULL.limits(settings) == Limits(10, 20, 30)


def test_media_types_are_compared_without_parameters_and_case() -> None:
    assert FULL.takes("Application/FHIR+json; charset=utf-8")
    assert not FULL.takes("application/fhir+ndjson")
    assert not FULL.takes("")
    assert FeedContract().takes("anything/else")
    assert FeedContract().takes("")


def test_a_feed_without_a_contract_has_the_default_one_of_its_format(db: Database) -> None:
    with db.transaction() as cur:
        assert contract_of(cur, "north", "emr") == FeedContract(format="fhir")
        with pytest.raises(UsageError, match="no feed 'fax'"):
            contract_of(cur, "north", "fax")


def test_a_contract_is_kept_per_tenant_and_feed_until_the_next_one(db: Database) -> None:
    with db.transaction() as cur:
        put_contract(cur, "north", "emr", FULL)
        assert contract_of(cur, "north", "emr") == FULL
        assert tenants.feeds(cur, "north") == [tenants.Feed("emr", "spv")]
        assert contract_of(cur, "south", "emr") == FeedContract(format="fhir")
        put_contract(cur, "north", "emr", FeedContract())
        assert contract_of(cur, "north", "emr") == FeedContract()
