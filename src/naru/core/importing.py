"""What is copied from another registry, and what such a registry has to answer. The adapter is ``remotes.oci``.

Sources: OCI distribution spec, "Pulling", "Content Discovery", "Referrers Tag Schema"; Docker's token authentication
(``WWW-Authenticate``, RFC 7235 section 4.1) and its catalogue; RFC 8288 (``Link``).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from naru.core.digest import Digest
from naru.core.errors import BadRequest, NameInvalid
from naru.core.manifest import Descriptor
from naru.core.names import RepositoryName
from naru.core.patterns import compiled

_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)\s+(?=[A-Za-z][A-Za-z0-9_-]*\s*=)", re.ASCII)
_PARAMETER = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))', re.ASCII)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.ASCII)
_LINK = re.compile(r"<([^<>\s]{1,2048})>([^<]{0,512})", re.ASCII)
_NEXT = re.compile(r';\s*rel\s*=\s*"?next"?\s*(?:[;,]|$)', re.ASCII | re.IGNORECASE)
#: What makes a name a pattern, see ``core.patterns``.
_PATTERN = re.compile(r"[*?\[\]{},!^\\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest at the source: its bytes as they came, whose digest is ``digest`` (computed, not believed)."""

    digest: Digest
    media_type: str | None  # None: the source gave none that says anything
    body: bytes


class Source(Protocol):
    """A registry that is read. Errors of every method: ``Denied`` (it refuses), ``NotFound``, ``OutboundError`` (it
    cannot be reached, or what it says is nonsense), after as many attempts as make sense."""

    def repositories(self) -> AsyncGenerator[str, None]:
        """The names of its catalogue."""
        ...

    def tags(self, repository: str) -> AsyncGenerator[str, None]: ...

    async def head(self, repository: str, tag: str) -> Digest | None:
        """What the tag names, as far as the source tells without sending it."""
        ...

    async def manifest(self, repository: str, reference: Digest | str) -> FoundManifest:
        """At most 4 MiB; one that was asked for by digest has that digest."""
        ...

    def blob(self, repository: str, digest: Digest, size: int) -> AsyncGenerator[bytes, None]:
        """Exactly ``size`` bytes, or an error; their digest is for the caller to check."""
        ...

    async def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...] | None:
        """What names the manifest as its subject; None when the source has no such list."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be copied, and to where.

    ``repositories`` are names or patterns (``core.patterns``); none: everything in the source's catalogue. ``strip`` is
    taken off the beginning of a repository's name. ``into`` is a registry here; None: the name's first part is.
    """

    repositories: tuple[str, ...] = ()
    exclude: str | None = None
    tags: str | None = None
    exclude_tags: str | None = None
    strip: str = ""
    into: str | None = None
    create: bool = False  # registries that do not exist
    referrers: bool = True  # signatures, SBOMs and what else names an image as its subject
    jobs: int = 4  # tags, and blobs, on their way at once

    @property
    def names(self) -> tuple[str, ...]:
        """Those of ``repositories`` that are no patterns: they need no catalogue."""
        return tuple(name for name in self.repositories if not _PATTERN.search(name))

    @property
    def patterns(self) -> tuple[str, ...]:
        return tuple(name for name in self.repositories if _PATTERN.search(name))

    @property
    def needs_catalogue(self) -> bool:
        return not self.repositories or bool(self.patterns)

    def takes(self, repository: str) -> bool:
        """Whether a repository of the catalogue is wanted."""
        if self.exclude and compiled(self.exclude).matches(repository):
            return False
        return not self.repositories or any(compiled(one).matches(repository) for one in self.patterns)

    def takes_tag(self, tag: str) -> bool:
        if self.exclude_tags and compiled(self.exclude_tags).matches(tag):
            return False
        return not self.tags or compiled(self.tags).matches(tag)

    def target(self, repository: str) -> RepositoryName:
        """Its name here. ``NameInvalid``."""
        rest = repository.removeprefix(self.strip).strip("/")
        if self.into is None and "/" not in rest:
            raise NameInvalid(
                f"'{rest}' has no part before a slash that could be a registry here: give --into REGISTRY"
            )
        return RepositoryName.parse(f"{self.into}/{rest}" if self.into is not None else rest)

    def check(self) -> None:
        """``BadRequest`` for a pattern that is none."""
        for pattern in (*self.patterns, self.exclude, self.tags, self.exclude_tags):
            if pattern:
                compiled(pattern)


def challenges(values: Iterable[str]) -> dict[str, dict[str, str]]:
    """The schemes of ``WWW-Authenticate`` headers in lower case, and the parameters of each; the first of a kind."""
    found: dict[str, dict[str, str]] = {}
    for value in values:
        # A scheme is looked for outside of quotes only: a realm may hold anything.
        plain = _QUOTED.sub(lambda match: '"' + "x" * (len(match[0]) - 2) + '"', value)
        starts = list(_SCHEME.finditer(plain))
        ends = [*(start.start() for start in starts), len(value)][1:]
        for start, end in zip(starts, ends, strict=True):
            parameters = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else token
                for name, quoted, token in _PARAMETER.findall(value[start.end() : end])
            }
            found.setdefault(start[1].lower(), parameters)
        if not starts and value.strip():
            found.setdefault(value.split()[0].lower().rstrip(","), {})
    return found


def next_page(url: str, link: str | None) -> str | None:
    """The address of the next page, from the ``Link`` header that came with ``url``; None: it was the last.

    ``BadRequest`` when it leads to another origin: a list has no reason to.
    """
    for target, parameters in _LINK.findall(link or ""):
        if _NEXT.search(parameters):
            following: str = urljoin(url, target)
            if urlsplit(following)[:2] != urlsplit(url)[:2]:
                raise BadRequest("the next page of a list is said to be at another server")
            return following
    return None
