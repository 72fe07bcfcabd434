"""Keep the translations of the console complete: collect its texts into ``locale/*/*.po``, a file a family of pages.

What is new is added without a translation, what nobody asks for any more is removed, the rest stays as it is; texts of
the frame, and those that several families have, are in ``console.po``. Says what is still to be translated.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment

from naru.web.console.language import DEFAULT, LANGUAGES, LOCALE, Message, read_po

CONSOLE = LOCALE.parent
COMMON = "console"
MARKS = frozenset({"N_", "_", "gettext", "ngettext"})


class Text(NamedTuple):
    source: str
    plural: str | None


def texts() -> dict[Text, set[str]]:
    """Every text of the console, with the families that have it."""
    found: dict[Text, set[str]] = {}
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    for path in sorted((CONSOLE / "templates").rglob("*.html")):
        family = path.parent.name if path.parent.name != "templates" else COMMON
        for text in of_template(environment, path.read_text(encoding="utf-8")):
            found.setdefault(text, set()).add(family)
    families = {path.parent.name for path in (CONSOLE / "templates").rglob("*/*.html")}
    for path in sorted(CONSOLE.rglob("*.py")):
        family = path.stem if path.stem in families else COMMON
        for text in of_source(path.read_text(encoding="utf-8")):
            found.setdefault(text, set()).add(family)
    return found


def of_template(environment: Environment, template: str) -> Iterator[Text]:
    for _line, _function, message in environment.extract_translations(template):  # type: ignore[attr-defined]
        parts = [one for one in (message if isinstance(message, tuple) else (message,)) if one is not None]
        if parts:  # else what is translated is no constant: marked where it is written
            yield Text(parts[0], parts[1] if len(parts) > 1 else None)


def of_source(source: str) -> Iterator[Text]:
    """What is marked by ``N_`` and its like; two marks that are used as singular and plural stand side by side."""
    tree = ast.parse(source)
    pairs: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.Call):
            parts = node.elts if isinstance(node, ast.Tuple) else node.args
            marked = [one for one in parts if marked_text(one) is not None]
            if len(marked) == 2 and "%(num)s" in (marked_text(marked[0]) or ""):
                pairs |= {id(one) for one in marked}
                yield Text(marked_text(marked[0]) or "", marked_text(marked[1]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in pairs:
            text = marked_text(node)
            if text is not None:
                yield Text(text, None)


def marked_text(node: ast.AST) -> str | None:
    is_mark = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS
    if isinstance(node, ast.Call) and is_mark and node.args and isinstance(node.args[0], ast.Constant):
        value = node.args[0].value
        return value if isinstance(value, str) else None
    return None


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def written(messages: list[Message]) -> str:
    """The text of a ``.po`` file."""
    lines = [
        "# Texts of the console. scripts/messages.py keeps this file complete; translations are written by hand.",
        'msgid ""',
        'msgstr "Content-Type: text/plain; charset=UTF-8\\n"',
    ]
    for one in messages:
        lines += ["", f"msgid {quoted(one.source)}"]
        if one.plural is None:
            lines.append(f"msgstr {quoted(one.texts[0])}")
        else:
            lines.append(f"msgid_plural {quoted(one.plural)}")
            lines += [f"msgstr[{place}] {quoted(text)}" for place, text in enumerate(one.texts)]
    return "\n".join(lines) + "\n"


def files(language: str) -> dict[Path, list[Message]]:
    """What every file of the language should hold."""
    folder = LOCALE / language
    kept: dict[Text, list[str]] = {}
    for path in sorted(folder.glob("*.po")):
        for one in read_po(path.read_text(encoding="utf-8")):
            known = kept.get(Text(one.source, one.plural))
            if known is None or not any(known):
                kept[Text(one.source, one.plural)] = one.texts
    found: dict[Path, list[Message]] = {}
    for text, families in texts().items():
        family = next(iter(families)) if len(families) == 1 else COMMON
        message = Message(text.source, text.plural, kept.get(text) or [""])
        found.setdefault(folder / f"{family}.po", []).append(message)
    for messages in found.values():
        messages.sort(key=lambda one: one.source.lower())
    return found


def main() -> None:
    missing = 0
    for language in LANGUAGES:
        if language == DEFAULT:
            continue
        wanted = files(language)
        (LOCALE / language).mkdir(parents=True, exist_ok=True)
        for path in (LOCALE / language).glob("*.po"):
            if path not in wanted:
                path.unlink()
        for path, messages in wanted.items():
            path.write_text(written(messages), encoding="utf-8")
            for one in messages:
                if not all(one.texts):
                    missing += 1
                    print(f"{path.relative_to(LOCALE)}: {one.source}")
    sys.exit(f"{missing} texts have no translation" if missing else None)


if __name__ == "__main__":
    main()
