import pytest

from spv_platform.trials import oncotree
from spv_platform.trials.cancers import judge_cancer
from spv_platform.trials.terms import canonical_code


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        ("oncotree|NSCLC", "oncotree|LUAD", 1),
        ("oncotree|Non-Small Cell Lung Cancer", "oncotree|Lung Adenocarcinoma", 1),
        ("oncotree|LUAD", "oncotree|NSCLC", 0),
        ("oncotree|LUAD", "oncotree|LUSC", -1),
        ("oncotree|LUNG", "oncotree|BRCA", -1),
        ("oncotree|_SOLID_", "oncotree|LUAD", 1),
        ("oncotree|_LIQUID_", "oncotree|LUAD", -1),
        ("oncotree|NSCLC", "sct|254626006", 1),  # adenocarcinoma of lung
        ("oncotree|NSCLC", "icd10cm|C34.90", 0),  # lung, no more
        ("oncotree|LUNG", "icd10cm|C34.90", 1),
        ("oncotree|NSCLC", "icd10cm|C50.911", -1),
        ("sct|254637007", "oncotree|LUAD", 1),
        ("icd10cm|C34*", "oncotree|LUAD", 1),
        ("oncotree|COAD", "icd10cm|C18.7", 0),  # the bowel is all that is sure
        ("oncotree|BOWEL", "icd10cm|C18.7", 1),
        ("oncotree|NSCLC", "icd10cm|C80.1", 0),  # unspecified: not in the table
        ("oncotree|Chronic Lymphocytic Leukemia", "oncotree|CLLSLL", 1),  # a name of an older tree
        ("oncotree|no such thing", "oncotree|LUAD", 0),
    ],
)
def test_cancers_of_several_code_systems_are_compared_by_the_tree(wanted, given, expected):
    assert judge_cancer(canonical_code(wanted), canonical_code(given)) == expected


def test_every_node_has_its_ancestors_up_to_a_root():
    rows = {row["code"]: row["parent"] for row in oncotree._rows()}
    assert len(rows) == 854
    assert all(parent in rows for parent in rows.values() if parent)
    assert all(oncotree.inside(code, (code,)) for code in rows)


def test_a_node_that_is_its_own_ancestor_is_refused(monkeypatch):
    monkeypatch.setattr(oncotree, "_rows", lambda: [{"code": "A", "parent": "B"}, {"code": "B", "parent": "A"}])
    with pytest.raises(ValueError, match="is its own ancestor"):
        oncotree._above.__wrapped__()


def test_a_misspelt_name_is_recognised():
    assert oncotree.close_to("Lung Adenocarcinom") == "Lung Adenocarcinoma"
    assert oncotree.close_to("Nothing of the kind") is None
