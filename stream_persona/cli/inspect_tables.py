"""The report of ``inspect`` as tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
#: Rows of fields that are shown; the rest is in the JSON.
_MOST_FIELDS: Final = 40
_MOST_SEEDS: Final = 8


def print_report(report: Mapping[str, Any]) -> None:
    """Print what a topic or a file holds, what would become of it, and what helps."""
    console = Console()
    console.print(Text(f"{report['name']} ({report['format']})", style="bold underline"))
    tables = [
        _make_facts(report),
        _make_sources(report["sources"]),
        _make_reasons(report["readable"]["unreadable"]),
        *(_make_fields(kind, report["fields"]) for kind in report["readable"]["kinds"]),
        _make_suggestions(report["suggestions"]),
    ]
    for table in filter(None, tables):
        console.print(table)
    if not report["suggestions"]:
        console.print("Nothing to suggest.")
    console.print()


def _make_sources(sources: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return what each source made of the messages; None of a topic that is none."""
    if not sources:
        return None
    table = Table("source", "messages", "events", "left out", "unreadable")
    for each in sources:
        numbers = [
            _join(f"{name} {n:,}" for name, n in each[column].items())
            for column in ("events", "left_out", "unreadable")
        ]
        table.add_row(Text(each["source"]), f"{each['messages']:,}", *map(Text, numbers))
    return table


def _make_facts(report: Mapping[str, Any]) -> Table:
    """Return everything but fields and suggestions, a line for each subject."""
    readable = report["readable"]
    of_all = "" if readable["held"] is None else f" of {readable['held']:,}"
    facts = {
        "messages": f"{readable['messages']:,}{of_all}, {readable['readable']:,} readable",
        "if fields were mapped": _describe_mapped(report["when_mapped"]),
        "kind": _join(f"{name} {n:,}" for name, n in readable["kinds"].items()),
        **_describe_ids(report["ids"]),
        **_describe_times(report["times"]),
        **_describe_repeats(report["repeats"]),
        **_describe_contents(report["contents"]),
        **_describe_meaning(report),
        **_describe_topic(report["topic"]),
    }
    table = Table.grid(padding=(0, 2))
    for name, text in facts.items():
        if text:
            table.add_row(Text(name, style="bold"), Text(text))
    return table


def _describe_mapped(mapped: Mapping[str, Any] | None) -> str:
    if mapped is None:
        return ""
    useless = mapped["without_useful_token"]
    return f"{mapped['readable']:,} readable, {useless:,} of them without a useful token"


def _describe_ids(ids: Mapping[str, Any]) -> dict[str, str]:
    heaviest = [f"{name} {part:.1%}" for name, part in ids["heaviest"].items()]
    nobody = [f"{name!r} {n:,}" for name, n in ids["nobody"].items()]
    return {
        "customers": _count(ids["customers"], f"(heaviest: {_join(heaviest[:3])})"),
        "nobody": _join(nobody),
        "colliding ids": _join(map(str, ids["colliding"]["examples"])),
        "e-mail addresses": _count(ids["e_mail_addresses"]["ids"], "ids"),
    }


def _describe_times(times: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        path: _join(f"{unit} {n:,}" for unit, n in found["units"].items())
        for path, found in times["fields"].items()
    }
    if times["first"] is not None:
        facts["from, to"] = f"{_format_time(times['first'])}, {_format_time(times['last'])}"
    facts["odd times"] = _join([
        *_describe_count(times["before_2000"]["messages"], "before 2000"),
        *_describe_count(times["in_the_future"]["messages"], "in the future"),
    ])  # fmt: skip
    facts["behind arrival"] = _format_spread(times["behind_arrival_ms"])
    facts["late by"] = _format_spread(times["late_ms"]) if times["late_ms"].get("most") else ""
    return facts


def _describe_repeats(repeats: Mapping[str, Any]) -> dict[str, str]:
    shared, orders = repeats["ids_of_many_events"], repeats["edited_orders"]
    after = _format_spread(repeats["retries"]["after_ms"])
    retries = _count(repeats["retries"]["messages"], f"after {after}" if after else "")
    return {
        "retries": retries,
        "one id, many events": _count(shared["messages"], f"under {shared['ids']:,} ids"),
        "edited orders": _count(orders["orders"], f"in {orders['messages']:,} messages"),
    }


def _describe_contents(contents: Mapping[str, Any]) -> dict[str, str]:
    prices, negative = contents["prices"], contents["negative"]
    scripts = contents["scripts_of_searches"]
    price = ""
    if prices["count"]:
        price = f"median {prices['median']:g}, {prices['least']:g} to {prices['most']:g}"
        price += f", {prices['whole']:.0%} whole"
    return {
        "searches": _join(f"{script} {n:,}" for script, n in scripts.items()),
        "prices": price,
        "returns": _join([
            *_describe_count(negative["quantities"], "negative quantities"),
            *_describe_count(negative["prices"], "negative prices"),
        ]),
    }  # fmt: skip


def _describe_meaning(report: Mapping[str, Any]) -> dict[str, str]:
    meaning, assignments = report["meaning"], report["assignments"]
    facts = {}
    if meaning["events"]:
        tokens = meaning["tokens"].items()
        facts["tokens"] = _join(
            f"{name} {found['distinct']:,}" for name, found in tokens if found["distinct"]
        )
        useless = meaning["without_useful_token"]
        facts["without a useful token"] = _count(useless["events"], f"({useless['share']:.1%})")
        facts["categories"] = _join(f"{name} {n:,}" for name, n in meaning["categories"].items())
        unmatched = meaning["seeds_without_match"].values()
        facts["seeds without match"] = _shorten([seed for seeds in unmatched for seed in seeds])
    unknown = assignments["unknown"].items()
    facts["personas"] = _join(f"{name} {n:,}" for name, n in assignments["personas"].items())
    facts["unknown personas"] = _join(f"{name} {found['count']:,}" for name, found in unknown)
    return facts


def _describe_topic(topic: Mapping[str, Any] | None) -> dict[str, str]:
    if topic is None:
        return {}
    keys = topic["keys"]
    return {
        "partitions": f"{topic['partitions']} (settings: {topic['partitions_of_the_settings']})",
        "topic's settings": _join(f"{name}={v}" for name, v in sorted(topic["configs"].items())),
        "keys": _join([
            *_describe_count(keys["without_key"], "without a key"),
            *_describe_count(keys["other_keys"], "not the customer's id"),
        ]),
    }  # fmt: skip


def _make_reasons(unreadable: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [
        (f"{each['count']:,}", each["reason"], each["detail"], each["example"])
        for each in unreadable
    ]
    return _make_table("What cannot be read", ("count", "reason", "detail", "such as"), rows)


def _make_fields(kind: str, fields: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [
        (
            row["field"], f"{row['share']:.1%}", "yes" if row["read"] else "no",
            "" if row["with_token"] is None else f"{row['with_token']:,}",
            row["looks_like"] or "",
            _describe_values(row),
        )
        for row in [row for row in fields if row["kind"] == kind][:_MOST_FIELDS]
    ]  # fmt: skip
    names = ("field", "there", "read", "with token", "looks like", "commonest values")
    return _make_table(f"Fields of {kind}", names, rows)


def _describe_values(row: Mapping[str, Any]) -> str:
    """Return the commonest values; of values that all differ, how many there are."""
    values = list(row["values"].items())[:3]
    if row["distinct_values"] > len(values) and values[0][1] == 1:
        return f"{row['distinct_values']:,} different ones"
    return _join(f"{value} ({n:,})" for value, n in values)


def _make_suggestions(suggestions: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [(each["where"], f"{each['concerns']:,}", each["suggestion"]) for each in suggestions]
    return _make_table("Suggestions", ("where", "concerns", "what"), rows)


def _make_table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table | None:
    if not rows:
        return None
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for name in names:
        is_number = name in {"count", "there", "with token", "concerns"}
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _join(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _shorten(parts: Sequence[str]) -> str:
    more = f", and {len(parts) - _MOST_SEEDS:,} more" if len(parts) > _MOST_SEEDS else ""
    return _join(parts[:_MOST_SEEDS]) + more


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}".rstrip() if number else ""


def _describe_count(number: int, what: str) -> list[str]:
    return [f"{number:,} {what}"] if number else []


def _format_spread(spread: Mapping[str, float]) -> str:
    if "median" not in spread:
        return ""
    named = (("median", "half"), ("p99", "99 %"), ("most", "all"))
    return _join(f"{words} {_format_duration(spread[name])}" for name, words in named)


def _format_duration(ms: float) -> str:
    sign, rest = ("-", -ms) if ms < 0 else ("", ms)
    for size, unit in ((_DAY_MS, "d"), (_HOUR_MS, "h"), (_MINUTE_MS, "min"), (_SECOND_MS, "s")):
        if rest >= size:
            return f"{sign}{rest / size:.1f} {unit}"
    return f"{sign}{rest:g} ms"


def _format_time(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1_000, UTC).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return str(at)
