"""What is stored does not change from one version to the next unless somebody means it to."""

from tests.support.golden import digests


def test_stored_records_and_sums_are_the_bytes_that_earlier_versions_wrote() -> None:
    found = digests()
    assert (found["folded"], found["model"]) == (
        "7e4f179b191c8d21d68b19dd",
        "8bac4c7b8a40f083d8601867",
    )
