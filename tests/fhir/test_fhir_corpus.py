import contextlib
import gzip
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from fhir_samples import parse

from spv_platform.errors import PermanentError


def read(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def test_all_synthea_bundles_are_taken_whole(corpus: Path) -> None:
    entries, contained, rows, ways = 0, 0, Counter[str](), Counter[tuple[str, str | None]]()
    for file in sorted((corpus / "synthea").glob("*.json.gz")):
        data = read(file)
        parsed = parse(data, max_entries=100_000)
        assert parsed.balances
        assert (parsed.quarantined, parsed.duplicates, parsed.superseded) == ([], 0, 0)
        entries += parsed.entries
        contained += parsed.contained
        rows.update({name: frame.height for name, frame in parsed.tables.items()})
        for open_end in parsed.references:
            ways[open_end.how, open_end.target_type] += open_end.count
        for name in ("observation", "condition", "encounter", "immunization", "medication"):
            if name in parsed.tables:
                assert parsed.tables[name]["patient_id"].null_count() == 0
    assert entries == 21_666
    assert sum(rows.values()) == entries + contained
    assert (rows["patient"], rows["observation"], rows["other_resource"]) == (30, 7693, 9349 + contained)
    assert {how for how, _ in ways} == {"conditional"}


@pytest.mark.parametrize(
    ("name", "entries", "content_type"),
    [
        ("Bundle-gx-genomic-bundle-adam-anyperson.json", 25, ""),
        ("Bundle-mcode-patient-bundle-jenny-m.json", 40, ""),
        ("TrialMatching_Patient01.json", 18, ""),
        ("examples.ndjson.gz", 177, "application/fhir+ndjson"),
        ("examples.ndjson.gz", 177, ""),
    ],
)
def test_mcode_examples_are_taken_whole(corpus: Path, name: str, entries: int, content_type: str) -> None:
    parsed = parse(read(corpus / "mcode" / name), content_type)
    assert parsed.quarantined == []
    assert (parsed.entries, parsed.accepted) == (entries, entries)
    assert parsed.tables["observation"]["patient_id"].null_count() == 0


def test_a_reference_by_id_to_an_entry_under_another_name_is_flagged(corpus: Path) -> None:
    parsed = parse(read(corpus / "mcode" / "TrialMatching_Patient01.json"))
    assert set(parsed.tables["condition"]["patient_id"]) == {"mCODETrialMatchingPatientExample01"}
    ways = {how for how in parsed.tables["condition"]["related_primary_how"] if how}
    assert ways <= {"fallback", "urn"}


def test_each_official_example_lands_or_is_on_the_page_of_the_contract(corpus: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    listed = set(re.findall(r"^\| (\S+) \| `(\w+)` at `(\S+)` \|$", page, re.MULTILINE))
    with zipfile.ZipFile(corpus / "fhir-r4-examples" / "examples.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        bundles = [name for name in names if name.startswith("Bundle-")]
        names = [name for name in names if name not in bundles]
        # as text, so that decimals stay as they are
        lines = [b" ".join(archive.read(name).splitlines()) for name in names]
        for name in bundles:
            with contextlib.suppress(PermanentError):  # of these tells the next test
                assert parse(archive.read(name)).balances
    assert len(names) + len(bundles) == 699
    parsed = parse(b"\n".join(lines))
    assert parsed.balances
    assert parsed.entries == len(names)
    first = {problem.entry: problem for problem in reversed(parsed.quarantined)}
    assert {(Path(names[e]).stem, problem.reason, problem.pointer) for e, problem in first.items()} == listed
    assert parsed.accepted + parsed.duplicates + parsed.superseded == len(names) - len(listed)


def test_each_official_bundle_is_taken_whole_or_is_on_the_page_of_the_contract(corpus: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    listed = dict(re.findall(r"^\| (Bundle-\S+) \| (.+): .+ \|$", page, re.MULTILINE))
    found: dict[str, set[str]] = {}
    with zipfile.ZipFile(corpus / "fhir-r4-examples" / "examples.zip") as archive:
        for name in archive.namelist():
            if not name.startswith("Bundle-"):
                continue
            try:
                parsed = parse(archive.read(name))
            except PermanentError as error:
                found[Path(name).stem] = {error.reason}
                continue
            assert parsed.balances
            if parsed.quarantined:
                found[Path(name).stem] = {problem.reason for problem in parsed.quarantined}
    assert {name: ", ".join(f"`{reason}`" for reason in sorted(each)) for name, each in found.items()} == listed
