"""Google Cloud Storage for tests: a stand-in, since no emulator of it takes uploads of many parts by its XML interface.

Google made that interface after S3's, so that a real S3 server (SeaweedFS) keeps the objects. In front of it is what
differs, after Google's documents: credentials (a token or an address signed by a service account's key, both verified
here), names of headers, and that a deletion of what is not there is an error.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from naru.settings.values import parse_object_store
from tests.s3 import BUCKET, S3Server, running_s3

EMAIL = "naru@example.iam.gserviceaccount.com"
PASSED = {"content-length", "content-type", "range", "if-match", "if-none-match"}


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def account(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The file of a service account."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    names = {"type": "service_account", "private_key_id": "1", "client_email": EMAIL, "client_id": "1"}
    return names | {"private_key": pem, "token_uri": "https://oauth2.example.com/token"}


@dataclass(frozen=True)
class Google:
    port: int
    folder: Path
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    kind: str = "gs"

    @property
    def secret(self) -> str:
        return account(self.key)["private_key"].splitlines()[1]

    @property
    def credentials(self) -> Mapping[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": self._file("key.json", self.key)}

    @property
    def wrong(self) -> Mapping[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": self._file("another-secret.json", new_key())}

    def _file(self, name: str, key: rsa.RSAPrivateKey) -> str:
        path = self.folder / name
        if not path.exists():
            path.write_text(json.dumps(account(key)))
        return str(path)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, prefix: str | None = None, *, endpoint: str | None = None) -> str:
        place = prefix or f"t/{secrets.token_hex(8)}"
        return f"gs://{BUCKET}/{place}?endpoint={endpoint or self.endpoint}"

    def raw(self, url: str) -> Any:
        from obstore.store import GCSStore  # noqa: PLC0415 - only when a store is used

        config = {"base_url": self.endpoint, "application_credentials": self._file("key.json", self.key)}
        prefix = parse_object_store(url)[2]
        return GCSStore(BUCKET, prefix=prefix, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]


@contextmanager
def running_google(folder: Path) -> Iterator[Google]:
    """A started server with an empty bucket; it is gone at the end."""
    with running_s3(folder, anonymous=True) as behind:
        key = new_key()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(key.public_key(), behind))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Google(server.server_port, folder, key)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def handler(public: rsa.RSAPublicKey, behind: S3Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            if "X-Goog-Signature" in query:
                allowed = signed(public, self.command, url.path, query)
            else:
                allowed = identified(public, str(self.headers.get("authorization")))
            if not allowed:
                self.send(401, {}, b"<Error><Code>AuthenticationRequired</Code></Error>")
                return
            path = quote(unquote(url.path))
            signature = "X-Goog-Signature" in query
            self.pass_on(path if signature else f"{path}?{url.query}".rstrip("?"), body)

        def pass_on(self, target: str, body: bytes) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED}
            if "x-goog-copy-source" in self.headers:
                headers["x-amz-copy-source"] = quote("/" + unquote(str(self.headers["x-goog-copy-source"])))
            connection = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=60)
            try:
                if self.command == "DELETE" and "?" not in target:
                    connection.request("HEAD", target)
                    found = connection.getresponse()
                    found.read()
                    if found.status == 404:
                        self.send(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
                        return
                connection.request(self.command, target, body or None, headers)
                got = connection.getresponse()
                content = got.read()
                kept = {name: value for name, value in got.headers.items() if not name.lower().startswith("x-amz")}
                self.send(got.status, kept, content)
            finally:
                connection.close()

        def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"} or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD" and status != 204:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD" and status != 204:
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *arguments: object) -> None: ...

    return Handler


def verified(public: rsa.RSAPublicKey, signature: bytes, text: bytes) -> bool:
    try:
        public.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def identified(public: rsa.RSAPublicKey, authorization: str) -> bool:
    """A token that the account signed itself (Google, "Service account authorization without OAuth")."""
    token = authorization.removeprefix("Bearer ")
    text, _, signature = token.rpartition(".")
    if text.count(".") != 1 or not verified(public, _decoded(signature), text.encode()):
        return False
    claims = json.loads(_decoded(text.partition(".")[2]))
    return bool(claims["iss"] == EMAIL and claims["exp"] > time.time())


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(public: rsa.RSAPublicKey, method: str, path: str, query: dict[str, str]) -> bool:
    """An address that the account signed (Google, "V4 signing process with your own program"). The library signs
    Google's own host, whatever the endpoint: a proxy before the store has to put that in, and this one does."""
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    fields = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
    request = "\n".join((method, path, fields, "host:storage.googleapis.com", "", "host", "UNSIGNED-PAYLOAD"))
    date = query["X-Goog-Date"]
    scope = f"{date[:8]}/auto/storage/goog4_request"
    text = "\n".join(("GOOG4-RSA-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()))
    query["X-Goog-Signature"] = ""
    until = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(
        seconds=int(query["X-Goog-Expires"])
    )
    right = query["X-Goog-Credential"] == f"{EMAIL}/{scope}" and datetime.now(UTC) < until
    return right and verified(public, signature, text.encode())
