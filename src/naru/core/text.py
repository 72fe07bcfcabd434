"""How values that came from outside are shown in messages: bounded, printable, never able to forge a log line."""

from __future__ import annotations

SHOWN_CHARACTERS = 100


def shown(value: object) -> str:
    """``value`` as it goes into a message: a string quoted, escaped and cut to 100 characters; other JSON by its kind.

    Control bytes, invisible and direction-changing characters and lone surrogates are escaped, so that the result can
    always be encoded, and what a person reads is what was sent.
    """
    if isinstance(value, str):
        text = '"' + "".join(map(_printable, value[:SHOWN_CHARACTERS])) + '"'
        return text if len(value) <= SHOWN_CHARACTERS else f"{text}... ({len(value)} characters)"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return f"{value!r:.{SHOWN_CHARACTERS}}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def _printable(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
