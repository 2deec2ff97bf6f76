"""Where does a secret lie, and what is it?

Keys and passwords of providers are named, not given: a reference is read when its secret is needed, and never shows it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from dripiq.domain.accounts import REFERENCE
from dripiq.domain.errors import ConfigurationError

_FORM = re.compile(REFERENCE, re.DOTALL)
_LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret lies: `env:NAME`, a variable of this process, or `file:PATH`, a file's text without space at its ends.

    It is read at each use, so that a secret may change under a running process; a reference may be stored, logged and shown.
    """

    kind: str
    place: str

    @classmethod
    def parse(cls, text: str) -> "SecretReference":
        """Raises ConfigurationError: `secret_reference`, without repeating the text, which may be the secret itself."""
        if len(text) > _LONGEST or _FORM.fullmatch(text) is None:
            raise ConfigurationError(
                "A secret is named, not given: write env:NAME for a variable, or file:PATH for a file.",
                code="secret_reference",
            )
        kind, _, place = text.partition(":")
        return cls(kind, place)

    def get_secret_value(self) -> str:
        """The secret. Raises ConfigurationError: `secret_missing`, where there is none."""
        try:
            value = os.environ.get(self.place, "") if self.kind == "env" else Path(self.place).read_text()
        except (OSError, ValueError):
            value = ""
        if not value.strip():
            raise ConfigurationError(
                f"There is no secret at {self}: set the variable, or write the file so that this process can read it.",
                code="secret_missing",
                facts={"reference": str(self)},
            )
        return value.strip()

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"


def _as_reference(value: object) -> object:
    try:
        return SecretReference.parse(value) if isinstance(value, str) else value
    except ConfigurationError as error:
        raise ValueError(error.message) from None


Reference = Annotated[SecretReference, BeforeValidator(_as_reference)]
"""A setting that names a secret."""
