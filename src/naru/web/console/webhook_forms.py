"""The form of a webhook: what its fields hold, from the webhook or as typed, and the webhook that they ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from naru.core.errors import BadRequest
from naru.core.webhooks import HIDDEN, PayloadFormat, TargetKind
from naru.services.webhooks import (
    MAX_TARGETS,
    Target,
    WantedTarget,
    WantedWebhook,
    Webhook,
    check_header,
    check_name,
    check_secret,
    new_secret,
)
from naru.web.console import selectors
from naru.web.console.view import View

#: What becomes of the signing secret.
SIGN = ("keep", "none", "new", "own")


@dataclass(frozen=True, slots=True)
class TargetForm:
    """``was``: id of the target that it is already, 0 of a new one. Secrets that are kept are not in it."""

    number: int
    was: int = 0
    address: str = ""
    kind: str = TargetKind.HTTP
    payload_format: str = PayloadFormat.DEFAULT
    skip_cert_verify: bool = False
    has_header: bool = False
    has_secret: bool = False
    auth_header: str = ""
    drop_header: bool = False
    sign: str = "none"
    secret: str = ""


def of_webhook(webhook: Webhook | None) -> list[TargetForm]:
    if webhook is None:
        return [TargetForm(0)]
    return [
        TargetForm(
            number,
            one.id,
            one.address,
            one.kind,
            one.payload_format,
            one.skip_cert_verify,
            has_header=one.auth_header is not None,
            has_secret=one.secret is not None,
            sign="keep" if one.secret is not None else "none",
        )
        for number, one in enumerate(webhook.targets)
    ]


def typed(view: View, webhook: Webhook | None) -> list[TargetForm]:
    """The targets as they were typed, one more or less where that was asked for."""
    count = view.field("targets")
    many = min(int(count), MAX_TARGETS) if count.isascii() and count.isdigit() and len(count) < 4 else 1
    known = {str(one.id): one for one in webhook.targets} if webhook else {}
    removed = view.field("remove")
    found = [_typed(view, number, known) for number in range(many) if str(number) != removed]
    if view.checked("add") and len(found) < MAX_TARGETS:
        found.append(TargetForm(len(found)))
    return found or [TargetForm(0)]


def _typed(view: View, number: int, known: dict[str, Target]) -> TargetForm:
    def field(name: str) -> str:
        return view.field(f"{name}-{number}")

    was = known.get(field("was"))
    sign = field("sign")
    return TargetForm(
        number,
        was.id if was else 0,
        field("address"),
        field("kind"),
        field("format"),
        view.checked(f"skip-{number}"),
        has_header=was is not None and was.auth_header is not None,
        has_secret=was is not None and was.secret is not None,
        auth_header=field("header"),
        drop_header=view.checked(f"drop-{number}"),
        sign=sign if sign in SIGN else "none",
        secret=view.raw_field(f"secret-{number}"),
    )


def wanted(view: View, targets: list[TargetForm]) -> tuple[WantedWebhook, list[tuple[str, str]]]:
    """The webhook, and addresses with the secrets that were made for them. ``BadRequest``, told beside the field."""
    name = view.field("name")
    with view.typed_in("name"):
        if name:
            check_name(name)
    events = view.fields("event")
    with view.typed_in("event"):
        if not events:
            raise BadRequest("choose an event at least")
    scope, tag = selectors.typed(view, "scope"), selectors.typed(view, "tag")
    made: list[tuple[str, str]] = []
    found = [_wanted(view, one, made) for one in targets]
    return WantedWebhook(events, found, name or None, scope=scope, tag=tag), made


def _wanted(view: View, one: TargetForm, made: list[tuple[str, str]]) -> WantedTarget:
    with view.typed_in(f"address-{one.number}"):
        view.services.webhooks.check_address(one.address)
    header: str | None = one.auth_header or None
    with view.typed_in(f"header-{one.number}"):
        if header is not None:
            check_header(header)
        elif one.has_header and not one.drop_header:
            header = HIDDEN
    secret: str | None = ""
    if one.sign == "keep" and one.has_secret:
        secret = None
    elif one.sign == "new":
        secret = new_secret()
        made.append((one.address, secret))
    elif one.sign == "own":
        secret = one.secret
        with view.typed_in(f"secret-{one.number}"):
            check_secret(secret)
    return WantedTarget(
        one.address,
        kind=one.kind or TargetKind.HTTP,
        auth_header=header,
        skip_cert_verify=one.skip_cert_verify,
        payload_format=one.payload_format or None,
        secret=secret,
    )


def switched(webhook: WantedWebhook, *, enabled: bool) -> WantedWebhook:
    return replace(webhook, enabled=enabled)


def as_it_is(webhook: Webhook, *, enabled: bool) -> WantedWebhook:
    """The same webhook, on or off."""
    targets = [
        WantedTarget(
            one.address,
            kind=one.kind,
            auth_header=HIDDEN if one.auth_header else None,
            skip_cert_verify=one.skip_cert_verify,
            payload_format=one.payload_format,
            secret=None,
        )
        for one in webhook.targets
    ]
    return WantedWebhook(webhook.events.names(), targets, enabled=enabled)
