"""Whether the options are safe and possible on this machine: what ``naru check-config`` and every start look at."""

from __future__ import annotations

import difflib
import importlib.util
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from naru.settings.options import PREFIX, Finding, Settings, variables
from naru.settings.values import is_loopback, parse_address

MIN_SECRET = 12  # characters
# Passwords that installations of this kind are shipped with or given in haste; the first that anybody tries. Compared
# in lower case. Most are too short anyway: the list is for the message and for those that are not.
KNOWN_SECRETS = frozenset(
    {
        "admin",
        "admin123",
        "administrator",
        "changeit",
        "changeme",
        "changeme1234",
        "default",
        "harbor12345",
        "letmein",
        "passw0rd",
        "password",
        "password1234",
        "passwordpassword",
        "qwertyuiop12",
        "secret",
        "123456789012",
        "1234567890123456",
    }
)


def check(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Everything wrong or doubtful, errors first; a start with an error is refused. Leaves nothing behind."""
    findings = [
        *_exposure(settings),
        *_secrets(settings),
        *_tls_files(settings),
        *_folders(settings),
        *_scale(settings),
        *_telemetry(settings),
        *_unknown_variables(environ),
    ]
    return sorted(findings, key=lambda finding: finding.level != "error")


def _reachable(address: str | None) -> bool:
    return address is not None and not is_loopback(parse_address(address)[0])


def _exposure(settings: Settings) -> Iterator[Finding]:
    """Passwords must not cross a network in clear text; who ends TLS must be told apart from who sends requests."""
    for name in ("public", "private"):
        address: str | None = getattr(settings, name)
        url_name = "external_url" if name == "public" else "private_external_url"
        url: str | None = getattr(settings, url_name)
        if not _reachable(address) or settings.tls or settings.insecure_http:
            continue
        if url is None or not url.startswith("https://"):
            yield Finding(
                "error",
                name,
                f"{address!r} can be reached by other machines without TLS, so that passwords would travel in clear "
                f"text; set tls_certificate and tls_key, or an https {url_name} when a proxy ends TLS, or a loopback "
                "address, or insecure_http=true when the network is trusted",
            )
        elif not settings.trusted_proxies:
            yield Finding(
                "warning",
                "trusted_proxies",
                f"a proxy ends TLS for {url!r} but no proxy is trusted, so that all clients seem to have the proxy's "
                "address; set it to the proxy's address",
            )
    for listener, name in (("public", "external_url"), ("private", "private_external_url")):
        url = getattr(settings, name)
        if _reachable(getattr(settings, listener)):
            continue  # said above
        if url is not None and url.startswith("http://") and not is_loopback(urlsplit(url).hostname or ""):
            yield Finding(
                "warning",
                name,
                f"clients reach {url!r} without TLS, so that passwords travel in clear text; let the proxy end TLS and "
                "name the https address",
            )
    if any(network.prefixlen == 0 for network in settings.trusted_proxies):
        yield Finding("warning", "trusted_proxies", "every client can claim any address; name the proxies only")
    if any(network.prefixlen == 0 for network in settings.outbound_networks):
        yield Finding(
            "warning",
            "outbound_networks",
            "whoever may make a webhook can send requests to every machine that this one reaches, itself included; "
            "name the networks of the receivers only",
        )
    if _reachable(settings.metrics):
        yield Finding(
            "warning",
            "metrics",
            f"{settings.metrics!r} shows names of registries and traffic to other machines without a password; use a "
            "loopback address, or keep others away by a firewall",
        )


def _secrets(settings: Settings) -> Iterator[Finding]:
    """A weak secret is refused where others can try it, and pointed at where only this machine can."""
    # A proxy in front of a loopback address brings others in, too: the external URLs tell.
    urls = (urlsplit(url).hostname for url in (settings.external_url, settings.private_external_url) if url)
    reachable = (
        _reachable(settings.public) or _reachable(settings.private) or not all(is_loopback(h or "") for h in urls)
    )
    level: Literal["error", "warning"] = "error" if reachable else "warning"
    for name in ("bootstrap_password", "bootstrap_secret_key"):
        secret: SecretStr | None = getattr(settings, name)
        if secret is None:
            continue
        cure = f"choose another of at least {MIN_SECRET} characters, or leave it unset to have one generated"
        if secret.get_secret_value().lower() in KNOWN_SECRETS:
            yield Finding(level, name, f"this value is a known default; {cure}")
        elif len(secret.get_secret_value()) < MIN_SECRET:
            yield Finding(level, name, f"it is shorter than {MIN_SECRET} characters; {cure}")


def _tls_files(settings: Settings) -> Iterator[Finding]:
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    unreadable = False
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            unreadable = True
            yield Finding(
                "error", name, f"{str(path)!r} cannot be read ({error.strerror}); correct the path or its rights"
            )
    if unreadable:
        return
    try:
        # The callback answers in place of a prompt on the terminal, which a service would wait for endlessly.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        yield Finding(
            "error",
            "tls_certificate",
            f"{str(certificate)!r} and {str(key)!r} do not work together ({error}); give a PEM certificate with its "
            "chain, and its own PEM key without a password",
        )


def _folders(settings: Settings) -> Iterator[Finding]:
    places = {"data": settings.data}
    if settings.database_url is not None and isinstance(settings.database, Path):
        places["database_url"] = settings.database.parent
    if settings.blob_store_url is not None and settings.blob_folder is not None:
        places["blob_store_url"] = settings.blob_folder
    for name, folder in places.items():
        place = _nearest(folder)
        if not place.is_dir():
            yield Finding("error", name, f"{str(place)!r} is not a folder; choose another place")
            continue
        try:
            # A trial, since rights alone do not tell: of root, of a file system that is read-only or full.
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            cure = "change its owner or choose another place"
            yield Finding("error", name, f"{str(place)!r} cannot be written to ({error.strerror}); {cure}")
    if settings.blob_old_folder is not None and not settings.blob_old_folder.is_dir():
        yield Finding("error", "blob_store_old_url", f"{str(settings.blob_old_folder)!r} is not a folder")
    if settings.object_store is not None:
        yield from _object_store(settings, settings.object_store[0], settings.object_store[3])
    if settings.blob_store_url == "memory:":
        yield Finding(
            "warning", "blob_store_url", "content is kept in memory and lost at the stop; use it for tests only"
        )


#: The host that the client of Google Cloud Storage signs addresses for, whatever its endpoint is.
_GOOGLE = "storage.googleapis.com"


def _object_store(settings: Settings, kind: str, options: Mapping[str, str]) -> Iterator[Finding]:
    endpoint = urlsplit(options.get("endpoint", ""))
    if endpoint.scheme == "http" and not is_loopback(endpoint.hostname or ""):
        yield Finding(
            "warning", "blob_store_url", "layers travel to the object store in clear text; use an https endpoint"
        )
    ca = options.get("ca")
    if ca is not None:
        try:
            Path(ca).read_bytes()
        except OSError as error:
            yield Finding("error", "blob_store_url", f"ca: {ca!r} cannot be read ({error.strerror})")
    if settings.blob_redirect == "off":
        return
    for name in ("public", "private"):
        own = "blob_redirect_endpoint" if name == "public" else "blob_redirect_private_endpoint"
        host = urlsplit(getattr(settings, own) or options.get("endpoint", "")).hostname
        if _reachable(getattr(settings, name)) and host is not None and is_loopback(host):
            yield Finding(
                "warning",
                own,
                f"clients of the {name} listener are sent to {host!r}, which is their own machine; name an address "
                "that they can reach",
            )
        if kind == "gs" and host not in {None, _GOOGLE} and getattr(settings, name) is not None:
            yield Finding(
                "warning",
                own,
                f"addresses are signed for the host {_GOOGLE!r}: what answers at {host!r} must set it in the Host "
                "header of what it passes on",
            )


def _nearest(folder: Path) -> Path:
    """The folder itself, or the deepest part of its path that exists: where it would be made."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _scale(settings: Settings) -> Iterator[Finding]:
    if settings.workers == 1:
        return
    wanted = {
        "a database on PostgreSQL (NARU_DATABASE_URL): a SQLite file has one writer": isinstance(
            settings.database, Path
        ),
        "an object store (NARU_BLOB_STORE_URL): a folder of blobs is for one process": settings.object_store is None,
        "Linux, whose kernel shares connections out among processes": sys.platform != "linux",
        "a port of its own for each listener, not 0": any(
            address and parse_address(address)[1] == 0
            for address in (settings.public, settings.private, settings.metrics)
        ),
    }
    missing = [what for what, absent in wanted.items() if absent]
    if missing:
        yield Finding("error", "workers", f"more than one process needs {'; and '.join(missing)}; else set it to 1")


def _telemetry(settings: Settings) -> Iterator[Finding]:
    if settings.telemetry and not all(map(_installed, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))):
        yield Finding(
            "error",
            "telemetry",
            "it needs packages that are not installed: pip install 'naru-registry[otel]', or switch it off",
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = variables()
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/reference/settings.md lists those that exist"
            yield Finding("warning", name, f"Naru reads no such variable; {hint}")
