"""``stream-persona worker``, but that it looks for new partitions every second, not every thirty.

``python tests/support/attentive_worker.py``: settings come from the environment.
"""

from typing import Any

from stream_persona import settings
from stream_persona.cli import services
from stream_persona.domain import taxonomy
from stream_persona.kafka.faust_app import make_faust_options
from stream_persona.settings import Settings
from stream_persona.worker import app

AGE = "consumer_metadata_max_age_ms"


def attentive(own: Settings) -> dict[str, Any]:
    options = make_faust_options(own)
    assert options[AGE] == 30_000
    return {**options, AGE: 1_000}


def main() -> None:
    app.make_faust_options = attentive
    own = settings.load_settings()
    services.run_worker(own, taxonomy.load(own.taxonomy))


if __name__ == "__main__":
    main()
