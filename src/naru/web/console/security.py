"""What keeps others out of somebody's session: headers, cookies, the check of each change, where a sign-in leads.

Sources: OWASP cheat sheets "Cross-Site Request Forgery Prevention", "Session Management", "Unvalidated Redirects";
W3C Content Security Policy Level 3; Fetch Metadata Request Headers.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from naru.core.errors import Denied

#: Nothing but our own files; no script and no style inside of a page; in no frame; forms go nowhere else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
    "Vary": "Cookie, Accept-Language, HX-Request",
}

SESSION, VISIT, TOAST = "naru_session", "naru_visit", "naru_toast"
LANGUAGE, THEME, PROJECT = "naru_language", "naru_theme", "naru_project"
YEAR = 365 * 86_400


def cookie_name(name: str, *, secure: bool) -> str:
    """Under TLS with the prefix by which a browser takes the cookie from this very host and by TLS alone."""
    return f"__Host-{name}" if secure else name


def set_cookie(response: Response, name: str, value: str, *, secure: bool, seconds: int | None = None) -> None:
    """``seconds`` None: until the browser is closed. ``Lax``: a link from elsewhere finds its reader signed in, and a
    form from elsewhere does not."""
    response.set_cookie(
        cookie_name(name, secure=secure), value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax"
    )


def drop_cookie(response: Response, name: str, *, secure: bool) -> None:
    response.delete_cookie(cookie_name(name, secure=secure), path="/", secure=secure, httponly=True, samesite="lax")


def form_token(key: bytes, cookie: str) -> str:
    """What a form carries to show that it came from a page of ours, made for the browser that holds the cookie."""
    return _signed(key, b"form\0" + cookie.encode("utf-8", "surrogatepass"))


def check_change(request: Request, key: bytes, cookie: str, token: str, host: str) -> None:
    """``Denied`` for a change that did not come from a page of ours. ``host``: ours, as browsers know it.

    Both must hold: the browser says that the request is from our own origin, and the form's token fits the cookie.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        ours = origin is not None and origin != "null" and urlsplit(origin).netloc.lower() == host.lower()
    if not ours or not cookie or not hmac.compare_digest(token.encode(), form_token(key, cookie).encode()):
        raise Denied(
            "this change did not come from a page of this console, or the page is from before you signed in: reload it "
            "and try again"
        )


_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*", re.ASCII)


def local_path(wanted: str | None) -> str:
    """``wanted`` when it leads to a page of this server, else ``/``: nobody is sent elsewhere by a link to us."""
    if wanted is None or len(wanted) > 2000 or not _LOCAL.fullmatch(wanted):
        return "/"
    parts = urlsplit(wanted)
    return wanted if not parts.scheme and not parts.netloc else "/"


def seal(key: bytes, bound: str, value: dict[str, str]) -> str:
    """A value for a cookie that nobody else can make, bound to a session."""
    text = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    return f"{text}.{_signed(key, f'toast|{bound}|{text}'.encode())}"


def unseal(key: bytes, bound: str, sealed: str) -> dict[str, str] | None:
    text, _, signature = sealed.partition(".")
    if not hmac.compare_digest(signature.encode(), _signed(key, f"toast|{bound}|{text}".encode()).encode()):
        return None
    value: dict[str, str] = json.loads(base64.urlsafe_b64decode(text))
    return value


def _signed(key: bytes, data: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, data, "sha256")).decode().rstrip("=")
