"""Languages of the console: which one a browser gets, and its texts.

English is what the source says; Korean is in ``locale/ko``, a file for each family of pages, so that two who work on
different pages do not meet. The files are gettext's (``.po``, ``scripts/messages.py`` keeps them complete) and are read
as they are, once, when the console is first asked for: nothing has to be compiled, and there is nothing to forget.
"""

from __future__ import annotations

import ast
import gettext
import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = {"en": "English", "ko": "한국어"}
DEFAULT = "en"


def N_(text: str) -> str:
    """Marks a text of the source that ``scripts/messages.py`` collects."""
    return text


def pick(chosen: str | None, accepted: str | None) -> str:
    """What somebody chose, else the best of ``Accept-Language`` (RFC 9110 section 12.5.4), else English."""
    if chosen in LANGUAGES:
        return str(chosen)
    best, best_quality = DEFAULT, 0.0
    for part in (accepted or "").split(",")[:20]:
        tag, _, parameter = part.strip().partition(";")
        match = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", parameter) if parameter else None
        quality = float(match[1]) if match else 0.0 if parameter else 1.0
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and quality > best_quality:
            best, best_quality = language, quality
    return best


@dataclass(slots=True)
class Message:
    """An entry of a ``.po`` file. ``plural`` is the source's plural; ``texts`` has one translation a plural form."""

    source: str
    plural: str | None = None
    texts: list[str] = field(default_factory=list)
    fuzzy: bool = False


def read_po(text: str) -> Iterator[Message]:
    """The entries of a ``.po`` file; of its form what we write: no contexts. ``ValueError`` with the line it broke at.

    Source: GNU gettext manual, "The Format of PO Files".
    """
    message: Message | None = None
    where = ""
    fuzzy = False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901
        if not line or line.startswith("#"):
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
            continue
        match = re.fullmatch(r'(?:(msgid|msgid_plural|msgstr(?:\[\d\])?)\s+)?(".*")', line)
        if match is None:
            raise ValueError(f"line {number}: {line!r} is nothing that a .po file has here")
        keyword, value = match[1], str(ast.literal_eval(match[2]))
        if keyword == "msgid":
            if message is not None:
                yield message
            message, where = Message(value, fuzzy=fuzzy), "msgid"
            fuzzy = False
            continue
        if message is None:
            raise ValueError(f"line {number}: a text without a msgid before it")
        if keyword == "msgid_plural":
            message.plural, where = value, keyword
        elif keyword is not None:
            message.texts.append(value)
            where = "msgstr"
        elif where == "msgid":
            message.source += value
        elif where == "msgid_plural":
            message.plural = (message.plural or "") + value
        else:
            message.texts[-1] += value
    if message is not None:
        yield message


def compiled(messages: list[Message]) -> bytes:
    """The messages in the form that the standard library reads. Source: the manual, "The Format of MO Files"."""
    entries = []
    for one in messages:
        if all(one.texts) and one.texts:
            source = one.source if one.plural is None else f"{one.source}\0{one.plural}"
            entries.append((source.encode(), "\0".join(one.texts).encode()))
    entries.sort()
    count = len(entries)
    start = 28 + 16 * count
    sources: list[bytes] = []
    texts: list[bytes] = []
    data = b""
    for table, place in ((sources, 0), (texts, 1)):
        for entry in entries:
            table.append(struct.pack("<II", len(entry[place]), start + len(data)))
            data += entry[place] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, start)
    return head + b"".join(sources) + b"".join(texts) + data


HEADER = Message("", texts=["Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=1; plural=0;\n"])


def messages_of(language: str) -> list[Message]:
    """All entries of a language, from all of its files; a header of a file counts for nothing."""
    found = [HEADER]
    for path in sorted((LOCALE / language).glob("*.po")):
        found += [one for one in read_po(path.read_text(encoding="utf-8")) if one.source and not one.fuzzy]
    return found


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The texts of a language; English needs none."""
    if language == DEFAULT:
        return gettext.NullTranslations()
    return gettext.GNUTranslations(io.BytesIO(compiled(messages_of(language))))
