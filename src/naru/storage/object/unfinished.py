"""Parts of multipart uploads whose process died: no listing of objects shows them, and they are paid for.

``obstore`` can neither list nor abort them, so these two calls are made here: S3's ``ListMultipartUploads`` and
``AbortMultipartUpload``, signed by AWS Signature Version 4. That takes the credentials themselves, which are at hand
when they are in the environment or a profile, and not when they are a machine's; the bucket's lifecycle rule is for
those.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from naru.core.errors import Unavailable
from naru.storage.keys import check_object_key

log = logging.getLogger(__name__)

_SECONDS = 15.0
_MOST_BYTES = 8 * 1024 * 1024
_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where it is: the endpoint's URL, and the path before a key (with the bucket in it, unless the host names it)."""

    endpoint: str
    path: str
    region: str
    prefix: str  # of the keys; "" or ending in a slash
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    key: str
    upload_id: str
    begun: int  # microseconds since 1970 UTC


class Unfinished:
    """``credentials`` answers as ``obstore`` wants it: ``access_key_id``, ``secret_access_key``, ``token``."""

    def __init__(
        self, bucket: Bucket, credentials: Callable[[], Mapping[str, str | None]], now: Callable[[], datetime]
    ) -> None:
        self._bucket = bucket
        self._credentials = credentials
        self._now = now

    def abort(self, before: int) -> int:
        """Abort those of ours that were begun before (microseconds since 1970 UTC); how many. Blocks; call it in a
        thread. ``Unavailable``."""
        aborted = 0
        for found in list(self._list()):
            if found.begun < before:
                path = f"{self._bucket.path}/{found.key}"
                self._call("DELETE", path, {"uploadId": found.upload_id}, gone_is_fine=True)
                aborted += 1
        return aborted

    def _list(self) -> Iterator[_Found]:
        query = {"uploads": "", "prefix": self._bucket.prefix}
        while True:
            text = self._call("GET", self._bucket.path or "/", query)
            for upload in _UPLOAD.findall(text):
                key, upload_id, begun = (_field(upload, name) for name in ("Key", "UploadId", "Initiated"))
                if key.startswith(self._bucket.prefix) and _is_ours(key.removeprefix(self._bucket.prefix)):
                    yield _Found(key, upload_id, _microseconds(begun))
            marker = _field(text, "NextKeyMarker")
            if _field(text, "IsTruncated") != "true" or not marker:
                return
            query |= {"key-marker": marker, "upload-id-marker": _field(text, "NextUploadIdMarker")}

    def _call(self, method: str, path: str, query: Mapping[str, str], *, gone_is_fine: bool = False) -> str:
        url = urlsplit(self._bucket.endpoint)
        context = ssl.create_default_context(cafile=self._bucket.ca) if url.scheme == "https" else None
        connection = (
            http.client.HTTPSConnection(url.netloc, timeout=_SECONDS, context=context)
            if context is not None
            else http.client.HTTPConnection(url.netloc, timeout=_SECONDS)
        )
        canonical = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
        try:
            headers = self._signed(method, url.netloc, quote(path), canonical)
            connection.request(method, f"{quote(path)}?{canonical}", headers=headers)
            answer = connection.getresponse()
            text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("the blob store failed or does not answer; try again later") from error
        finally:
            connection.close()
        if answer.status >= 300 and not (gone_is_fine and answer.status == 404):
            log.warning("the blob store answered %s to %s of unfinished uploads", answer.status, method)
            raise Unavailable("the blob store refused to tell or abort unfinished uploads")
        return text

    def _signed(self, method: str, host: str, path: str, query: str) -> dict[str, str]:
        """Headers of a request without a body (AWS, "Create a signed AWS API request")."""
        credentials = self._credentials()
        moment = self._now().strftime("%Y%m%dT%H%M%SZ")
        nothing = hashlib.sha256(b"").hexdigest()
        headers = {"host": host, "x-amz-content-sha256": nothing, "x-amz-date": moment}
        if credentials.get("token"):
            headers["x-amz-security-token"] = str(credentials["token"])
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = "\n".join((method, path, query, lines, names, nothing))
        scope = f"{moment[:8]}/{self._bucket.region}/s3/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = f"AWS4{credentials['secret_access_key']}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, digest))
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials['access_key_id']}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
        return headers


def _field(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1] if found else ""


def _is_ours(key: str) -> bool:
    try:
        check_object_key(key)
    except ValueError:
        return False
    return True


def _microseconds(text: str) -> int:
    """``2026-11-24T10:22:22.000Z``; the far future when it cannot be read, so that nothing is aborted by mistake."""
    try:
        return round(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp() * 1_000_000)
    except ValueError:
        return 1 << 62
