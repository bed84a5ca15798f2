"""The limit of files that a process may open: connections are open files."""

from __future__ import annotations

import logging
import resource
from contextlib import suppress
from typing import Final

logger = logging.getLogger(__name__)

#: More than any process of ours has use for; some systems know no upper limit.
_ENOUGH: Final = 65_536


def raise_open_files() -> None:
    """Raise the soft limit of open files to the hard one: many systems start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # the system has a lower one of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            logger.debug("may open %d files, not %d", wanted, soft)
