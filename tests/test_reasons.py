"""Every reason code is documented, and the page is the one in the repository."""

from pathlib import Path

from spv_platform.reasons import REASONS, page


def test_the_page_of_reason_codes_is_up_to_date_and_has_every_code_once() -> None:
    assert (Path(__file__).parents[1] / "docs" / "reason-codes.md").read_text() == page()
    assert all(page().count(f"| `{code}` |") == 1 for code in REASONS)
