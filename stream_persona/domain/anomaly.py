"""Reasons why a readable input is left out, or counts for less than it claims.

Such an input is no dead letter. It is counted by its reason, so that nothing vanishes in silence.
"""

from __future__ import annotations

from enum import StrEnum


class Anomaly(StrEnum):
    """A reason, as it stands in metrics and reports."""

    #: The customer id stands for nobody: ignored.
    NOBODY = "nobody"
    #: An event id that its input had lately: left out.
    RETRY = "retry"
    #: An order that its input had lately, under another event id: left out.
    EDITED_ORDER = "edited_order"
    #: Older than a deletion of its customer: left out.
    FORGOTTEN = "forgotten"
    #: Beyond the events of a minute that count of one customer: left out.
    EXCESS = "excess"
    #: Of a later time than can be: it counts as of its arrival, or is left out where it has none.
    FUTURE = "future"
    #: So much older than the customer's newest event that it has no weight any more: left out.
    FADED = "faded"
    #: A line of negative quantity or price: left out, the rest of its order counts.
    RETURNED_LINE = "returned_line"
    #: No field of it says anything about a persona: counted as an event and nothing else.
    UNINFORMATIVE = "uninformative"
    #: Of a signal to which the taxonomy gives no weight: left out.
    UNWEIGHTED = "unweighted"
    #: No source of its topic takes the document: left out.
    UNMAPPED = "unmapped"
    #: A foreign event of a name that its preset does not know: left out.
    UNKNOWN_EVENT = "unknown_event"
    #: A foreign event that its preset knows, and that is no behaviour of ours: left out.
    NOT_OF_INTEREST = "not_of_interest"
    #: A refund, or an order that was cancelled or made as a test: left out.
    NOT_BOUGHT = "not_bought"
    #: A foreign event that its tool says a robot made: left out.
    ROBOT = "robot"
    #: One customer under two ids (``identify``, ``alias``): no event, kept apart.
    IDENTITY_LINK = "identity_link"
