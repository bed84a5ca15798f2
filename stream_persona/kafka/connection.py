"""How every client of the product connects to Kafka, and what it means when brokers refuse that.

``connection_options`` makes the options of aiokafka's consumers, producers and admin clients from
the settings, ``faust_credentials`` those of Faust's; nothing else in the package names a broker.

aiokafka logs why it could not connect and raises that it could not. So ``start`` asks once more
when a client cannot connect: a refused login or certificate is an error of its own, at once.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import faust
from aiokafka import errors as kafka
from aiokafka.client import collect_hosts
from aiokafka.conn import create_conn

from stream_persona.connection_settings import OAUTH
from stream_persona.errors import ConfigError, TopologyError, UnavailableError
from stream_persona.kafka.tokens import TokenProvider
from stream_persona.setting_forms import variable
from stream_persona.tls_files import make_context

if TYPE_CHECKING:
    from faust.auth import Credentials

    from stream_persona.settings import Settings

#: Seconds that one broker may take when it is asked why it cannot be reached.
_PATIENCE: Final = 5.0
