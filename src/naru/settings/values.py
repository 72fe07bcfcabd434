"""The forms of single values: addresses, URLs, networks, lists. Each ``ValueError`` tells the value, rule and cure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_HOST_LABEL}(\.{_HOST_LABEL})*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_PREFIX_PART = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}")
_REGION = re.compile(r"[a-z][a-z0-9]{0,15}")


def parse_address(text: str) -> tuple[str, int]:
    """``host:port`` as a pair; the host of ``[::1]:5000`` comes without brackets. ``ValueError`` tells the rule.

    Port 0 is allowed and lets the system choose a free one.
    """
    rule = "write address:port, for example 127.0.0.1:5000, [::1]:5000 or registry.example.com:5000"
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} has no port; {rule}")
    if not host:
        raise ValueError(f"{text!r} has no address; {rule}; all addresses are 0.0.0.0:{port} or [::]:{port}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{text!r}: the port {port!r} is not a number from 0 to 65535; {rule}")
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1], text, rule), int(port)
    if ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address goes in brackets; {rule}")
    if not _HOST.fullmatch(host) or (host.replace(".", "").isdigit() and not _is_ip(host)):
        raise ValueError(f"{text!r}: {host!r} is not an IP address or host name; {rule}")
    return host, int(port)


def _ipv6(host: str, text: str, rule: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"{text!r}: {host!r} is not an IPv6 address; {rule}") from None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on ``host``. A name other than localhost counts as reachable."""
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def address(text: str) -> str:
    parse_address(text)
    return text


def origin(text: str) -> str:
    """``https://host[:port]``, without a final slash. The registry's API starts at the root: a path cannot work."""
    rule = "write https://host or https://host:port (http is possible), without a path, query or user"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"{text!r} is not a URL; {rule}") from None
    if url.scheme not in {"http", "https"}:
        raise ValueError(f"{text!r}: the scheme {url.scheme!r} is not http or https; {rule}")
    if url.username is not None or url.password is not None:
        raise ValueError(f"the URL holds a user or password; {rule}")
    if url.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError(f"{text!r} has more than a host and a port; {rule}")
    parse_address(f"{url.netloc}:{443}" if port is None else url.netloc)
    return f"{url.scheme}://{url.netloc}"


def networks(value: object) -> object:
    """Comma-separated text or a list as networks; the addresses of one network must share its prefix."""
    found: list[Network] = []
    for item in items(value):
        try:
            found.append(ipaddress.ip_network(item, strict=True))
        except ValueError as error:
            raise ValueError(f"{item!r}: {error}; write addresses or networks such as 10.0.0.5, 10.0.0.0/8") from None
    return tuple(found)


def ports(value: object) -> object:
    """Comma-separated text or a list of ports and ranges (``80, 8000-8999``) as pairs of the first and the last."""
    found: list[tuple[int, int]] = []
    for item in items(value):
        first, dash, last = item.partition("-")
        if not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in (first, last if dash else first)):
            raise ValueError(f"{item!r} is no port; write ports or ranges such as 80, 443, 8000-8999")
        pair = int(first), int(last if dash else first)
        if not 1 <= pair[0] <= pair[1] <= 65535:
            raise ValueError(f"{item!r}: ports go from 1 to 65535; write ports or ranges such as 80, 443, 8000-8999")
        found.append(pair)
    return tuple(found)


def items(value: object) -> tuple[str, ...]:
    """The parts of a comma-separated text or of a list, without spaces around; empty parts are dropped."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is not a list; write the parts with commas between them")  # noqa: TRY004
    return tuple(part for part in (str(item).strip() for item in value) if part)


def access_key(text: str) -> str:
    """RFC 7617 section 2: what stands before the first colon of Basic credentials is the user, here the key's ID."""
    if not re.fullmatch(r"[!-9;-~]{1,128}", text):
        raise ValueError(f"{text!r}: 1 to 128 visible ASCII characters without a colon, which ends it in a sign-in")
    return text


def region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError(f"{text!r}: 1 to 16 lower-case letters and digits, starting with a letter, such as kr1")
    return text


def database_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme in {"postgresql", "postgres"}:
        return _postgres_url(text, url)
    if url.scheme != "sqlite":
        raise ValueError(
            f"the scheme {url.scheme!r} is not available; use postgresql://user@host/database or "
            "sqlite:///path/to/naru.db, or leave it unset"
        )
    if url.netloc or url.query or url.fragment or len(url.path) < 2 or ":memory:" in text:
        raise ValueError(f"{text!r}: write sqlite:/// and the path of a file, such as sqlite:////var/lib/naru/naru.db")
    return text


def _postgres_url(text: str, url: SplitResult) -> str:
    """As libpq and asyncpg read it; the messages never repeat it, since it may hold a password."""
    rule = "write postgresql://user:password@host:port/database, with ?sslmode=verify-full where a network is between"
    if "#" in text:
        raise ValueError(f"a '#' in the user or password is written %23; {rule}")
    for address in url.netloc.rpartition("@")[2].split(","):  # hosts, each with its port; of IPv6 in brackets
        port = address.rpartition("]")[2].partition(":")[2]
        if port and not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"the port is not a number from 0 to 65535; {rule}")
    if len(url.path) < 2 or "/" in url.path[1:]:
        raise ValueError(f"it names no database; {rule}")
    return text


#: Kinds of object stores, with what may follow the question mark.
_OBJECT_STORES = {
    "s3": ("endpoint", "region", "style", "checksum", "ca"),
    "gs": ("endpoint", "ca"),
    "az": ("account", "endpoint", "ca"),
}


def blob_store_url(text: str) -> str:
    url = urlsplit(text)
    if text == "memory:":
        return text
    if url.scheme in _OBJECT_STORES:
        parse_object_store(text)
        return text
    if url.scheme != "file":
        raise ValueError(
            f"the scheme {url.scheme!r} is not available; use s3://bucket, gs://bucket, az://container, "
            "file:///path/to/folder or leave it unset"
        )
    if url.netloc or url.query or url.fragment or not url.path.startswith("/"):
        raise ValueError(
            f"{text!r}: write file:// and the absolute path of a folder, such as file:///var/lib/naru/blobs"
        )
    return text


def old_store_url(text: str) -> str:
    if urlsplit(text).scheme != "file":
        raise ValueError(f"{text!r}: content can be moved out of files only; write file:///path/to/folder")
    return blob_store_url(text)


def parse_object_store(text: str) -> tuple[str, str, str, dict[str, str]]:
    """The kind (``s3``, ``gs``, ``az``), bucket, prefix and options of an object store's URL. ``ValueError``.

    The message never quotes the URL: somebody may have written a secret into it.
    """
    rule = (
        "write s3://bucket/prefix?region=..., gs://bucket/prefix or az://container/prefix?account=...; credentials "
        "come from the environment or the machine, never from the URL"
    )
    try:
        url = urlsplit(text)
        fields = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query), max_num_fields=20)
    except ValueError:
        raise ValueError(f"the URL of the object store cannot be read; {rule}") from None
    if url.scheme not in _OBJECT_STORES:
        raise ValueError(f"that is no URL of an object store; {rule}")
    if "@" in url.netloc or ":" in url.netloc or url.fragment:
        raise ValueError(f"the URL of the object store holds more than a bucket before its path; {rule}")
    if not _BUCKET.fullmatch(url.netloc):
        raise ValueError(f"the bucket of the object store is missing, or no name of a bucket; {rule}")
    prefix = url.path.strip("/")
    if not all(_PREFIX_PART.fullmatch(part) for part in prefix.split("/")) and prefix:
        raise ValueError(f"the prefix of the object store: letters, digits and . _ - between slashes; {rule}")
    options = dict(fields)
    known = _OBJECT_STORES[url.scheme]
    if len(options) != len(fields) or not set(options) <= set(known):
        raise ValueError(
            f"the URL of an object store of the kind {url.scheme} has only {', '.join(known)}, once each, "
            f"after '?'; {rule}"
        )
    if "endpoint" in options:
        endpoint = urlsplit(options["endpoint"])
        if (
            endpoint.scheme not in {"http", "https"}
            or "@" in endpoint.netloc
            or not endpoint.hostname
            or endpoint.query
        ):
            raise ValueError("endpoint: write https://host or https://host:port (http is possible)")
        options["endpoint"] = options["endpoint"].rstrip("/")
    if options.get("style", "path") not in {"path", "virtual"}:
        raise ValueError("style: path (http://host/bucket) or virtual (http://bucket.host)")
    if options.get("checksum", "sha256") not in {"sha256", "none"}:
        raise ValueError("checksum: sha256, or none for a store that does not know x-amz-checksum-sha256")
    return url.scheme, url.netloc, prefix, options


def redirects(value: object) -> object:
    """``off``, ``on`` (every client) or the networks whose clients are sent to the store."""
    if value in ("off", "on"):
        return value
    return networks(value)
