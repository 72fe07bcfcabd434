"""How options are read from flags, environment and file, and what is said of those that are wrong."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

from naru.settings.options import Finding, Settings, SettingsError, is_secret


def load(**flags: Any) -> Settings:
    """Read flags (None: not given), environment, file. ``SettingsError`` lists every fault with value, rule, cure."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(tuple(_explain(dict(fault)) for fault in error.errors(include_url=False))) from None


def _explain(fault: dict[str, Any]) -> Finding:
    name = str(fault["loc"][0]) if fault["loc"] else ""
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "docs/reference/settings.md lists those that exist"
        return Finding("error", name, f"there is no such setting; {hint}")
    if fault["type"] != "value_error" and not is_secret(name) and Settings.model_fields[name].repr:
        message = f"{fault['input']!r}: {message}; {Settings.model_fields[name].description}"
    return Finding("error", name, message)
