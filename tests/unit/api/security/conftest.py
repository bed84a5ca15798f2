"""The door that tests of it share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from tests.support.doors import MASTER, Door


@pytest.fixture
def door() -> Door:
    return Door(api_keys=MASTER)


@pytest.fixture(scope="module")
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One authority in place of the world's: they are read for each client that is made."""
    file = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield
