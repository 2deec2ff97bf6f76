"""What does this process's environment set?

Every setting is a variable `DRIPIQ_…`, checked once at the start. No value is ever repeated: it may be a secret.
"""

import os
from typing import Any

from pydantic import ValidationError

from dripiq.config.settings import Settings
from dripiq.domain.errors import ConfigurationError
from dripiq.domain.setting_faults import say_setting


def unknown_settings() -> list[str]:
    """The variables of this process that are named as settings are, and are none, nor the place of another's secret."""
    known = {f"DRIPIQ_{name}".upper() for name in Settings.model_fields}
    known |= {value.removeprefix("env:") for value in os.environ.values() if value.startswith("env:")}
    return sorted(name for name in os.environ if name.startswith("DRIPIQ_") and name not in known)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; `overrides` (a command's options) go before it.

    Raises:
        ConfigurationError: naming each variable that is wrong and why, without repeating values (one may be a secret).
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        faults = [
            say_setting(fault["loc"], fault["type"], fault.get("ctx", {}))
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(
            f"The settings are not right: {'; '.join(faults)}.", facts={"faults": faults}
        ) from None
