from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from naru.core.digest import Digest
from naru.core.errors import DigestInvalid, NameInvalid, TagInvalid
from naru.core.names import RepositoryName, parse_reference, registry_name, tag_name

ALNUM = string.ascii_lowercase + string.digits


@pytest.mark.parametrize(
    ("text", "registry", "image"),
    [
        ("acme/app", "acme", "app"),
        ("a/b", "a", "b"),
        ("acme/team/app", "acme", "team/app"),
        ("a.b_c__d---e/0.1/x", "a.b_c__d---e", "0.1/x"),
        # Words of the API's paths are names like any other.
        ("blobs/uploads", "blobs", "uploads"),
        ("a/manifests/b", "a", "manifests/b"),
        ("a/" + "b" * 253, "a", "b" * 253),
    ],
)
def test_repository(text: str, registry: str, image: str) -> None:
    name = RepositoryName.parse(text)
    assert (name.registry, name.image) == (registry, image)
    assert str(name) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "a part between slashes is empty"),
        ("app", "must have at least two parts, registry/image"),
        ("/app", "a part between slashes is empty"),
        ("acme/", "a part between slashes is empty"),
        ("acme//app", "a part between slashes is empty"),
        ("acme/App", "upper-case letters are not allowed"),
        ("acme/app name", 'the character " " is not allowed'),
        ("acme/app\n", r'the character "\n" is not allowed'),
        ("acme/app\0", r'the character "\x00" is not allowed'),
        ("acme\\app", r'the character "\\" is not allowed'),
        ("acme/%2e%2e", 'the character "%" is not allowed'),
        ("acme/app:1", 'the character ":" is not allowed'),
        ("acme/\N{FULLWIDTH LATIN SMALL LETTER A}pp", "is not allowed"),
        ("acme/\N{CYRILLIC SMALL LETTER A}pp", "is not allowed"),
        ("acme/app\N{ARABIC-INDIC DIGIT ONE}", "is not allowed"),
        ("acme/\udcff", r'the character "\udcff" is not allowed'),
        ("acme/..", 'the part ".." must start and end with a letter or digit'),
        ("acme/../etc", 'the part ".." must start'),
        ("_catalog/app", 'the part "_catalog" must start'),
        ("acme/-app", 'the part "-app" must start'),
        ("acme/app-", 'the part "app-" must start'),
        ("acme/a..b", 'the part "a..b" must start'),
        ("acme/a___b", 'the part "a___b" must start'),
        ("acme/a._b", 'the part "a._b" must start'),
        ("acme/a-_b", 'the part "a-_b" must start'),
        ("a/" + "b" * 254, "too long: 256 characters, at most 255"),
        ("a/" * 50_000 + "b", "too long: 100001 characters"),
    ],
)
def test_repository_refused(text: str, rule: str) -> None:
    with pytest.raises(NameInvalid) as caught:
        RepositoryName.parse(text)
    assert rule in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    assert (caught.value.code, caught.value.status) == ("NAME_INVALID", 400)


def test_host_counts_in_the_length() -> None:
    host = "registry.example.org:5000"
    room = 255 - len(host) - 1
    name = "a/" + "b" * (room - 2)
    assert str(RepositoryName.parse(name, host)) == name
    with pytest.raises(NameInvalid, match=r"256 characters together with the address \"registry.example.org:5000\""):
        RepositoryName.parse(name + "b", host)
    assert RepositoryName.parse(name + "b").registry == "a"


def test_a_refusal_is_not_remembered_as_a_success() -> None:
    for _ in range(3):
        with pytest.raises(NameInvalid):
            RepositoryName.parse("Acme/app")


def is_component(text: str) -> bool:
    """The grammar of the spec, written as an automaton instead of an expression."""
    separator = ""
    seen = False
    for character in text:
        if character in ALNUM:
            if separator and not (separator in {".", "_", "__"} or set(separator) == {"-"}):
                return False
            separator, seen = "", True
        elif not seen:
            return False
        else:
            separator += character
    return seen and not separator


@given(st.text("aZ09._-/ ", max_size=12) | st.text("a0_-.", min_size=1, max_size=8).map(lambda text: f"a/{text}"))
@example("a/b")
@example("a/b.c__d--e")
def test_repository_grammar(text: str) -> None:
    parts = text.split("/")
    expected = len(parts) >= 2 and all(is_component(part) for part in parts)
    try:
        name = RepositoryName.parse(text)
    except NameInvalid:
        assert not expected
    else:
        assert expected
        assert str(name) == text
        assert RepositoryName(name.registry, name.image) == name


@given(st.text(st.characters()), st.text(max_size=300))
def test_any_text_is_a_name_or_name_invalid(text: str, host: str) -> None:
    for parse in (lambda: RepositoryName.parse(text, host), lambda: registry_name(text)):
        try:
            parse()
        except NameInvalid as error:
            error.message.encode()


@pytest.mark.parametrize("text", ["a", "0", "acme", "a.b", "a_b", "a-b", "a-b.c_d", "a" * 255])
def test_registry(text: str) -> None:
    assert registry_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a b",
        "a/b",
        "-a",
        "a-",
        ".",
        "..",
        "a..b",
        "a__b",
        "a--b",
        "a-_b",
        "a\n",
        "\N{FULLWIDTH LATIN SMALL LETTER A}",
        "\x00",
        "a" * 256,
    ],
)
def test_registry_refused(text: str) -> None:
    with pytest.raises(NameInvalid, match="the registry name") as caught:
        registry_name(text)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("text", ["latest", "1", "_", "_x", "V1.0-rc.1", "A", "a" * 128, "sha256-abc.sig"])
def test_tag(text: str) -> None:
    assert tag_name(text) == text
    assert parse_reference(text) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "starts with a letter"),
        (".", "starts with a letter"),
        ("-a", "starts with a letter"),
        ("..", "starts with a letter"),
        ("a b", "it is made of letters"),
        ("a/b", "it is made of letters"),
        ("a+b", "it is made of letters"),
        ("a\n", r'the tag "a\n" is invalid'),
        ("\0", r'the tag "\x00" is invalid'),
        ("é", "it is made of letters"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "it is made of letters"),
        ("a" * 129, "129 characters, at most 128"),
        ("é" * 65_536, "65536 characters, at most 128"),
    ],
)
def test_tag_refused(text: str, rule: str) -> None:
    with pytest.raises(TagInvalid) as caught:
        tag_name(text)
    assert rule in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    with pytest.raises(TagInvalid):
        parse_reference(text)


TAG_START = string.ascii_letters + string.digits + "_"


@given(st.text("aZ0._-/ é\n", max_size=6) | st.text(st.characters()))
def test_tag_grammar(text: str) -> None:
    expected = 1 <= len(text) <= 128 and text[0] in TAG_START and all(char in TAG_START + ".-" for char in text)
    try:
        assert tag_name(text) == text
    except TagInvalid:
        assert not expected
    else:
        assert expected


def test_reference_is_a_digest_when_it_has_a_colon() -> None:
    digest = Digest.of(b"")
    assert parse_reference(str(digest)) == digest
    with pytest.raises(DigestInvalid):
        parse_reference("sha256:baddigeststring")
    with pytest.raises(DigestInvalid):
        parse_reference("1.0:")
