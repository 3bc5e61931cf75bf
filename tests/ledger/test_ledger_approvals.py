from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spv_platform.ledger import approvals
from spv_platform.ledger.approvals import Verdict
from spv_platform.ledger.db import Database

_VERDICTS = st.lists(
    st.builds(
        Verdict,
        person_id=st.sampled_from(["p-a", "p-b"]),
        trial=st.just("NCT00000001"),
        cohort=st.sampled_from("AB"),
        approved=st.booleans(),
        evidence=st.lists(st.integers(0, 1), max_size=1),
    ),
    unique_by=lambda verdict: verdict[:3],
)


@given(st.lists(_VERDICTS, max_size=5))
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_verdict_decides_and_news_is_each_change_to_approved(db: Database, loads: list[list[Verdict]]) -> None:
    model: dict[tuple[str, str, str], tuple[bool, int]] = {}
    with db.transaction() as cur:
        cur.execute("DELETE FROM ops.approval")
        for seq, load in enumerate(loads, 1):
            fresh = approvals.apply(cur, "north", seq, load)
            expected = []
            for verdict in load:
                known, since = model.get(verdict[:3], (False, seq))
                if verdict.approved and not known:
                    expected.append(verdict[:3])
                if verdict.approved or verdict[:3] in model:
                    model[verdict[:3]] = (verdict.approved, since if known == verdict.approved else seq)
            assert [approval[:3] for approval in fresh] == sorted(expected)
            assert approvals.apply(cur, "north", seq + 100, load) == []  # again: no news, no new date
        found = approvals.current(cur, "north", ["p-a", "p-b"])
        assert {(a[:3], a.status == "approved", a.since_seq) for a in found} == {
            (key, approved, since) for key, (approved, since) in model.items()
        }
        assert approvals.current(cur, "south", ["p-a", "p-b"]) == []


def test_evidence_is_kept_up_to_date(db: Database) -> None:
    verdict = Verdict("p", "t", "A", True, [{"criterion": "inc-1"}])
    with db.transaction() as cur:
        approvals.apply(cur, "north", 1, [verdict])
        assert approvals.apply(cur, "north", 2, [verdict._replace(evidence=[])]) == []
        (known,) = approvals.current(cur, "north", ["p"])
    assert (known.since_seq, known.evidence) == (1, [])


def test_an_approval_has_one_name(db: Database) -> None:
    with db.transaction() as cur:
        (fresh,) = approvals.apply(cur, "north", 1, [Verdict("p", "t", "A", True, [])])
    assert fresh.event_id == approvals.event_id("north", "p", "t", "A")


@given(st.lists(st.text(max_size=3), min_size=4, max_size=4), st.lists(st.text(max_size=3), min_size=4, max_size=4))
def test_different_approvals_have_different_names(one: list[str], other: list[str]) -> None:
    separated = all("\x1f" not in part for part in [*one, *other])
    assert not separated or (approvals.event_id(*one) == approvals.event_id(*other)) == (one == other)
