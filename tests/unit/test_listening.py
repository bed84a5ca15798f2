"""Why an address can't be listened on: the host or the port."""

import errno
import socket

import pytest

from stream_persona.listening import explain_listening


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (OSError(errno.EADDRINUSE, "Address already in use"), "API_PORT"),
        (PermissionError(errno.EACCES, "Permission denied"), "API_PORT"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "API_HOST"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "API_HOST"),
        (UnicodeError("label empty or too long"), "API_HOST"),
    ],
)
def test_the_setting_that_is_wrong_is_named(error: Exception, setting: str) -> None:
    sentence = str(explain_listening(error, "API", "a", 80))
    assert sentence.startswith(f"STREAM_PERSONA_{setting}: can't listen on a:80 (")
    assert "; name " in sentence
