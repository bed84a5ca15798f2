"""Sends the labels of a file that was looked through."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from stream_persona.domain.events import encode
from stream_persona.kafka.sender import (
    FileSender,
    Note,
    Outgoing,
    Pace,
    SendCounts,
    check_topics,
    find_command,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.ingestion.label_file import LabelFile
    from stream_persona.settings import Settings


async def send_labels(
    settings: Settings,
    file: LabelFile,
    receipt: SendCounts,
    advance: Callable[[int], None],
    note: Note,
) -> None:
    """Send all good labels of a file; ``receipt`` is right also when this raises.

    ``note`` is called for each that was sent.

    Raises:
        InputError: the file was changed since it was looked through.
        TopologyError: the topic is missing, or of another size.
        UnavailableError: the broker did not confirm all.
    """
    topic, pace = settings.topic_assignments, Pace(0)
    await check_topics(settings, [topic])
    messages = (
        Outgoing(
            topic, label.event.customer_id, encode(label.event), label.line,
            command=find_command(label.event),
        )
        for label in file.read_good()
    )  # fmt: skip
    async with FileSender(settings, pace, note) as sender:
        while chunk := list(islice(messages, pace.chunk)):
            await sender.send(chunk, receipt)
            advance(len(chunk))
