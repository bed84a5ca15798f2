"""What helps: lines of settings or of the taxonomy, and changes at the producers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.lookalikes import list_field_paths
from stream_persona.inspection.times import DATE, LOCAL, OTHER, RFC3339, TEXT_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A share of the messages from which on one customer has too many of them.
_HEAVY: Final = 0.05
#: How many times as many as of the middle customer these are.
_TIMES_HEAVIER: Final = 20
#: A share of the events from which on it matters that they have no useful token.
_USELESS: Final = 0.1
#: Where a change is to be made.
PRODUCER, SETTING, TOPIC, TAXONOMY, READ = "producer", "setting", "topic", "taxonomy", "as it is"


def suggest(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return suggestions, those first that concern most messages.

    ``where`` is what has to be changed; "as it is" is no change, but good to know.
    """
    found = [
        *_suggest_for_shapes(report["readable"]),
        *_suggest_for_fields(report["fields"], report["absent"]),
        *_suggest_for_ids(report["ids"]),
        *_suggest_for_times(report["times"]),
        *_suggest_for_repeats(report["repeats"]),
        *_suggest_for_contents(report["contents"]),
        *_suggest_for_meaning(report["meaning"], report["assignments"]),
        *(_suggest_for_topic(report) if report["topic"] else ()),
    ]
    return sorted(found, key=lambda each: (each["where"] == READ, -each["concerns"]))


def _make(where: str, concerns: int, text: str, **more: str) -> dict[str, Any]:
    return {"where": where, "concerns": concerns, "suggestion": text, **more}


def _suggest_for_shapes(readable: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for shape, count in readable["shapes"].items():
        if shape == "a list of events":
            text = "send each event of a list as a message of its own"
        elif shape.startswith("an envelope"):
            text = f"the messages are {shape}: send what is within, alone"
        elif shape == "empty":
            text = "messages without a value go to the dead letters: send none"
        else:
            text = f"the messages are {shape}: send the event as JSON"
        yield _make(PRODUCER, count, text)
    if best := readable["fits_best"]:
        text = f"these messages are {best}: send them to the topic of {best}"
        yield _make(PRODUCER, readable["messages"] - readable["readable"], text)


def _suggest_for_fields(
    fields: list[dict[str, Any]], absent: dict[str, list[str]]
) -> Iterator[dict[str, Any]]:
    found = set()
    for row in fields:
        ours = row["looks_like"]
        if ours is None:
            continue
        found |= {(row["kind"], ours), (row["kind"], "items" if ours == "product_id" else ours)}
        path = list_field_paths(KIND_NAMES.index(row["kind"]))[ours]
        text = f"map {row['field']} to {path}: nobody reads {row['field']}, and {ours} is missing"
        more = {"field": row["field"], "reads_as": ours}
        yield _make(PRODUCER, row["lacking"], text, **more)
    for kind, names in absent.items():
        for name in names:
            if (kind, name) not in found:
                yield _make(PRODUCER, 0, f"{kind} need a field {name}: no message has one")


def _suggest_for_ids(ids: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if nobodies := sum(ids["nobody"].values()):
        examples = ", ".join(repr(each) for each in list(ids["nobody"])[:4])
        text = f"these customer ids stand for nobody and are ignored: {examples}; "
        text += "send no event without a customer (STREAM_PERSONA_NOBODY_IDS is the list)"
        yield _make(PRODUCER, nobodies, text)
    if padded := ids["with_blanks_at_an_end"]["messages"]:
        yield _make(PRODUCER, padded, "trim customer_id: ids with blanks at an end are refused")
    if colliding := ids["colliding"]["messages"]:
        example = " and ".join(map(repr, ids["colliding"]["examples"][0][:3]))
        text = f"write each customer_id in one way: {example} are different customers here"
        yield _make(PRODUCER, colliding, text)
    if addresses := ids["e_mail_addresses"]["messages"]:
        text = "customer ids are e-mail addresses: send a pseudonym, ids stand in keys and logs"
        yield _make(PRODUCER, addresses, text)
    if ids["not_texts"]:
        yield _make(PRODUCER, ids["not_texts"], "send customer_id as a text, in quotes")
    for name, part in ids["heaviest"].items():
        if part >= max(_HEAVY, _TIMES_HEAVIER * ids["median_share"]):
            text = f"{name!r} is {part:.0%} of all: if it is a bot, a till or a test, leave it out "
            text += "or add it to STREAM_PERSONA_NOBODY_IDS"
            yield _make(SETTING, round(part * ids["messages"]), text)


def _suggest_for_times(times: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, found in times["fields"].items():
        for unit, count in found["units"].items():
            yield from _suggest_for_unit(path, unit, count, found["examples"][unit])
    if future := times["in_the_future"]["messages"]:
        text = "set the clocks of these producers: events lie in the future"
        yield _make(PRODUCER, future, f"{text} (such as {times['in_the_future']['example']})")
    if old := times["before_2000"]["messages"]:
        text = "times before 2000: a unit or a default is wrong"
        yield _make(PRODUCER, old, f"{text} (such as {times['before_2000']['example']})")
    if ahead := times["behind_arrival_ms"]["ahead"]:
        text = "clocks are ahead of the broker's by more than a minute: set them"
        yield _make(PRODUCER, ahead, text)
    if late := times["late_by_hours"]:
        text = "events come hours after newer ones of their partition: each counts as of its time"
        yield _make(READ, late, text)


def _suggest_for_unit(path: str, unit: str, count: int, example: str) -> Iterator[dict[str, Any]]:
    """Yield what helps with times that are not written in one of the usual ways."""
    if unit in {LOCAL, DATE}:
        text = f"write {path} with its offset (2025-11-24T16:00:00+01:00): it is a {unit}"
        yield _make(PRODUCER, count, text, field=path)
    elif unit == TEXT_NUMBER:
        yield _make(PRODUCER, count, f"send {path} as a number, without quotes", field=path)
    elif unit == OTHER:
        yield _make(PRODUCER, count, f"{path} is no time here: {example}", field=path)
    elif unit not in {RFC3339, "epoch milliseconds"}:
        yield _make(READ, count, f"{path}: numbers are {unit}, and read as such", field=path)


def _suggest_for_repeats(repeats: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if count := repeats["ids_of_many_events"]["messages"]:
        example = repeats["ids_of_many_events"]["examples"][0]
        text = f"give each event an event_id of its own: {example!r} and others are a session's or "
        text += "the like, and all but the first of their events are taken for retries"
        yield _make(PRODUCER, count, text, field="event_id")
    if count := repeats["edited_orders"]["messages"]:
        text = "orders come again with another event_id: the first version of each counts"
        yield _make(READ, count, text, field="order_id")
    if count := repeats["retries"]["messages"]:
        yield _make(READ, count, "events come again under their event_id: each counts once")


def _suggest_for_contents(contents: dict[str, Any]) -> Iterator[dict[str, Any]]:
    negative = contents["negative"]
    if count := negative["quantities"] + negative["prices"]:
        text = "lines of negative quantity or price are returns: they are left out, the rest counts"
        yield _make(READ, count, text)
    prices = contents["prices"]
    if prices.get("looks_like_minor_units"):
        text = (
            f"prices are whole numbers around {prices['median']:g}: cents, or a currency without "
        )
        text += "any; both are read, as long as all producers of a topic send the same"
        yield _make(READ, prices["count"], text, field="price")
    categories = contents["categories"]
    if other := categories["other_separator"]:
        text = "in the taxonomy: [features] category_separator = "
        yield _make(TAXONOMY, other["count"], f'{text}"{other["separator"].strip()}"')
    if count := categories["with_entities"]:
        yield _make(READ, count, "categories have HTML entities, such as &amp;: they are unescaped")
    if count := categories["spellings"]["messages"]:
        example = " and ".join(map(repr, categories["spellings"]["examples"][0][:3]))
        yield _make(READ, count, f"categories are spelled in several ways: {example} count as one")
    scripts = contents["scripts_of_searches"]
    if len(scripts) > 1:
        text = f"searches are in {', '.join(scripts)}: seeds of query need words in each"
        yield _make(TAXONOMY, sum(list(scripts.values())[1:]), text)


def _suggest_for_meaning(
    meaning: dict[str, Any], assignments: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    useless = meaning["without_useful_token"]
    if useless["share"] >= _USELESS:
        text = (
            "events say nothing of a persona: neither product, category, brand, price, attribute, "
        )
        text += f"search nor campaign is read of them (such as {useless['example']})"
        yield _make(PRODUCER, useless["events"], text)
    if meaning["seeds_without_match"] and not meaning["seeds_matched"] and meaning["events"]:
        known = ", ".join(meaning["categories"]) or "none"
        text = f"no seed of the taxonomy {meaning['taxonomy']!r} is in these events: "
        yield _make(TAXONOMY, meaning["events"], f"{text}seed what is (categories: {known})")
    for name, found in assignments["unknown"].items():
        nearest = found["nearest"]
        text = f"the taxonomy has no persona {name!r}: add it"
        if nearest:
            text = f'in the [[persona]] {nearest!r}: renamed_from = ["{name}"], if that is it; '
            text += f"the taxonomy has no persona {name!r}"
        yield _make(TAXONOMY, found["count"], text, persona=name)


def _suggest_for_topic(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    topic, messages = report["topic"], report["readable"]["messages"]
    configs, name = topic["configs"], report["name"]
    if configs.get("message.timestamp.type", "LogAppendTime") != "LogAppendTime":
        text = f"set message.timestamp.type=LogAppendTime on {name}: only then is it known when an "
        text += "event arrived, so that no producer's clock can date it wrongly"
        yield _make(TOPIC, messages, text)
    if "compact" in configs.get("cleanup.policy", ""):
        text = f"set cleanup.policy=delete on {name}: a compacted topic keeps one event a customer"
        yield _make(TOPIC, messages, text)
    if topic["partitions"] != topic["partitions_of_the_settings"]:
        text = f"STREAM_PERSONA_PARTITIONS={topic['partitions']}: {name} has as many, the settings "
        text += (
            f"{topic['partitions_of_the_settings']}, and all customer-keyed topics need the same"
        )
        yield _make(SETTING, messages, text)
    keys = topic["keys"]
    if wrong := keys["without_key"] + keys["other_keys"]:
        text = "key each message by its customer_id: others take a detour to their worker"
        yield _make(PRODUCER, wrong, text)
    kinds = report["readable"]["kinds"]
    if not report["readable"]["kind_is_given"] and kinds:
        kind = max(kinds, key=lambda each: kinds[each])
        text = f"STREAM_PERSONA_TOPIC_{kind.upper()}={name}: its messages fit {kind} best"
        yield _make(SETTING, messages, text)
