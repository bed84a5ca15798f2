"""How pytest-xdist shares the tests out among its processes."""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

#: Files with tests that put a proxy before the run's Kafka, which one test at a time may do.
_BEHIND_A_PROXY: Final = (
    "tests/integration/test_api_outages.py",
    "tests/integration/test_tail_callers.py",
)
#: Folders whose files share what takes long to start.
_TOGETHER: Final = (
    "tests/browser/",
    "tests/integration/secured/",
    "tests/integration/faults_kafka/",
)


class FileScheduling(LoadScopeScheduling):
    """Runs the tests of a file in one process, in their order, and those of some folders in one.

    So fixtures of a module are made once, and one browser has one shop to look at.
    Files start in the order of collection (with ``--no-loadscope-reorder``): first the browser's,
    which take longest, last the many short ones of ``tests/unit``, which even out the end.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path in _BEHIND_A_PROXY:
            return "a proxy before Kafka"
        return next((each for each in _TOGETHER if path.startswith(each)), path)
