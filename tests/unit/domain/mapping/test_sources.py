"""The file of sources: which topic is read how, and every mistake with its line."""

from pathlib import Path

import pytest

from stream_persona.domain.mapping.documents import map_document
from stream_persona.domain.mapping.sources import Sources
from stream_persona.errors import ConfigError, SourcesError

PRESET = '[[source]]\ntopic = "web"\npreset = "segment"\n'
MAP = (
    '[[source]]\ntopic = "own"\nkind = "browse"\n[source.map]\nevent_id = "id"\n'
    'customer_id = "who"\noccurred_at = "at"\naction = "did"\n'
)


def test_sources_are_found_by_topic_in_the_order_of_the_file() -> None:
    found = Sources.parse(MAP + PRESET + PRESET.replace("segment", "ga4"))
    assert found.topics == ("own", "web")
    assert [source.preset for source in found.list_for_topic("web")] == ["segment", "ga4"]
    assert found.list_for_topic("nowhere") == ()


def test_a_kind_may_be_named_as_topics_are_and_a_field_may_be_named_like_one() -> None:
    for kind, fixed in (("browses", 1), ("browse", 1), ("@.browse", None), ("what", None)):
        (source,) = Sources.parse(MAP.replace('"browse"', f'"{kind}"')).source
        assert source.fixed_kind == fixed


def test_a_file_is_loaded_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(PRESET, encoding="utf-8-sig")
    (source,) = Sources.load(path).list_for_topic("web")
    assert (source.format, source.registry, source.when, source.title) == (
        "json", None, None, "segment of web",
    )  # fmt: skip


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml:0: cannot be read"):
        Sources.load(tmp_path / "none.toml")


MISTAKES = {
    "": (1, "source: at least one [[source]] table is needed"),
    "source = 1": (1, "source: input should be a valid tuple"),
    PRESET + "colour = 1": (4, "source.0.colour: is not a known key; expected one of topic, name"),
    PRESET + 'fromat = "json"': (4, "source.0.fromat: is not a known key; did you mean format?"),
    "sources = 1\n" + PRESET: (1, "sources: is not a known key; did you mean source?"),
    '[[source]]\npreset = "ga4"': (1, "source.0.topic: Field required"),
    '[[source]]\ntopic = "a b"\npreset = "ga4"': (2, "source.0.topic: expected 1 to 249 of the"),
    '[[source]]\ntopic = "web"\npreset = "segmnt"': (3, "source.0.preset: Input should be"),
    '[[source]]\ntopic = "web"': (1, "source.0: expected preset (one of segment, rudderstack, ga4"),
    '[[source]]\ntopic = "web"\nkind = "browse"': (1, "source.0: expected preset (one of"),
    PRESET + 'kind = "browse"': (1, "source.0: a preset needs neither kind nor [source.map]"),
    PRESET + 'when = "a ="': (4, "source.0.when: 'a =' is no JMESPath expression"),
    PRESET + "when = 1": (4, "source.0.when: expected a JMESPath expression, in quotation marks"),
    PRESET + 'when = "uper(a)"': (4, "source.0.when: 'uper(a)' calls uper(), which is no function"),
    PRESET + 'when = "contains(a)"': (4, "source.0.when: 'contains(a)' gives contains() 1 argum"),
    PRESET + 'when = "a[?length(b) > `1` && nope(@)]"': (4, "calls nope(), which is no function"),
    PRESET + 'format = "avro"': (4, "source.0.format: avro needs the address"),
    PRESET + 'registry = "http://r:8081"': (4, "source.0.registry: format json needs none"),
    PRESET + 'format = "avro"\nregistry = "r:8081"': (5, "source.0.registry: expected"),
    MAP + 'prodct = "it"': (9, "source.0.map.prodct: is no field of ours; did you mean product?"),
    MAP + 'product = "it.{product_id: id, prise: p}"': (
        9, "source.0.map.product: prise is no field of an item; did you mean price?",
    ),
    MAP.replace("browse", "what") + 'items = "a | [?b].{sku: c, product_id: sku}"': (
        9, "source.0.map.items: sku is no field of an item; expected one of product_id, category",
    ),
    MAP.replace('action = "did"', ""): (4, "source.0.map: a browse needs action as well"),
    MAP.replace('"browse"', '"brwse"'): (3, "source.0.kind: 'brwse'; did you mean browse?"),
    MAP.replace('"did"', '"did["'): (8, "source.0.map.action: 'did[' is no JMESPath expression"),
    PRESET + PRESET + 'format = "avro"\nregistry = "http://r"': (
        1, "file: the sources of topic web differ in format or registry",
    ),
    "[[source": (1, "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items())
def test_a_mistake_has_its_line_and_says_what_was_expected(
    text: str, expected: tuple[int, str]
) -> None:
    with pytest.raises(SourcesError) as caught:
        Sources.parse(text)
    found = [(line, sentence.lower()) for line, sentence in caught.value.mistakes]
    assert found[0][0] == expected[0]
    assert expected[1].lower() in found[0][1]
    assert len(found) == 1


def test_a_login_of_a_registry_is_refused_and_never_shown() -> None:
    text = PRESET + 'format = "avro"\nregistry = "http://me:secret@r:8081"'
    with pytest.raises(SourcesError) as caught:
        Sources.parse(text)
    assert "secret" not in str(caught.value)


def test_the_first_source_whose_condition_holds_takes_a_document() -> None:
    text = PRESET + "when = \"version == '2'\"\n" + MAP.replace("own", "web")
    own = Sources.parse(text).list_for_topic("web")
    document = {
        "type": "track", "event": "Product Viewed", "properties": {"product_id": "P"},
        "messageId": "m", "userId": "c", "timestamp": 1_764_000_000, "id": "i", "who": "d",
        "at": 1_764_000_000, "did": "search",
    }  # fmt: skip
    ((_, event),) = map_document(own, {**document, "version": "2"}).events
    assert (event.customer_id, event.action) == ("c", "view")
    ((_, event),) = map_document(own, document).events
    assert (event.customer_id, event.action) == ("d", "search")


def test_a_document_that_no_source_takes_is_counted() -> None:
    own = Sources.parse(PRESET + "when = \"starts_with(version, '2')\"\n").list_for_topic("web")
    for document in ({"version": "1"}, {}, [], None, "text", 1):
        found = map_document(own, document)
        assert (found.events, found.links, found.left_out) == ((), (), {"unmapped": 1})


@pytest.mark.parametrize("truth", [0, 1, "x", [0], {"a": None}, True])
def test_a_condition_holds_as_jmespath_has_it(truth: object) -> None:
    (source,) = Sources.parse(PRESET + 'when = "a"').list_for_topic("web")
    assert source.when is not None
    assert source.when.holds({"a": truth})


@pytest.mark.parametrize("lie", [None, False, "", [], {}])
def test_a_condition_does_not_hold_of_what_is_empty(lie: object) -> None:
    (source,) = Sources.parse(PRESET + 'when = "a"').list_for_topic("web")
    assert source.when is not None
    assert not source.when.holds({"a": lie})
    assert not source.when.holds({})
