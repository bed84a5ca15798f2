"""Descriptors of deployments, and taxonomies that disagree with theirs."""

from typing import Any, Final

from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.settings import Settings
from stream_persona.store.deployment import Deployment
from tests.support.events import shop

SETTINGS: Final = Settings(_env_file=None)
SHOP: Final = shop()
#: The same shop with another rule for naming: another version, and the same records.
CHANGED: Final = shop(policy={"min_confidence": 0.9})
#: The same shop with another half-life: other records.
SLOWER: Final = shop(features={"half_life_days": 365.0})
#: The ids of two deployments.
OURS: Final = "0123456789abcdef"
THEIRS: Final = "fedcba9876543210"


def descriptor(taxonomy: Taxonomy = SHOP, identity: str = OURS, **changed: Any) -> bytes:
    """The descriptor that a worker with these settings and this taxonomy makes."""
    settings = SETTINGS.model_copy(update=changed)
    return Deployment.of(settings, taxonomy, identity).encode()
