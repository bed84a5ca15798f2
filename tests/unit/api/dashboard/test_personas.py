"""What defines each persona: not what is rarest, but what tells its shoppers from all others."""

from typing import Any

from stream_persona.api.dashboard.personas import MOST, defining
from stream_persona.domain.slots import slot_of
from stream_persona.model.classifier import PersonaClassifier, profile_of
from stream_persona.model.estimator import derive
from stream_persona.model.statistics import contribution
from stream_persona.model.weights import Weights


def taught(tastes: dict[str, list[dict[str, float]]]) -> tuple[Weights, Any]:
    """Weights and sums of shoppers of two personas, each with counts of tokens of 20 events."""
    model = PersonaClassifier()
    for persona, shoppers in tastes.items():
        for number, counts in enumerate(shoppers):
            model.add(contribution(profile_of({"events": 20.0, **counts}), number % 5), persona)
    return derive(model, list(tastes)), model.stacked(list(tastes))


def names_of(*tokens: str) -> Any:
    return {slot_of(token, fine=False): token for token in tokens}.get


COMMON, BABY, RARE = "category:food", "category:baby", "category:twins"
TASTES = {
    "parent": [{COMMON: 12.0, BABY: 6.0, RARE: 1.0 if n < 3 else 0.0} for n in range(40)],
    "student": [{COMMON: 19.0, BABY: 0.5} for _ in range(40)],
}


def test_what_many_shoppers_do_more_defines_them_before_what_few_do_alone() -> None:
    found = defining(*taught(TASTES), names_of(COMMON, BABY, RARE))
    assert found["parent"][0][:2] == ("category", "baby")
    assert [value for _, value, _ in found["student"]] == ["food"]
    assert all(lift > 1 for lifts in found.values() for _, _, lift in lifts)


def test_what_has_no_name_is_left_out() -> None:
    assert defining(*taught(TASTES), names_of(COMMON))["parent"] == []


def test_when_somebody_shops_defines_them_only_where_it_is_telling() -> None:
    night, late = "hour:22-23", "hour:20-21"
    tastes = {
        "parent": [{COMMON: 10.0, late: 6.0} for _ in range(40)],
        "student": [{COMMON: 10.0, night: 8.0, late: 4.0} for _ in range(40)],
    }
    found = defining(*taught(tastes), names_of(COMMON, night, late))
    assert [value for _, value, _ in found["parent"]] == []
    assert [value for _, value, _ in found["student"]] == []
    tastes["parent"] = [{COMMON: 10.0} for _ in range(80)]
    found = defining(*taught(tastes), names_of(COMMON, night, late))
    assert [value for _, value, _ in found["student"]] == ["22-23", "20-21"]


def test_only_so_many_features_are_told() -> None:
    many = [f"category:c{number}" for number in range(30)]
    tastes = {
        "parent": [dict.fromkeys(many, 1.0) for _ in range(20)],
        "student": [{COMMON: 20.0} for _ in range(20)],
    }
    assert len(defining(*taught(tastes), names_of(COMMON, *many))["parent"]) == MOST
