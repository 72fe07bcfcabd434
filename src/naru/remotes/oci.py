"""Another registry, read through the guarded client: Harbor, CNCF Distribution, any that speaks OCI or Docker's API.

Sources: OCI distribution spec 1.1; Docker's token authentication; RFC 9110 section 14 (ranges); RFC 6585 section 4.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from naru.core.digest import Digest
from naru.core.errors import BadRequest, Denied, DigestInvalid, ManifestInvalid, NaruError, NotFound, SizeInvalid
from naru.core.importing import FoundManifest, challenges, next_page
from naru.core.manifest import KINDS, MAX_MANIFEST_BYTES, OCI_INDEX, Descriptor, parse
from naru.core.outgoing import OutboundError, OutboundRefused, Times
from naru.remotes.outbound import Outbound

if TYPE_CHECKING:
    from naru.remotes.transport import OpenAnswer

TIMES = Times(connect=10, silence=60, total=120)
#: A blob may be large and the line slow: what must not happen is silence.
BLOB_TIMES = Times(connect=10, silence=60, total=24 * 3600)

ATTEMPTS = 6
#: Of a source that never answered: more likely the address is wrong.
FIRST_ATTEMPTS = 2
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
#: A source that says when to come back is believed up to here.
LONGEST_PAUSE_SECONDS = 900.0
#: An interrupted blob that came so much further begins to count its attempts anew.
PROGRESS_BYTES = 1024 * 1024

PAGE = 1000
MAX_PAGE_BYTES = 8 * 1024 * 1024
MAX_PAGES = 100_000
MAX_TOKEN = 16_384
_PIECE = 256 * 1024
_REDIRECTS = 5
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_ACCEPT = ", ".join(KINDS)


class Remote:
    """A ``core.importing.Source``. ``url`` is scheme, host and port; ``verify``: whether its certificate is checked.

    The password is sent to the source, and to the token service that the source names, nowhere else.
    """

    def __init__(
        self,
        outbound: Outbound,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        verify: bool = True,
        first_wait: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/")
        self._verify = verify
        self._first_wait = first_wait
        pair = f"{user}:{password or ''}".encode()
        self._basic = f"Basic {base64.b64encode(pair).decode()}" if user else None
        self._use_basic = False
        self._tokens: dict[str, tuple[str, float]] = {}
        self._signing_in = asyncio.Lock()
        self._resume_at = 0.0
        self._has_referrers = True
        self._answered = False

    # Lists.

    async def repositories(self) -> AsyncGenerator[str, None]:
        async for document in self._pages(f"/v2/_catalog?n={PAGE}", "registry:catalog:*", "the catalogue"):
            for name in _texts(document, "repositories"):
                yield name

    async def tags(self, repository: str) -> AsyncGenerator[str, None]:
        path = f"/v2/{quote(repository)}/tags/list?n={PAGE}"
        async for document in self._pages(path, _pull(repository), f"repository '{repository}'"):
            for tag in _texts(document, "tags"):
                yield tag

    async def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...] | None:
        if not self._has_referrers:
            return None
        found: dict[Digest, Descriptor] = {}
        try:
            path = f"/v2/{quote(repository)}/referrers/{digest}"
            async for _url, body in self._bodies(path, _pull(repository), f"the referrers of {digest}", OCI_INDEX):
                found |= {one.digest: one for one in parse(OCI_INDEX, body).children}
        except (NotFound, ManifestInvalid):  # or a page of HTML, as some proxies answer what they do not know
            self._has_referrers = False
            return None
        except OutboundError as error:
            if isinstance(error, _Unexpected):
                self._has_referrers = False
                return None
            raise
        return tuple(found.values())

    async def _pages(self, path: str, scope: str, what: str) -> AsyncIterator[dict[str, Any]]:
        async for url, body in self._bodies(path, scope, what, "application/json"):
            try:
                document = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise OutboundError(f"{_origin(url)} answers no JSON for {what}") from error
            if not isinstance(document, dict):
                raise OutboundError(f"{_origin(url)} answers no JSON object for {what}")
            yield document

    async def _bodies(self, path: str, scope: str, what: str, accept: str) -> AsyncIterator[tuple[str, bytes]]:
        url: str | None = self._url + path
        seen: set[str] = set()
        while url is not None:
            if url in seen or len(seen) >= MAX_PAGES:
                raise OutboundError(f"{_origin(url)} lists {what} in a circle")
            seen.add(url)
            headers, body = await self._ask("GET", url, scope, what, accept, MAX_PAGE_BYTES)
            yield url, body
            try:
                url = next_page(url, headers.get("link"))
            except BadRequest as error:
                raise OutboundError(f"{_origin(self._url)}: {error.message}") from None

    # Content.

    async def head(self, repository: str, tag: str) -> Digest | None:
        url = f"{self._url}/v2/{quote(repository)}/manifests/{quote(tag)}"
        headers, _ = await self._ask("HEAD", url, _pull(repository), f"'{repository}:{tag}'", _ACCEPT, 0)
        try:
            return Digest.parse(headers.get("docker-content-digest", ""))
        except DigestInvalid:
            return None

    async def manifest(self, repository: str, reference: Digest | str) -> FoundManifest:
        what = f"'{repository}{'@' if isinstance(reference, Digest) else ':'}{reference}'"
        url = f"{self._url}/v2/{quote(repository)}/manifests/{quote(str(reference), safe=':')}"
        headers, body = await self._ask("GET", url, _pull(repository), what, _ACCEPT, MAX_MANIFEST_BYTES)
        digest = Digest.of(body, reference.algorithm if isinstance(reference, Digest) else "sha256")
        if isinstance(reference, Digest) and digest != reference:
            raise OutboundError(f"{_origin(url)} sent for {what} something else, with the digest {digest}")
        said = headers.get("docker-content-digest", "")
        if said.startswith("sha256:") and digest.algorithm == "sha256" and said != str(digest):
            raise OutboundError(f"{_origin(url)} says that {what} has the digest {ascii(said)[:90]}, it has {digest}")
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        generic = media_type in {"", "application/json", "application/octet-stream", "text/plain"}
        return FoundManifest(digest, None if generic else media_type, body)

    async def blob(self, repository: str, digest: Digest, size: int) -> AsyncGenerator[bytes, None]:
        """As the contract has it. What breaks off goes on from where it stood."""
        url = f"{self._url}/v2/{quote(repository)}/blobs/{digest}"
        what = f"blob {digest} of '{repository}'"
        offset = counted = failures = 0
        while offset < size:
            try:
                range_ = {"Range": f"bytes={offset}-"} if offset else {}
                async with self._open("GET", url, _pull(repository), range_, BLOB_TIMES) as answer:
                    await self._expect(answer, what, url)
                    skip = _skip(answer, offset, what, url)
                    async for read in answer.chunks(_PIECE):
                        piece, skip = read[skip:], max(0, skip - len(read))
                        offset += len(piece)
                        if offset > size:
                            raise SizeInvalid(f"{_origin(url)} sends more than the {size} bytes of {what}")
                        if piece:
                            yield piece
                _whole(offset, size, what, url)
            except (OutboundRefused, _Unexpected):
                raise
            except OutboundError as error:
                failures = 1 if offset - counted >= PROGRESS_BYTES else failures + 1
                counted = max(counted, offset)
                await self._again(failures, error)

    # One question, as often as it takes.

    async def _ask(
        self, method: str, url: str, scope: str, what: str, accept: str, most: int
    ) -> tuple[dict[str, str], bytes]:
        """Headers in lower case and body of a good answer."""
        failures = 0
        while True:
            try:
                async with self._open(method, url, scope, {"Accept": accept}, TIMES) as answer:
                    await self._expect(answer, what, url)
                    body = b"" if method == "HEAD" else await _read(answer, most, what)
                    return {name.lower(): value for name, value in answer.headers}, body
            except (OutboundRefused, _Unexpected):
                raise
            except OutboundError as error:
                failures += 1
                await self._again(failures, error)

    async def _again(self, failures: int, error: OutboundError) -> None:
        """Wait before the next attempt; the error itself after the last. What one is told to wait, all wait."""
        if failures >= (ATTEMPTS if self._answered else FIRST_ATTEMPTS):
            raise error
        jitter = 0.5 + random.random()  # noqa: S311 - no secret
        wait = min(self._first_wait * 2 ** (failures - 1), LONGEST_WAIT_SECONDS) * jitter
        if isinstance(error, _Later) and error.seconds is not None:
            self._resume_at = max(self._resume_at, time.monotonic() + error.seconds)
        await asyncio.sleep(wait)

    async def _expect(self, answer: OpenAnswer, what: str, url: str) -> None:
        """Go on with a good answer only."""
        status, origin = answer.status, _origin(url)
        if status in {200, 206}:
            return
        if status == 404:
            raise NotFound(f"{origin} has no {what}")
        if status in {401, 403}:
            how = "sign in with --user" if self._basic is None else "the user may not, or the password is another one"
            raise Denied(f"{origin} refuses {what} ({status}): {how}{await _said(answer)}")
        if status in _AGAIN:
            raise _Later(f"{origin} answers {status} for {what}{await _said(answer)}", _retry_after(answer))
        raise _Unexpected(f"{origin} answers {status} for {what}{await _said(answer)}")

    @contextlib.asynccontextmanager
    async def _open(
        self, method: str, url: str, scope: str, headers: Mapping[str, str], times: Times
    ) -> AsyncIterator[OpenAnswer]:
        """One attempt; signed in as the source asks."""
        await asyncio.sleep(max(0.0, self._resume_at - time.monotonic()))
        async with contextlib.AsyncExitStack() as stack:
            sent = self._authorization(scope)
            answer = await stack.enter_async_context(self._call(method, url, {**headers, **sent}, times))
            self._answered = True
            if answer.status == 401 and await self._sign_in(answer, scope, sent):
                await stack.aclose()
                sent = self._authorization(scope)
                answer = await stack.enter_async_context(self._call(method, url, {**headers, **sent}, times))
            yield answer

    def _call(
        self, method: str, url: str, headers: Mapping[str, str], times: Times
    ) -> contextlib.AbstractAsyncContextManager[OpenAnswer]:
        return self._outbound.open(method, url, headers=headers, verify=self._verify, times=times, redirects=_REDIRECTS)

    # Signing in.

    def _authorization(self, scope: str) -> dict[str, str]:
        if self._use_basic and self._basic is not None:
            return {"Authorization": self._basic}
        token, until = self._tokens.get(scope, ("", 0.0))
        return {"Authorization": f"Bearer {token}"} if token and time.monotonic() < until else {}

    async def _sign_in(self, answer: OpenAnswer, scope: str, sent: Mapping[str, str]) -> bool:
        """Do what the 401 asks for; whether another attempt makes sense."""
        offered = challenges(value for name, value in answer.headers if name.lower() == "www-authenticate")
        async with self._signing_in:
            if self._authorization(scope) != sent:  # somebody else just did
                return True
            if "bearer" in offered and "realm" in offered["bearer"]:
                self._tokens[scope] = await self._token(offered["bearer"], scope)
                return True
            if "basic" in offered and self._basic is not None and not self._use_basic:
                self._use_basic = True
                return True
        return False

    async def _token(self, offered: Mapping[str, str], scope: str) -> tuple[str, float]:
        """A token, and until when (monotonic) it is used."""
        realm = offered["realm"]
        secure = urlsplit(self._url).scheme == "https"
        if self._basic is not None and secure and urlsplit(realm).scheme != "https":
            raise OutboundRefused(f"{_origin(self._url)} wants the password in clear text at {_origin(realm)}")
        fields = [("scope", offered.get("scope") or scope)]
        if "service" in offered:
            fields.insert(0, ("service", offered["service"]))
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(fields)}"
        headers = {"Accept": "application/json"} | ({"Authorization": self._basic} if self._basic else {})
        answer = await self._outbound.call(
            "GET", url, headers=headers, verify=self._verify, times=TIMES, redirects=_REDIRECTS
        )
        if answer.status in {400, 401, 403}:
            raise Denied(f"{_origin(realm)} gives no token ({answer.status}): user or password is not good")
        if answer.status in _AGAIN:
            raise _Later(f"{_origin(realm)} gives no token ({answer.status})", _seconds(answer.header("retry-after")))
        if answer.status != 200:
            raise _Unexpected(f"{_origin(realm)} gives no token ({answer.status})")
        try:
            document = json.loads(answer.body)
            token = document.get("token") or document["access_token"]
            lifetime = float(document.get("expires_in") or 60)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OutboundError(f"{_origin(realm)} gives no token: its answer cannot be read") from error
        if not isinstance(token, str) or not token.isascii() or not 0 < len(token) <= MAX_TOKEN or " " in token:
            raise OutboundError(f"{_origin(realm)} gives something that is no token")
        return token, time.monotonic() + max(1.0, min(lifetime, 3600.0) * 0.9 - 5)


class _Later(OutboundError):
    """The source is busy or broken at the moment. ``seconds``: when it says that it may be asked again."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


class _Unexpected(OutboundError):
    """An answer that another attempt would not change."""


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _texts(document: Mapping[str, Any], field: str) -> list[str]:
    found = document.get(field)
    return [one for one in found if isinstance(one, str) and one] if isinstance(found, list) else []


def _retry_after(answer: OpenAnswer) -> float | None:
    return _seconds(next((value for name, value in answer.headers if name.lower() == "retry-after"), None))


def _seconds(text: str | None) -> float | None:
    """RFC 9110 section 10.2.3, its form in seconds; a date needs two clocks that agree, and is passed over."""
    if text is None or not (text.isascii() and text.strip().isdigit()) or len(text) > 9:
        return None
    return min(float(text), LONGEST_PAUSE_SECONDS)


def _skip(answer: OpenAnswer, offset: int, what: str, url: str) -> int:
    """How many bytes of the answer are there already: all before ``offset`` when the source sends no ranges."""
    if answer.status == 200:
        return offset
    said = next((value for name, value in answer.headers if name.lower() == "content-range"), "")
    if not said.startswith(f"bytes {offset}-"):
        raise _Unexpected(f"{_origin(url)} sends another part of {what} than was asked for")
    return 0


def _whole(offset: int, size: int, what: str, url: str) -> None:
    if offset < size:
        raise OutboundError(f"{_origin(url)} sent {offset} of the {size} bytes of {what}")


async def _read(answer: OpenAnswer, most: int, what: str) -> bytes:
    pieces: list[bytes] = []
    room = most
    async for piece in answer.chunks():
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
            raise _Unexpected(f"{answer.where} sends more than {most} bytes for {what}")
    return b"".join(pieces)


async def _said(answer: OpenAnswer) -> str:
    """What the source says about it, as words to append; "" when it says nothing that can be read."""
    try:
        error = json.loads(await _read(answer, 65_536, "an error"))["errors"][0]
        message = str(error.get("message") or error["code"])
    except (NaruError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    return f"; it says: {ascii(message)[1:-1][:200]}"
