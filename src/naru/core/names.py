"""Names of registries, images and tags: OCI distribution spec, "Pulling manifests"; NHN Container Registry's limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from naru.core.digest import Digest
from naru.core.errors import NameInvalid, TagInvalid
from naru.core.text import shown

MAX_NAME = 255  # characters of a registry's name, and of "host/registry/image" together
MAX_TAG = 128

# Each separator must be followed by a letter or digit, so there is one way to match and the time is linear.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*"
_component = re.compile(_COMPONENT).fullmatch
_repository = re.compile(f"({_COMPONENT})/({_COMPONENT}(?:/{_COMPONENT})*)").fullmatch
#: The whole name fits these; they mean the same to Python and to browsers.
REGISTRY_PATTERN = "[a-z0-9]+(?:[._\\-][a-z0-9]+)*"
TAG_PATTERN = f"[A-Za-z0-9_][A-Za-z0-9._\\-]{{0,{MAX_TAG - 1}}}"
_registry = re.compile(REGISTRY_PATTERN).fullmatch
_tag = re.compile(TAG_PATTERN).fullmatch
_bad_character = re.compile("[^a-z0-9._/-]").search


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """``registry/image``, the ``<name>`` of the distribution API. The image may have slashes of its own.

    Made by ``parse``; the plain constructor trusts its caller (rows of ours).
    """

    registry: str
    image: str

    @classmethod
    def parse(cls, text: str, host: str = "") -> RepositoryName:
        """``text`` as a name; ``NameInvalid`` says which rule it breaks. ``host`` is what the client writes before it.

        The 255 characters count host, slash and name together, because clients refuse a longer reference.
        """
        return _parse_repository(text, host)

    def __str__(self) -> str:
        return f"{self.registry}/{self.image}"


@lru_cache(maxsize=4096)  # what is refused raises and is never kept: an entry is at most 255 characters
def _parse_repository(text: str, host: str) -> RepositoryName:
    taken = len(host) + 1 if host else 0
    if taken + len(text) > MAX_NAME:
        with_host = f" together with the address {shown(host)} and a slash" if host else ""
        raise NameInvalid(
            f"the repository name {shown(text)} is too long: {taken + len(text)} characters{with_host}, "
            f"at most {MAX_NAME} are allowed"
        )
    match = _repository(text)
    if match is None:
        raise NameInvalid(f"the repository name {shown(text)} is invalid: {_broken_rule(text)}")
    return RepositoryName(match[1], match[2])


def registry_name(text: str) -> str:
    """``text`` when a registry may be called so, else ``NameInvalid``.

    Stricter than a part of a repository name: separators stand alone (``a__b`` and ``a--b`` are refused), as in Harbor,
    so that names move between the two.
    """
    if len(text) > MAX_NAME:
        raise NameInvalid(
            f"the registry name {shown(text)} is too long: {len(text)} characters, at most {MAX_NAME} are allowed"
        )
    if _registry(text) is None:
        raise NameInvalid(
            f"the registry name {shown(text)} is invalid: it is made of lower-case letters a-z and digits, with single "
            "'.', '_' or '-' between them; it starts and ends with a letter or digit"
        )
    return text


def tag_name(text: str) -> str:
    """``text`` when it is a tag, else ``TagInvalid``."""
    if _tag(text) is None:
        why = f"{len(text)} characters, at most {MAX_TAG} are allowed" if len(text) > MAX_TAG else _TAG_RULE
        raise TagInvalid(f"the tag {shown(text)} is invalid: {why}")
    return text


_TAG_RULE = "it is made of letters A-Z a-z, digits, '_', '.' and '-', and starts with a letter, a digit or '_'"


def parse_reference(text: str) -> Digest | str:
    """What ``/manifests/<reference>`` names: a digest when it has a colon, which no tag has, else a tag.

    ``DigestInvalid`` or ``TagInvalid``.
    """
    return Digest.parse(text) if ":" in text else tag_name(text)


def _broken_rule(text: str) -> str:
    if text.lower() != text and text.isascii():
        return "upper-case letters are not allowed"
    bad = _bad_character(text)
    if bad is not None:
        return f"the character {shown(bad[0])} is not allowed, only a-z, 0-9, '.', '_', '-' and '/'"
    parts = text.split("/")
    if "" in parts:
        return "a part between slashes is empty"
    for part in parts:
        if _component(part) is None:
            return (
                f"the part {shown(part)} must start and end with a letter or digit, and have only '.', '_', '__' or "
                "a run of '-' between them"
            )
    return "it must have at least two parts, registry/image"
