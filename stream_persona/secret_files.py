"""Secrets from files: ``STREAM_PERSONA_<SECRET>_FILE`` names one that holds the value.

So a secret can be mounted, as orchestrators do it, and stands in no environment. Nothing of a file,
nor its name (somebody may have written the secret itself there), is repeated in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic_settings import EnvSettingsSource, PydanticBaseSettingsSource

from stream_persona.errors import SettingsError
from stream_persona.setting_forms import name_variable

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

#: No secret is longer: another file was named.
_MOST_BYTES: Final = 65_536


class SecretMark:
    """Marks the fields that hold secrets: ``Annotated[str, SECRET]``."""


SECRET: Final = SecretMark()


def find_secrets(settings: type[BaseSettings]) -> list[str]:
    """Return the names of the fields that hold secrets."""
    fields = settings.model_fields.items()
    return [name for name, field in fields if SECRET in field.metadata]


def name_files(settings: type[BaseSettings]) -> list[str]:
    """Return the variables that name files of secrets."""
    return [name_variable(f"{name}_file") for name in find_secrets(settings)]


class SecretFiles(PydanticBaseSettingsSource):
    """The source of secrets in files; ``others`` are those that may name them, or hold them.

    Raises:
        SettingsError: a secret is given in two ways, or its file cannot be read.
    """

    def __init__(self, settings: type[BaseSettings], *others: PydanticBaseSettingsSource) -> None:
        super().__init__(settings)
        self._given: dict[str, str | None] = {}
        for source in reversed(others):
            if isinstance(source, EnvSettingsSource):
                self._given.update(source.env_vars)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Read the file of one field, if one is named."""
        del field  # its name is enough
        name = name_variable(f"{field_name}_file")
        path = self._given.get(name.lower())
        if not path:
            return None, field_name, False
        if self._given.get(name_variable(field_name).lower()):
            raise SettingsError(
                f"{name}: {name_variable(field_name)} is set as well; unset one of both"
            )
        return read_secret(name, path), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Read the files that are named."""
        fields: Mapping[str, FieldInfo] = self.settings_cls.model_fields
        read = {
            name: self.get_field_value(fields[name], name)[0]
            for name in find_secrets(self.settings_cls)
        }
        return {name: value for name, value in read.items() if value is not None}


def read_secret(name: str, path: str) -> str:
    """Return what a file holds, without the end of its line; ``name`` is the variable's.

    Raises:
        SettingsError: it cannot be read, or holds no text on a single line.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path may be no text that Path takes
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{name}: the file cannot be read ({error.strerror})") from None
    except ValueError:  # bytes that are no UTF-8, or a path with a NUL
        raise SettingsError(f"{name}: expected a file of UTF-8 text") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret or len(content) > _MOST_BYTES:
        raise SettingsError(f"{name}: expected a file with the secret alone, which is not empty")
    return secret
