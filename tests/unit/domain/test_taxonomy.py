from pathlib import Path

import pytest

from stream_persona.domain.taxonomy import Taxonomy, find_shipped_path, load, parse
from stream_persona.errors import TaxonomyError

FIVE = "\n".join(f'[[persona]]\nname = "{name}"' for name in "abcde") + "\n"


def some(number: int) -> str:
    """A taxonomy of so many personas."""
    return "".join(f'[[persona]]\nname = "p{n}"\n' for n in range(number))


def mistakes(text: str) -> list[tuple[int, str]]:
    with pytest.raises(TaxonomyError) as caught:
        parse(text)
    return list(caught.value.mistakes)


@pytest.mark.parametrize("number", [2, 5, 12, 24])
def test_two_to_24_names_are_a_complete_taxonomy(number: int) -> None:
    taxonomy = parse(some(number))
    assert taxonomy.names == tuple(f"p{n}" for n in range(number))
    assert taxonomy.features.half_life_days == 180


@pytest.mark.parametrize("number", [1, 25])
def test_other_numbers_of_personas_are_refused_with_the_numbers_that_are_advised(
    number: int,
) -> None:
    needed = "2 to 24 [[persona]] tables are needed (5 to 12 are advised)"
    assert mistakes(some(number)) == [(1, f"persona: {needed}, found {number}")]
    assert mistakes("name = 'shop'\n") == [(1, f"persona: {needed}, found none")]


def test_personas_with_mistakes_are_not_reported_as_too_few_as_well() -> None:
    assert [line for line, _ in mistakes(some(1) + "[[persona]]\nname = 'a:b'\n")] == [4]


@pytest.mark.parametrize("name", ["generic-shop", "complete-journey"])
def test_shipped_taxonomies_are_valid(name: str) -> None:
    assert load(find_shipped_path(name)).name == name


def test_the_generic_shop_is_the_default() -> None:
    assert load(None) == load(find_shipped_path("generic-shop"))


@pytest.mark.parametrize(
    "other",
    [
        "# a note\n" + FIVE,
        FIVE + "[features]\nhalf_life_days = 180\n",
        FIVE + "[signals]\nview = 0.25\npurchase = 1\n",
        FIVE + "[policy]\nreasons = 3\n[signals]\npurchase = 1.0\n",
    ],
)
def test_the_version_is_of_the_content(other: str) -> None:
    assert parse(other).version == parse(FIVE).version


def test_the_order_of_keys_does_not_change_the_version() -> None:
    one = FIVE + 'seeds = { brand = ["x"], category = ["y"] }\n'
    two = FIVE + 'seeds = { category = ["y"], brand = ["x"] }\n'
    assert parse(one).version == parse(two).version


@pytest.mark.parametrize(
    "other",
    [
        FIVE.replace('"e"', '"f"'),
        FIVE + "[features]\nhalf_life_days = 90\n",
        FIVE + '[[persona]]\nname = "f"\n',
        FIVE + "[policy]\nmin_confidence = 0.6\n",
    ],
)
def test_another_content_is_another_version(other: str) -> None:
    assert parse(other).version != parse(FIVE).version


def test_only_half_life_and_origin_make_records_unreadable() -> None:
    same = parse(FIVE + "[policy]\nreasons = 1\n[signals]\nview = 1\n")
    origin = parse(FIVE + "[features]\nepoch_origin = 2020-01-01\n")
    half_life = parse(FIVE + "[features]\nhalf_life_days = 90\n")
    mark = parse(FIVE).fingerprint
    assert same.fingerprint == mark
    assert mark not in {origin.fingerprint, half_life.fingerprint}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (FIVE + "colour = 1\n", 11, "persona.4.colour: is not a known key"),
        (FIVE + "[policy]\nreasons = 'x'\n", 12, "policy.reasons"),
        (FIVE + "[policy]\nmin_confidence = 1.5\n", 12, "policy.min_confidence"),
        (FIVE + "[policy]\nconfidence_step = 0\n", 12, "policy.confidence_step"),
        (FIVE + "[signals]\nview = 0.3\n", 12, "signals.view"),
        (FIVE + "[signals]\nview = 65\n", 12, "signals.view"),
        (FIVE + "[signals.engagement]\nopen = -1\n", 12, "signals.engagement.open"),
        (FIVE + "[features]\nhalf_life_days = 0\n", 12, "features.half_life_days"),
        (FIVE + "[features]\nfields = ['colour']\n", 11, "unknown field 'colour'"),
        (FIVE + "[features]\nhalf_life_days = nan\n", 12, "features.half_life_days"),
        (FIVE + "[[persona]]\nname = 'a'\n", 1, "persona 'a' is defined 2 times"),
        (FIVE + "[[persona]]\nname = 'a:b'\n", 12, "persona.5.name"),
        (FIVE + "[[persona]]\nname = 'f'\nseeds = { brand = [] }\n", 13, "persona.5.seeds.brand"),
        (FIVE + "[weights]\nx = 1\n", 11, "weights: is not a known key"),
        (FIVE + "name = \n", 11, "not valid TOML"),
    ],
)
def test_a_mistake_is_reported_with_its_line(text: str, line: int, part: str) -> None:
    ((found, sentence),) = mistakes(text)
    assert found == line
    assert part in sentence


def test_every_mistake_is_reported_at_once() -> None:
    found = mistakes(FIVE + "[policy]\nreasons = 99\n[signals]\nview = -1\nstare = 1\n")
    assert [line for line, _ in found] == [12, 14, 15]


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(TaxonomyError, match=r"nowhere\.toml"):
        load(Path("nowhere.toml"))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TaxonomyError, match=r"binary\.toml"):
        load(path)


@pytest.mark.parametrize(
    ("name", "resolved"),
    [("Café-Gänger", "Café-Gänger"), ("cafe\N{COMBINING ACUTE ACCENT}-gänger ", "Café-Gänger"),
     ("CAF&Eacute;-GÄNGER", "Café-Gänger"), ("Coffee Lover", "Café-Gänger"),
     ("coffee lover", "Café-Gänger"), ("b", "b"), ("tea", None), ("", None), (None, None)],
)  # fmt: skip
def test_a_persona_is_resolved_in_any_spelling_and_by_former_names(
    name: str | None, resolved: str | None
) -> None:
    first = '[[persona]]\nname = "Café-Gänger"\nrenamed_from = ["Coffee Lover", "Regular"]\n'
    assert parse(first + '[[persona]]\nname = "b"\n').resolve(name) == resolved


@pytest.mark.parametrize(
    ("tables", "part"),
    [
        ('[[persona]]\nname = "A "\n', "'a' and 'A ' are the same"),
        ('renamed_from = ["B"]\n', "renamed_from: 'B' is the persona 'b'"),
        ('renamed_from = ["E"]\n', "renamed_from: 'E' is the persona 'e'"),
        ('renamed_from = ["old", "OLD"]\n', "renamed_from: 'old' and 'OLD' are the same"),
        ('renamed_from = [" "]\n', "renamed_from: ' ' says nothing"),
        ('seeds = { brand = ["Acme", "ACME "] }\n', "seeds.brand: 'Acme' and 'ACME ' are the same"),
        ('seeds = { category = ["x/y", "X &gt; Y"] }\n', "are the same"),
        ('seeds = { query = ["Dog food", "dog FOOD"] }\n', "are the same"),
        ('seeds = { "attributes.size" = ["1"], "attributes.Size" = ["2"] }\n', "are the same"),
        ('seeds = { brand = [" "] }\n', "seeds.brand: ' ' says nothing"),
        ("[signals.engagement]\nOpen = 1.0\nopen = 0.5\n", "'Open' and 'open' are the same"),
    ],
)
def test_what_would_be_compared_as_one_is_refused(tables: str, part: str) -> None:
    ((_, mistake),) = mistakes(FIVE + tables)
    assert part in mistake


def test_a_former_name_may_not_be_of_two_personas() -> None:
    twice = FIVE.replace('"a"', '"a"\nrenamed_from = ["old"]') + 'renamed_from = ["Old"]\n'
    assert "'old' and 'Old' are the same" in mistakes(twice)[0][1]


def test_bands_of_an_older_file_may_be_one_by_now() -> None:
    assert parse(FIVE + 'seeds = { quantity = ["4", "5+"] }\n').personas[4].seeds


def test_the_version_holds_no_defaults_so_that_a_new_option_does_not_change_it() -> None:
    everything = parse(FIVE).model_dump(mode="json", by_alias=True)
    spelled_out = Taxonomy.model_validate(everything)
    assert spelled_out.version == parse(FIVE).version == "5ceb763a3a31"
    renamed = parse(FIVE + 'renamed_from = ["old"]\n')
    assert renamed.version != parse(FIVE).version
