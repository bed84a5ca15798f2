"""The features that define each persona: not the rarest, but the most distinctive ones."""

from typing import Any

from stream_persona.api.dashboard.personas import MOST, find_defining_features
from stream_persona.domain.slots import hash_to_slot
from stream_persona.model.classifier import PersonaClassifier, make_profile
from stream_persona.model.estimator import derive
from stream_persona.model.statistics import make_contribution
from stream_persona.model.weights import Weights


def learn(tastes: dict[str, list[dict[str, float]]]) -> tuple[Weights, Any]:
    """Weights and sums of shoppers of two personas, each with counts of tokens of 20 events."""
    model = PersonaClassifier()
    for persona, shoppers in tastes.items():
        for number, counts in enumerate(shoppers):
            model.add(
                make_contribution(make_profile({"events": 20.0, **counts}), number % 5), persona
            )
    return derive(model, list(tastes)), model.stack(list(tastes))


def names_of(*tokens: str) -> Any:
    return {hash_to_slot(token, fine=False): token for token in tokens}.get


COMMON, BABY, RARE = "category:food", "category:baby", "category:twins"
TASTES = {
    "parent": [{COMMON: 12.0, BABY: 6.0, RARE: 1.0 if n < 3 else 0.0} for n in range(40)],
    "student": [{COMMON: 19.0, BABY: 0.5} for _ in range(40)],
}


def test_a_feature_of_many_shoppers_comes_before_one_that_only_few_have() -> None:
    found = find_defining_features(*learn(TASTES), names_of(COMMON, BABY, RARE))
    assert found["parent"][0][:2] == ("category", "baby")
    assert [value for _, value, _ in found["student"]] == ["food"]
    assert all(lift > 1 for lifts in found.values() for _, _, lift in lifts)


def test_a_feature_without_a_name_is_left_out() -> None:
    assert find_defining_features(*learn(TASTES), names_of(COMMON))["parent"] == []


def test_times_define_a_persona_only_where_their_lift_is_great() -> None:
    night, late = "hour:22-23", "hour:20-21"
    tastes = {
        "parent": [{COMMON: 10.0, late: 6.0} for _ in range(40)],
        "student": [{COMMON: 10.0, night: 8.0, late: 4.0} for _ in range(40)],
    }
    found = find_defining_features(*learn(tastes), names_of(COMMON, night, late))
    assert [value for _, value, _ in found["parent"]] == []
    assert [value for _, value, _ in found["student"]] == []
    tastes["parent"] = [{COMMON: 10.0} for _ in range(80)]
    found = find_defining_features(*learn(tastes), names_of(COMMON, night, late))
    assert [value for _, value, _ in found["student"]] == ["22-23", "20-21"]


def test_a_persona_has_only_so_many_features() -> None:
    many = [f"category:c{number}" for number in range(30)]
    tastes = {
        "parent": [dict.fromkeys(many, 1.0) for _ in range(20)],
        "student": [{COMMON: 20.0} for _ in range(20)],
    }
    assert len(find_defining_features(*learn(tastes), names_of(COMMON, *many))["parent"]) == MOST
