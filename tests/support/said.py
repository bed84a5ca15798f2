"""Names of before, for tests that are still to be changed: see the modules imported here."""

# ruff: noqa: F401
# mypy: implicit-reexport
from tests.support.public_records import Json, change, message, posterior, record
from tests.support.public_records import assigned_posterior as told
from tests.support.reports import model_status as judged
from tests.support.reports import report
