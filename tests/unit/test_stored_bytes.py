"""What is stored does not change from one version to the next unless somebody means it to."""

from tests.support.golden import digests


def test_stored_records_and_sums_are_the_bytes_that_earlier_versions_wrote() -> None:
    found = digests()
    assert (found["folded"], found["model"]) == (
        "12bc9a3769a35ca054550e8c",
        "8bac4c7b8a40f083d8601867",
    )
