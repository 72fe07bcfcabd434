"""Languages: no text is missing, none is written where it cannot be translated; which one a browser gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from naru.core import errors
from naru.core.errors import NaruError
from naru.core.permissions import Role
from naru.web.console import formats, refusals
from naru.web.console.cleanup_runs import REASONS
from naru.web.console.language import LANGUAGES, LOCALE, N_, compiled, messages_of, pick, read_po, translations
from naru.web.console.templates import FOLDER
from scripts.messages import files, texts, written

TEMPLATES = sorted(FOLDER.rglob("*.html"))
#: Words that are the same in every language: names, and what the guide writes in English.
NAMES = frozenset({"Naru", "Public URI", "Private URI", "Appkey", "API", "CSV", "JSON"})
#: Attributes that people read.
READ = r"(?:aria-label|title|placeholder|alt|data-rule|data-copied|data-not-copied|data-offline)"


def test_every_text_is_translated_and_no_translation_is_left_over() -> None:
    """``scripts/messages.py`` brings the files to where this holds."""
    for language in LANGUAGES:
        if language == "en":
            continue
        for path, messages in files(language).items():
            assert path.exists(), path
            assert path.read_text(encoding="utf-8") == written(messages), f"run scripts/messages.py: {path.name}"
            missing = [one.source for one in messages if not all(one.texts)]
            assert missing == [], path.name
    assert len(texts()) > 300


def test_translations_have_the_same_places() -> None:
    places = re.compile(r"%\(\w+\)s|\{\w+\}|%%")
    wrong = []
    for language in LANGUAGES:
        for one in messages_of(language) if language != "en" else ():
            expected = sorted(places.findall(one.plural or one.source))
            wrong += [one.source for text in one.texts if one.source and sorted(places.findall(text)) != expected]
    assert wrong == []


def test_korean_texts_are_korean() -> None:
    same = {one.source for one in messages_of("ko") if one.texts == [one.source]}
    assert same == set()


# Nothing is written into a template past the translation.


def words_outside(template: str) -> list[str]:
    """Words of a template that are neither tags nor Jinja's."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", template, flags=re.DOTALL)
    text = re.sub(r"<title>.*?</title>|<(svg|script)\b.*?</\1>|<[^>]*>", "|", text, flags=re.DOTALL)
    return [part.strip() for part in text.split("|") if re.search(r"[A-Za-z가-힣]", part) and part.strip() not in NAMES]


def attributes_outside(template: str) -> list[str]:
    return [found[0] for found in re.finditer(rf'\b{READ}="(?!\{{\{{|\{{%)[^"]*[A-Za-z][^"]*"', template)]


def constants(template: str) -> Iterator[str]:
    """Texts between quotes that go to a macro and are not translated: with a blank, or with a capital."""
    tree = Environment(extensions=["jinja2.ext.i18n"]).parse(template)
    translated = {
        id(one)
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in {"_", "ngettext"}
        for one in call.find_all(nodes.Const)
    }
    commands = ("docker ", "cosign ", "naru ", " --", "small ")
    for call in tree.find_all(nodes.Call):
        for one in call.find_all(nodes.Const):
            value = one.value
            if id(one) in translated or not isinstance(value, str) or value in NAMES or value.startswith(commands):
                continue
            if re.search(r"[A-Za-z가-힣]", value) and (" " in value.strip() or value[:1].isupper()):
                yield value


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_text_is_written_into_a_template(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert words_outside(text) == []
    assert attributes_outside(text) == []
    assert list(constants(text)) == []


def test_texts_in_templates_are_found() -> None:
    assert words_outside("<p>Hello</p>{{ _('fine') }}<b>{# x #}</b><i>API</i>") == ["Hello"]
    assert attributes_outside('<a title="Hello"><a title="{{ x }}"><a href="x">') == ['title="Hello"']
    assert list(constants("{{ ui.field('name', 'Your name') }}{{ ui.field('name', _('Your name')) }}")) == ["Your name"]


# Which language.


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        (None, None, "en"),
        (None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, "en-US,en;q=0.9,ko;q=0.8", "en"),
        (None, "fr-FR, ko;q=0.5", "ko"),
        (None, "fr", "en"),
        (None, "ko;q=0, en;q=0.1", "en"),
        (None, "ko;q=nan, x;;;=, *;q=2", "en"),
        ("ko", "en", "ko"),
        ("en", "ko", "en"),
        ("xx", "ko", "ko"),
    ],
)
def test_the_language_of_a_browser(chosen: str | None, accepted: str | None, expected: str) -> None:
    assert pick(chosen, accepted) == expected


def test_po_files_are_read() -> None:
    text = '# c\nmsgid ""\nmsgstr "x"\n\nmsgid "a "\n"b\\n"\nmsgstr "A"\n\n'
    text += 'msgid "one"\nmsgid_plural "many"\nmsgstr[0] "두"\n'
    head, first, second = read_po(text)
    assert (first.source, first.texts) == ("a b\n", ["A"])
    assert (second.plural, second.texts) == ("many", ["두"])
    assert compiled([head, first, second])
    with pytest.raises(ValueError, match="line 2"):
        list(read_po('msgid "a"\nnonsense'))


def test_what_is_not_translated_is_shown_as_it_is() -> None:
    assert translations("ko").gettext("no such text") == "no such text"
    assert translations("en").ngettext("%(num)s day", "%(num)s days", 2) == "%(num)s days"
    assert translations("ko").ngettext("%(num)s day", "%(num)s days", 2) == "%(num)s일"
    assert LOCALE.is_dir()
    assert N_("x") == "x"


# Numbers, sizes, times.


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (57_464_288, "57.5 MB"),
        (999_400, "999 kB"),
        (999_500, "1.0 MB"),
        (2**63, "9.2 EB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    assert formats.size(count) == expected


NOW = 1_790_000_000_000_000


@pytest.mark.parametrize(
    ("seconds", "english", "korean"),
    [
        (5, "just now", "방금 전"),
        (60, "1 minute ago", "1분 전"),
        (7200, "2 hours ago", "2시간 전"),
        (86_400, "1 day ago", "1일 전"),
        (90 * 86_400, "Jun 23, 2026, 14:13", "2026. 06. 23. 14:13"),
        (-3600, "Sep 21, 2026, 15:13", "2026. 09. 21. 15:13"),
    ],
)
def test_times(seconds: int, english: str, korean: str) -> None:
    for language, expected in (("en", english), ("ko", korean)):
        shown = formats.when(NOW - seconds * 1_000_000, NOW, language, translations(language))
        assert f">{expected}</time>" in shown
        assert 'datetime="20' in shown


# Refusals.


#: Sentences that the services put together from parts.
COMPOSED = {
    "image '{name}' has no artifact {reference}",
    "image '{name}' has no tag '{tag}'",
    "the tag {tag} is invalid: it is made of letters A-Z a-z, digits, '_', '.' and '-', and starts with a letter, a "
    "digit or '_'",
    "there is a project with this name already; choose another one",
    "write numbers from {first} to {last} or names ({name}, ...) and {signs}",
    "write numbers from {first} to {last} and {signs}",
    "no policy is about what has no tag",
}


def test_the_sentences_of_the_services_are_known() -> None:
    """Those that the services raise: a sentence that is changed there and not here would be told in English."""
    ours = {"refusals.py", "cleanup_runs.py"}
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in (LOCALE.parents[2]).rglob("*.py") if path.name not in ours
    )
    flat = re.sub(r'"\s*\n\s*f?"', "", source)
    unknown = []
    for message in (*refusals.MESSAGES, *REASONS):
        longest = max(re.split(r"\{\w+\}|'|\"", message), key=len).strip()
        if longest not in flat and message not in COMPOSED:
            unknown.append(message)
    assert unknown == []


def test_no_refusal_is_told_as_a_failure_of_the_server() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, NaruError):
            told = refusals.explain(kind("why"), translations("en"))
            assert (told.title == "The server failed") is (kind is NaruError), kind


def test_a_value_with_braces_is_told_as_it_is() -> None:
    text = refusals.told("there is a registry '{name}{0}' already; choose another name", translations("ko"))
    assert "'{name}{0}'" in text
    assert "이미 있습니다" in text


def test_every_role_has_a_name() -> None:
    macros = (FOLDER / "macros.html").read_text(encoding="utf-8")
    assert all(macros.count(f"'{role}'") == 2 for role in Role)
