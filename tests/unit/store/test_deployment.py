"""The descriptor of a deployment: its JSON, and what a process may see otherwise."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_persona.domain.identity import DEFAULT_NOBODY_IDS
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import TopologyError
from stream_persona.store import deployment as deployments
from stream_persona.store.deployment import TOPIC_KINDS, Deployment
from stream_persona.store.memory import MemoryTables
from tests.support.deployments import CHANGED, OURS, SETTINGS, SHOP, SLOWER, descriptor
from tests.support.sources import MAPPED, SEGMENT, TOPIC, source_settings


def differences(stored: bytes, taxonomy: Taxonomy = SHOP) -> list[tuple[str, str]]:
    found = deployments.find_differences(SETTINGS, taxonomy, deployments.decode_deployment(stored))
    return [(each.subject, each.message) for each in found]


def test_a_descriptor_is_json_that_people_can_read() -> None:
    assert orjson.loads(descriptor(partitions=4, prefix="eu:", topic_changes="shifts")) == {
        "format": 1,
        "id": OURS,
        "partitions": 4,
        "topics": {
            "purchases": "purchases",
            "browses": "browses",
            "engagements": "engagements",
            "assignments": "persona-assignments",
            "deletions": "customer-deletions",
            "changes": "shifts",
            "dead_letters": "persona-dead-letters",
            "reroutes": "persona-reroutes",
        },
        "prefix": "eu:",
        "group": "stream-persona",
        "taxonomy": {"version": SHOP.version, "fingerprint": SHOP.fingerprint},
    }


def test_a_descriptor_is_of_all_topics_that_the_settings_name() -> None:
    named = {name for name in type(SETTINGS).model_fields if name.startswith("topic_")}
    assert {f"topic_{kind}" for kind in TOPIC_KINDS} == named


def test_deployments_of_equal_settings_have_ids_of_their_own() -> None:
    ids = {Deployment.of(SETTINGS, SHOP).id for _ in range(100)}
    assert len(ids) == 100
    assert {len(each) for each in ids} == {16}


def test_a_descriptor_is_read_as_it_was_written() -> None:
    blob = descriptor(group="mine")
    assert deployments.decode_deployment(blob) == Deployment.of(
        SETTINGS.model_copy(update={"group": "mine"}), SHOP, OURS
    )
    assert deployments.decode_deployment(blob).encode() == blob


async def test_tables_without_a_descriptor_have_no_deployment() -> None:
    tables = MemoryTables()
    assert await deployments.load(tables) is None
    await tables.create_deployment(descriptor())
    found = await deployments.load(tables)
    assert found is not None
    assert found.id == OURS


def test_what_a_later_version_adds_is_ignored_unless_it_has_another_format() -> None:
    later = orjson.loads(descriptor()) | {"region": "eu"}
    assert deployments.decode_deployment(orjson.dumps(later)).id == OURS
    with pytest.raises(TopologyError, match="newer version") as refused:
        deployments.decode_deployment(orjson.dumps(later | {"format": 2}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("blob", [b"", b"x", b"{}", b"[]", b'{"id": 3}', b"\xff\x00", b"null"])
def test_what_is_no_descriptor_is_a_sentence_that_names_the_key(blob: bytes) -> None:
    with pytest.raises(TopologyError, match="persona-deployment"):
        deployments.decode_deployment(blob)


@pytest.mark.parametrize(
    ("changed", "subject", "name"),
    [
        ({"partitions": 4}, "partitions", "STREAM_PERSONA_PARTITIONS"),
        ({"prefix": "eu:"}, "prefix", "STREAM_PERSONA_PREFIX"),
        ({"group": "theirs"}, "group", "STREAM_PERSONA_GROUP"),
        *(
            ({f"topic_{kind}": "theirs"}, "topics", f"STREAM_PERSONA_TOPIC_{kind.upper()}")
            for kind in TOPIC_KINDS
        ),
    ],
)
def test_a_setting_that_differs_is_named_with_both_values(
    changed: dict[str, Any], subject: str, name: str
) -> None:
    ((found, sentence),) = differences(descriptor(**changed))
    ((field, theirs),) = changed.items()
    assert found == subject
    assert sentence.startswith(f"{name} is {getattr(SETTINGS, field)!r} here and {theirs!r} in")
    assert f"set it to {theirs!r}" in sentence


def test_equal_settings_and_an_equal_taxonomy_do_not_differ() -> None:
    assert differences(descriptor()) == []


def test_another_taxonomy_is_named_with_both_versions() -> None:
    ((subject, sentence),) = differences(descriptor(CHANGED))
    assert subject == "taxonomy"
    assert SHOP.version in sentence
    assert CHANGED.version in sentence


def test_another_half_life_is_more_than_another_taxonomy() -> None:
    ((subject, sentence),) = differences(descriptor(SLOWER))
    assert subject == "half-life"
    assert "half_life_days" in sentence


def test_the_first_difference_is_refused() -> None:
    stored = deployments.decode_deployment(descriptor(CHANGED, partitions=4))
    with pytest.raises(TopologyError, match="STREAM_PERSONA_PARTITIONS is 8 here and 4"):
        deployments.refuse_differences(SETTINGS, SHOP, stored)
    deployments.refuse_differences(SETTINGS, SHOP, deployments.decode_deployment(descriptor()))


def test_whether_tastes_are_kept_is_agreed_on() -> None:
    ((subject, message),) = differences(descriptor(tastes=True))
    assert subject == "tastes"
    assert "STREAM_PERSONA_TASTES is off here and on in the deployment" in message
    assert differences(descriptor(tastes=False)) == []
    blob = descriptor(tastes=True)
    assert deployments.decode_deployment(blob).encode() == blob


def test_who_is_nobody_is_agreed_on() -> None:
    assert differences(descriptor(nobody_ids="NULL, kiosk"))[0][0] == "nobody"
    ((_, message),) = differences(descriptor(nobody_ids="kiosk,NULL"))
    assert "is the default list here and 'kiosk,null' in the deployment" in message
    default = ",".join(DEFAULT_NOBODY_IDS)
    assert differences(descriptor(nobody_ids=default.upper())) == []
    blob = descriptor(nobody_ids="kiosk")
    assert deployments.decode_deployment(blob).encode() == blob


def test_sources_are_agreed_on_by_how_they_map_and_not_by_where_their_schemas_are(
    tmp_path: Path,
) -> None:
    first, other = source_settings(tmp_path), source_settings(tmp_path, MAPPED)
    both = source_settings(tmp_path, SEGMENT + SEGMENT.replace(TOPIC, "till"))
    stored = Deployment.of(first, SHOP)
    for settings, change in (
        (other, f"{TOPIC} is mapped otherwise"),
        (both, "till is new"),
        (SETTINGS, f"{TOPIC} is none any more"),
    ):
        own = Deployment.of(settings, SHOP)
        assert own.describe_change_of_sources(stored) == change
        assert own.with_changeable(stored).sources == stored.sources
    avro = SEGMENT + 'format = "avro"\nregistry = "http://{}"\n'
    here, there = (source_settings(tmp_path, avro.format(host)) for host in ("a:1", "b:2"))
    assert Deployment.of(here, SHOP).sources == Deployment.of(there, SHOP).sources
    found = deployments.find_differences(other, SHOP, stored)
    assert ("sources", True) in [(e.subject, "is mapped otherwise" in e.message) for e in found]
