"""Errors as people read them: what happened and what to do, in the language of the page.

Services say what was wrong in English, with the value. ``MESSAGES`` has their sentences with places for the values, so
that they can be told in other languages; a sentence that is not there is shown as it came, below a title and an advice
that every kind of error has.
"""

from __future__ import annotations

import gettext
import re
from dataclasses import dataclass
from functools import cache, partial

from naru.core import errors
from naru.core.errors import NaruError
from naru.web.console.language import N_


@dataclass(frozen=True, slots=True)
class Refusal:
    """``title``: what happened; ``text``: with which value; ``advice``: what to do."""

    status: int
    title: str
    text: str
    advice: str


_RETRY = N_("Try again in a moment. If it goes on, tell the operator of this server.")
_CHECK = N_("Correct it and try again.")
_LIST = N_("It may have been deleted meanwhile: go back to the list.")

#: A class that is not here is told as its nearest base.
KINDS: dict[type[NaruError], tuple[str, str]] = {
    NaruError: (N_("The server failed"), _RETRY),
    errors.BadRequest: (N_("Something in this request is wrong"), _CHECK),
    errors.NameInvalid: (N_("This name cannot be used"), _CHECK),
    errors.TagInvalid: (N_("This tag cannot be used"), _CHECK),
    errors.DigestInvalid: (N_("This is no digest"), _CHECK),
    errors.PaginationInvalid: (N_("There is no such page of the list"), N_("Begin at its first page.")),
    errors.NotFound: (N_("There is nothing here"), _LIST),
    errors.NameUnknown: (N_("There is nothing here"), _LIST),
    errors.ManifestUnknown: (N_("There is nothing here"), _LIST),
    errors.Unauthorized: (N_("You are not signed in"), N_("Sign in and try again.")),
    errors.Denied: (N_("You may not do this"), N_("Ask an administrator of the project for a role that may.")),
    errors.LimitExceeded: (N_("A limit is reached"), N_("Delete what is not needed, or have the limit raised.")),
    errors.Conflict: (N_("This is not possible as things are"), _CHECK),
    errors.ArtifactInUse: (N_("It is still in use"), N_("Delete what uses it first.")),
    errors.ProtectedTag: (N_("It is protected"), N_("Change or disable the protection policy first.")),
    errors.TooManyRequests: (N_("Too many attempts"), N_("Wait a little, then try again.")),
    errors.MethodNotAllowed: (N_("This address does not do that"), _LIST),
    errors.NotAvailable: (N_("This version cannot do that yet"), N_("See the list of changes for what is planned.")),
    errors.StorageFull: (N_("No room is left"), N_("Delete images that are not needed, or tell the operator.")),
    errors.Unavailable: (N_("A part of the server is away"), _RETRY),
    errors.RequestTimeout: (N_("The request took too long"), _RETRY),
}

#: Sentences of the services.
MESSAGES = (
    N_("there is a registry '{name}' already; choose another name"),
    N_("there is no registry {name} in this project"),
    N_("image caches are not available yet: create a normal registry (registry_id 0)"),
    N_("registry '{name}' has no image '{image}'"),
    N_("image '{name}' has no artifact {reference}"),
    N_("image '{name}' has no tag '{tag}'"),
    N_(
        "the registry name {name} is invalid: it is made of lower-case letters a-z and digits, with single '.', '_' or "
        "'-' between them; it starts and ends with a letter or digit"
    ),
    N_("the registry name {name} is too long: {count} characters, at most {limit} are allowed"),
    N_(
        "the tag {tag} is invalid: it is made of letters A-Z a-z, digits, '_', '.' and '-', and starts with a "
        "letter, a digit or '_'"
    ),
    N_("registry '{name}' holds {count} image(s); delete them first, or delete with all images"),
    N_("project '{name}' has {count} registries, its limit is {limit}; delete one, or have the limit raised"),
    N_("user {name} has {count} access keys, the limit is {limit}; delete one first"),
    N_("there is a user {name} already"),
    N_("there is no user {name}"),
    N_("a user name has 1 to {most} characters, this one has {count}"),
    N_("the user name {name} is invalid: {why}"),
    N_(
        "it is made of letters, digits and '.', '_', '-', '@', '+' or single spaces between them, and begins and ends "
        "with a letter or digit"
    ),
    N_("its letters are of several scripts ({scripts}), which look alike"),
    N_("a password has {least} to {most} characters, this one has {count}"),
    N_("the current password is wrong"),
    N_("the two passwords differ"),
    N_("too many changes of this password; try again in a minute"),
    N_("the user name or the password is wrong"),
    N_("too many wrong secrets from this address; try again in {seconds} seconds"),
    N_("there is no access key {key} that you may see"),
    N_("there is no such session of yours; it may be over already"),
    N_("there is no project with this appkey in which you have a role"),
    N_("'{user}' may not {permission} in project '{project}'"),
    N_("'{user}' is no service administrator of this installation"),
    N_(
        "{user} is the last service administrator that is enabled; make another one first, or nobody could administer "
        "this installation"
    ),
    N_("a member has one role at least; remove the member instead"),
    N_("a member has one role at least"),
    N_("choose what to delete first"),
    N_("your session is over; sign in again"),
    N_("a label has at most 128 printable characters, not {label}"),
    N_("a quota is 0 to {most} bytes, not {quota}"),
    N_("{cve} is no CVE id, such as CVE-2024-12345"),
    N_("the name that you typed is not '{name}'"),
    N_("'{text}' is no size; write a number, such as 50"),
    N_("'{text}' is no date; write it as 2026-01-31"),
    N_("there is no role '{role}'"),
    N_("there is no page at this address"),
    N_(
        "this change did not come from a page of this console, or the page is from before you signed in: reload it and "
        "try again"
    ),
    N_("there is a project with this name already; choose another one"),
    N_("project {name} has {count} registries; delete them first"),
    N_("the server failed; the id of the request is {id}"),
    # Patterns.
    N_("the pattern {pattern} is invalid: {why}"),
    N_("the pattern {pattern} is too long: at most {most} characters are allowed"),
    N_("a '{' has no '}'"),
    N_("a '}' has no '{'"),
    N_("a '[' has no ']'"),
    N_("a ']' has no '['"),
    N_("a '[]' takes no character"),
    N_("a '\\' has nothing after it"),
    N_("the range {range} is empty"),
    N_("braces are nested more than {most} times"),
    N_("it holds characters that cannot be seen"),
    # Protection and cleanup.
    N_("registry '{name}' has no protection policy {id}"),
    N_("registry '{name}' has {most} protection policies, which is the most"),
    N_("the registry has a protection policy for images {images} and tags {tags} already"),
    N_("run {run} is over: {status}"),
    N_("run {run} is not over yet"),
    N_("run {run} has no task that failed or was stopped"),
    N_("run {run} has no task {task}"),
    N_("there is no run {run} in this project, or its history is past its time"),
    N_("choose what to delete first"),
    N_("choose deletions first"),
    N_("a tag can only be restored to its own image"),
    N_("the trash has no deletion {id}: it was restored, removed, has expired, or went with its registry"),
    N_(
        "tags of image '{name}' name something else by now: {told}; nothing was restored. Restore without them "
        "(taken_tags: skip), take them back (move), or restore to another image"
    ),
    N_("the tag '{tag}' named {digest}, which image '{name}' has no more; {cure}"),
    N_("restore deletion {id} first, which has it"),
    N_("push it again, then make the tag anew"),
    N_("the registry has a cleanup policy already that keeps {keeps} of images {images} and tags {tags}"),
    N_("the {count} pulled last"),
    N_("the {count} pushed last"),
    N_("what was pulled within {count} days"),
    N_("what was pushed within {count} days"),
    N_("all"),
    N_("registry '{name}' has no cleanup policy {id}"),
    N_("registry '{name}' has {most} cleanup policies, which is the most"),
    N_("'{text}' is no number; write one such as 10"),
    N_("parameters.{name} is from 0 to {most}, not {value}"),
    N_("grace_hours is from 0 to {most}, not {value}"),
    N_("choose what the policy keeps"),
    N_("run {id} of the cleanup of registry '{name}' is still going on: wait for its end, or stop it"),
    N_("registry '{name}' has no run {id} of its cleanup"),
    # Webhooks.
    N_("choose an event at least"),
    N_("the address is longer than {most} characters"),
    N_("an address holds visible ASCII characters only (international names as xn--...)"),
    N_("the address begins with http:// or https://, not with {scheme}"),
    N_("the address holds a user or password: put them into the authorization header"),
    N_("the address has no host that can be called"),
    N_("port {port} is not allowed; allowed: {ports} (setting outbound_ports)"),
    N_("{url} is no URL: {error}"),
    N_("{host} may not be called: it is {reason} (setting outbound_networks)"),
    N_("auth_header has up to {most} visible ASCII characters and spaces"),
    N_("auth_header is {hidden}, which keeps the value of a target that has one: enter it again"),
    N_("secret has {least} to {most} visible characters"),
    N_("a secret that begins with whsec_ goes on in base64"),
    N_("a webhook's name has 1 to {most} visible characters"),
    N_("registry '{name}' has a webhook '{hook}' already; choose another name"),
    N_("registry '{name}' has {most} webhooks, as many as it may have"),
    N_("registry '{name}' has no webhook {id}"),
    N_("the webhook has no delivery {id}; deliveries that ended are kept for a time"),
    N_("this delivery still waits for its turn"),
    N_("the webhook is switched off: switch it on first, what waits is then sent"),
    # Schedules.
    N_("write when it runs, such as 0 3 * * SUN"),
    N_("a schedule has at most {most} characters, not {count}"),
    N_(
        "a schedule has five fields (minute, hour, day of month, month, day of week), for example '0 3 * * SUN'; "
        "{text} has {count}"
    ),
    N_("the {field} of a schedule cannot be {item}: {why}"),
    N_("minute"),
    N_("hour"),
    N_("day of month"),
    N_("month"),
    N_("day of week"),
    N_("write numbers from {first} to {last} or names ({name}, ...) and {signs}"),
    N_("write numbers from {first} to {last} and {signs}"),
    N_("it goes from {first} to {last}"),
    N_("a step is at least 1"),
    N_("a range begins with the smaller one"),
    N_("{text} never comes: its months have no day {day}"),
    N_("this schedule has no further run"),
    N_("{zone} is no time zone that this server knows: give UTC or a name like Asia/Seoul"),
    N_("matching '{pattern}'"),
    N_("other than '{pattern}'"),
    N_("protection policy {id} (images {images}, tags {tags})"),
    N_("deleted"),
    N_("deleted with its image"),
    N_("deleted with its registry"),
    N_("deleted with {digest}"),
    N_("moved to {digest}"),
    N_("'{name}' cannot be {change}: {rule} protects it; switch the policy off or change it first"),
)
#: Places in them whose values are sentences again.
NESTED = frozenset({"why", "images", "tags", "rule", "change", "keeps", "cure", "field"})


@cache
def _patterns(messages: tuple[str, ...]) -> list[tuple[re.Pattern[str], str]]:
    found = []
    for message in messages:
        pattern = re.escape(message)
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", pattern)
        found.append((re.compile(pattern, re.DOTALL), message))
    return found


def told(message: str, translation: gettext.NullTranslations, more: tuple[str, ...] = ()) -> str:
    """The sentence in the language; as it came when it is not known. ``more``: sentences that are known beside ours."""
    for pattern, source in _patterns((*more, *MESSAGES)):
        match = pattern.fullmatch(message)
        if match is not None:
            # By hand, and in one go: what was typed may hold braces.
            values = match.groupdict()
            return re.sub(r"\{(\w+)\}", partial(_value, values, translation, more), translation.gettext(source))
    return message


def _value(
    values: dict[str, str], translation: gettext.NullTranslations, more: tuple[str, ...], place: re.Match[str]
) -> str:
    value = values[place[1]]
    return told(value, translation, more) if place[1] in NESTED else value


def explain(error: NaruError, translation: gettext.NullTranslations) -> Refusal:
    kind = next(kind for kind in type(error).__mro__ if kind in KINDS)
    if kind is NaruError and error.status < 500:  # no failure of ours, whatever it is
        kind = errors.BadRequest
    title, advice = KINDS[kind]
    text = told(error.message, translation)
    return Refusal(error.status, translation.gettext(title), text[:1].upper() + text[1:], translation.gettext(advice))
