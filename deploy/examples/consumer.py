"""A downstream consumer: one line for each change of a shopper's persona.

It begins with the last known change of every shopper, and prints a change that Kafka delivers
twice once. Ctrl-C ends it.
"""  # noqa: INP001 - an example is run where it lies, it is no package

import os
from contextlib import suppress

from stream_persona.client import PersonaClient

BROKERS = os.environ.get("STREAM_PERSONA_BROKERS", "localhost:9092")
TOPIC = os.environ.get("STREAM_PERSONA_TOPIC_CHANGES", "persona-changes")

if __name__ == "__main__":
    with suppress(KeyboardInterrupt), PersonaClient() as personas:
        for change in personas.watch(BROKERS, TOPIC, from_beginning=True):
            named = f"{change.previous} -> {change.persona} ({change.cause})"
            line = f"{change.customer_id}: {'forgotten' if change.deleted else named}"
            print(line, flush=True)  # noqa: T201 - printing is what it is for
