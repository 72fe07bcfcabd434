"""Every option of Naru: name, type, default, limits, help, and whether it is safe here.

An option comes from, first match wins: a command-line flag, the environment (``NARU_`` and the name in capitals), a
TOML file (the one that ``NARU_CONFIG`` names, else ``naru.toml`` in the working folder), the default. ``load`` reads
them, ``check`` judges them against this machine, ``reference`` writes the page ``docs/reference/settings.md``.
"""

from naru.settings.check import check
from naru.settings.loading import load
from naru.settings.options import Finding, Settings, SettingsError, is_secret, variables
from naru.settings.reference import reference
from naru.settings.values import is_loopback, parse_address

__all__ = [
    "Finding",
    "Settings",
    "SettingsError",
    "check",
    "is_loopback",
    "is_secret",
    "load",
    "parse_address",
    "reference",
    "variables",
]
