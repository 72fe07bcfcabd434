"""Why something failed in the background, as people read it: deliveries of webhooks, tasks and their logs.

It is kept in English, for programs and for whoever reads the database; pages tell it in their language. A sentence that
is not here is shown as it came.
"""

from __future__ import annotations

import gettext
import re

from naru.web.console.language import N_
from naru.web.console.refusals import told

CAUSES = (
    # Calls: ``remotes.transport``.
    N_("{origin} did not answer in time"),
    N_("the certificate of {origin} is not good: {why}"),
    N_("{origin} may not be called: {why} (setting outbound_networks)"),
    N_("{origin} cannot be reached: {why}"),
    N_("{origin} broke off or answered no HTTP: {why}"),
    N_("{origin} redirects to no address that can be called"),
    N_("the call failed ({kind})"),
    N_("{address} answered with status {status}"),
    N_("event {event} was refused: {why}"),
    # What the system says of a connection.
    N_("Connect call failed {address}"),
    N_("Connection refused"),
    N_("Connection reset by peer"),
    N_("Connection timed out"),
    N_("Network is unreachable"),
    N_("No route to host"),
    N_("Name or service not known"),
    N_("No address associated with hostname"),
    N_("Temporary failure in name resolution"),
    N_("Domain name not found"),
    N_("Server disconnected"),
    # Tasks and their logs.
    N_("the server failed; its log has the reason"),
    N_("the worker {worker} ended while it ran the task"),
    N_("attempt {number}: {why}"),
    N_("handed back: the server is stopping"),
    N_("stopped"),
    N_("left out: run {run} was still going on"),
    N_("the image or its registry is gone"),
    N_("the registry or its project is gone"),
    N_("kept: {why}"),
    N_("not restored: {why}"),
    N_(
        "{links} links, {blobs} blobs, {bytes} bytes, {files} files, {uploads} abandoned uploads, {deletions} "
        "deletions of the trash"
    ),
    N_(
        "image {image}: {total} artifacts, {deleted} deleted, {untagged} lost tags, {protected} protected, {freed} "
        "bytes freed"
    ),
    N_("the verdicts of this run are no longer kept"),
    N_("... {count} more: see the list of verdicts"),
)

#: A line of a log begins with its time, if its task wrote it.
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ )?(.*)", re.DOTALL)


def cause(text: str, translation: gettext.NullTranslations) -> str:
    return told(text, translation, CAUSES)


def log(text: str, translation: gettext.NullTranslations) -> str:
    """Line by line; times stay as they are."""
    return "\n".join(_line(one, translation) for one in text.split("\n"))


def _line(text: str, translation: gettext.NullTranslations) -> str:
    found = _LINE.fullmatch(text)
    if found is None:
        return text
    return f"{found[1] or ''}{cause(found[2], translation)}"
