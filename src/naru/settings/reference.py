"""The page ``docs/reference/settings.md``, written from the options so that it cannot be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from naru.settings.options import CONFIG_FILE, CONFIG_VARIABLE, PREFIX, Settings


def reference() -> str:
    """The page ``docs/reference/settings.md``, in Markdown."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `make docs` from src/naru/settings/options.py: change it there. -->",
        "",
        "An option is taken from the first place that has it: a flag of the command line, an environment variable,",
        f"the TOML file that `{CONFIG_VARIABLE}` names (else `{CONFIG_FILE}` in the working folder), the default.",
        'The file has the names of the first column as keys, without sections: `public = "127.0.0.1:5000"`. A key',
        "that does not exist is an error, an unknown `NARU_` variable a warning. An empty variable counts as unset.",
        "Lists are written with commas; in the file, arrays work too. `naru check-config` tells what is wrong or",
        "doubtful.",
    ]
    group = ""
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, Mapping) and extra["group"] != group:
            group = str(extra["group"])
            lines += [
                "",
                f"## {group}",
                "",
                "| Option | Environment | Values | Default | Meaning |",
                "|---|---|---|---|---|",
            ]
        cells = (f"`{name}`", f"`{PREFIX}{name.upper()}`", _values(field), _default(field), str(field.description))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default is None or field.default == ():
        return "unset"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    if kind is bool:
        return "`true`, `false`"
    if kind is int:
        low = next(m.ge for m in field.metadata if hasattr(m, "ge"))
        high = next(m.le for m in field.metadata if hasattr(m, "le"))
        return f"{low} to {high}"
    choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if NoDecode in field.metadata:
        return "list"
    return "path" if kind is Path or Path in get_args(kind) else "secret" if SecretStr in get_args(kind) else "text"
