"""A made-up shop of everything that is long: titles, ids, categories, in several scripts."""

import itertools
from typing import Any, Final

from stream_persona.api.dashboard.persona_counts import BINS, EDGES
from stream_persona.domain.events import MAX_ID_BYTES
from stream_persona.domain.taxonomy import MOST
from tests.browser import wordy_shop
from tests.browser.stand_in import Answers

AT: Final = 1_764_000_000_000
STEP: Final = 10_000

#: 91 letters with and without blanks, and scripts that have wider letters or run the other way.
_TITLES: Final = (
    "Parents of very young children who buy mostly at night and return half of what they bought,",
    "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaftsmitglieds",
    "الآباء والأمهات الذين يتسوقون في الليل ويعيدون نصف ما اشتروه من المتجر الكبير في المدينة",
    "深夜に買い物をして購入した商品の半分を返品する小さな子供を持つ親たちとその家族や友人の皆さん",
    "रात में खरीदारी करने वाले और आधा सामान वापस करने वाले छोटे बच्चों के माता-पिता और उनके परिवार",
    "Student",
)
LONG_ID: Final = "W" * MAX_ID_BYTES
IDS: Final = (
    LONG_ID,
    "x-" * (MAX_ID_BYTES // 2),
    "ز" * (MAX_ID_BYTES // 2),
    "客" * (MAX_ID_BYTES // 3),
    "CUST-1",
)
_CATEGORY: Final = "electronics/" + "m" * 120 + "/" + "n" * 120
WHY: Final = [
    {"feature": "category", "value": _CATEGORY, "lift": 4.2},
    {"feature": "attributes." + "k" * 90, "value": "客" * 90, "lift": 0.2},
    {"feature": "query", "value": "ز" * 90, "lift": 2.0},
]

NAMES: Final = [f"persona_{n}_{'z' * 110}" for n in range(MOST)]
TITLES: Final = [f"{_TITLES[n % len(_TITLES)]} {n}" for n in range(MOST)]
_SHARES: Final = {name: (0.5 if n < 2 else 0.0) for n, name in enumerate(NAMES)}
_MOMENTS: Final = [AT + n * STEP for n in range(60)]


def answers(**parts: dict[str, Any]) -> Answers:
    """All answers of the API; ``parts`` change what the overview says."""
    return {
        **wordy_shop.answers(LONG_ID, NAMES[0], TITLES, WHY),
        "/v1/personas": {
            "personas": [
                {"name": name, "title": title, "description": title * 2, "labelled": 9}
                for name, title in zip(NAMES, TITLES, strict=True)
            ],
            "view": "v" * 60, "labelled": 950, "model_version": "0" * 12,
            "taxonomy_version": "1" * 12,
        },
        "/v1/overview": _overview() | parts,
        "/v1/history": _history(),
        "/v1/portraits": _portraits(),
        "/v1/model": _model(),
        "/v1/queue": {
            "counted": True,
            "shoppers": [
                {
                    "customer_id": id_, "information": 1.6, "evidence": 12.5,
                    "distribution": _SHARES, "candidates": NAMES[:2], "updated_at": AT,
                }
                for id_ in IDS
            ],
        },
        "/persona": _record(),
        "/activity": _activity(),
        "/flips": {
            "customer_id": LONG_ID, "persona": NAMES[0], "probability": 0.5,
            "flips": [
                {
                    "persona": name, "events": 5, "kind": "purchase", "feature": "category",
                    "value": _CATEGORY, "probability": 0.52, "named": False,
                }
                for name in NAMES[:5]
            ],
        },
        "/api/v1/_predict": {"offset": 0, "total": MOST, "hits": [_hit(name) for name in NAMES]},
    }  # fmt: skip


def changes() -> list[dict[str, Any]]:
    """Changes of all ids, from one persona to another."""
    return [
        {
            "change_id": f"change-{n}", "customer_id": id_, "revision": 2,
            "occurred_at": "2025-11-24T16:00:00.000Z", "published_at": "2025-11-24T16:00:00.000Z",
            "cause": "behaviour", "previous": _posterior(NAMES[n]),
            "current": _posterior(NAMES[n + 1]), "why": WHY,
            "model_version": "0" * 12, "taxonomy_version": "1" * 12,
        }
        for n, id_ in enumerate(IDS)
    ]  # fmt: skip


def _posterior(persona: str | None) -> dict[str, Any]:
    return {
        "persona": persona, "confidence": 0.5, "ambiguous": persona is None,
        "source": "predicted", "distribution": _SHARES,
    }  # fmt: skip


def _record() -> dict[str, Any]:
    return _posterior(None) | {
        "customer_id": LONG_ID, "candidates": NAMES[:6], "why": WHY, "evidence": 12.5,
        "revision": 3, "updated_at": "2025-11-24T16:00:00.000Z", "model_version": "0" * 12,
        "taxonomy_version": "1" * 12,
    }  # fmt: skip


def _overview() -> dict[str, Any]:
    message = f"39 labels are of personas that the taxonomy does not know: {'u' * 128} (39)."
    return {
        "at": AT, "counted": True, "changes_per_minute": 240, "shoppers": 1_200, "ambiguous": 300,
        "ambiguous_share": 0.25, "assigned": 95, "mix": dict.fromkeys(NAMES, 37),
        "labelled": 950, "model_version": "0" * 12, "stream": True, "events_per_second": 850.5,
        "lag_events": 120, "lag_seconds": 0.4, "change_p99_ms": 92.0, "workers": 2,
        "last_hour": {
            "events": 12_345,
            "odd": [
                {
                    "reason": "retry", "count": 1_200, "share": 0.1, "text": "1,200 retries",
                    "about": "They are retries: `stream-persona inspect TOPIC` shows it.",
                }
            ],
            "dead_letters": {}, "rollbacks": [],
            "heaviest": [{"customer_id": id_, "events": 2_400, "share": 0.2} for id_ in IDS],
        },
        "unknown_labels": {}, "products": len(TITLES),
        "troubles": [{"part": "labels", "message": message}],
    }  # fmt: skip


def _history() -> dict[str, Any]:
    number = len(_MOMENTS)
    pairs = itertools.pairwise([*NAMES[:8], None])
    return {
        "step_seconds": 10, "at": _MOMENTS, "mix": {name: [37] * number for name in NAMES},
        "ambiguous": [300] * number, "shoppers": [1_200] * number, "changes": [38] * number,
        "events_per_second": [850.5] * number, "lag_events": [0] * number,
        "change_p99_ms": [90.0] * number, "log_loss": [1.1] * number,
        "prior_log_loss": [1.9] * number, "accuracy": [0.6] * number,
        "challengers": {f"my.module:{'Challenger' * 12}": [1.5] * number},
        "flows": [{"from": was, "to": to, "count": 7} for was, to in pairs],
    }  # fmt: skip


def _portraits() -> dict[str, Any]:
    confidence = [0] * (BINS - 6) + [10] * 6
    return {
        "counted": True, "threshold": 0.62, "candidate_floor": 0.03, "edges": list(EDGES),
        "personas": [
            {
                "name": name, "title": title, "description": title * 2, "shoppers": 500,
                "assigned": 40, "labelled": 120, "threshold": 0.64, "mean_confidence": 0.81,
                "confidence": confidence, "trials": 98, "lifts": WHY,
                "reliability": [{"confidence": 0.84, "accuracy": 0.81, "trials": 98}],
            }
            for name, title in zip(NAMES[:6], TITLES[:6], strict=True)
        ],
        "ambiguous": {"shoppers": 300, "confidence": confidence},
    }  # fmt: skip


def _model() -> dict[str, Any]:
    judged = {
        "trials": 920, "log_loss": 1.12, "prior_log_loss": 1.93, "accuracy": 0.61,
        "macro_f1": 0.58, "ece": 0.03, "recent_log_loss": 1.08, "recent_accuracy": 0.63,
        "alarms": 1,
    }  # fmt: skip
    challenger = f"my.module:{'Challenger' * 12}"
    return {
        "model_version": "0" * 12, "taxonomy_version": "1" * 12, "labelled": 950,
        "labels": dict.fromkeys(NAMES, 12), "threshold": 0.62,
        "thresholds": dict.fromkeys(NAMES, 0.62), "candidate_floor": 0.03,
        "target_precision": 0.8, "oldest_record_seconds": 1.5, "sweeping": False,
        "workers": [
            {
                "worker": "host-" * 20, "at": AT, "started_at": AT, "partitions": 8,
                "events_per_second": 850.5,
            }
        ],
        "models": [
            {"name": "current", "failure": "", **judged},
            {"name": challenger, "failure": "f" * 200, **judged},
        ],
        "alarms": [{"model": challenger, "at": AT, "trial": 512}],
        "confusion": {
            "personas": NAMES,
            "counts": [[1_234 if a == b else 2 for a in range(MOST)] for b in range(MOST)],
        },
    }  # fmt: skip


def _activity() -> dict[str, Any]:
    return {
        "customer_id": LONG_ID, "half_life_seconds": 15_552_000.0, "clock": AT, "evidence": 12.5,
        "posteriors": [
            {"at": AT + n * STEP, "revision": n + 1, "cause": "behaviour", **_posterior(name)}
            for n, name in enumerate(NAMES[:2])
        ],
        "events": [
            {
                "kind": "purchase", "event_id": f"E-{n}", "occurred_at": AT, "weight": 2.0,
                "share": 0.16, "about": [{k: w[k] for k in ("feature", "value")} for w in WHY],
            }
            for n in range(3)
        ],
        "complete": True,
    }  # fmt: skip


def _hit(persona: str) -> dict[str, Any]:
    factors = [
        {
            "type": "relatedPropositionLift", "value": each["lift"],
            "proposition": {each["feature"]: {"$has": each["value"]}},
        }
        for each in WHY
    ]  # fmt: skip
    return {"$p": 1 / MOST, "persona": persona, "$why": {"type": "product", "factors": factors}}
