"""Numbers, sizes and times as people of a language write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from gettext import NullTranslations

from markupsafe import Markup, escape

from naru.web.console.language import N_

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
NONE = "\u2013"
_DAYS = {"en": "%b %d, %Y", "ko": "%Y. %m. %d."}
_SHORT_DAYS = {"en": "%b %d", "ko": "%m. %d."}
_FORMS = {"en": "%b %d, %Y, %H:%M", "ko": "%Y. %m. %d. %H:%M"}
_WEEKDAYS = {"en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), "ko": tuple("월화수목금토일")}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
#: Seconds below which a unit is told, that unit in seconds, one of it, several of it.
_AGES = (
    (_HOUR, _MINUTE, N_("%(num)s minute ago"), N_("%(num)s minutes ago")),
    (_DAY, _HOUR, N_("%(num)s hour ago"), N_("%(num)s hours ago")),
    (30 * _DAY, _DAY, N_("%(num)s day ago"), N_("%(num)s days ago")),
)


def number(value: int) -> str:
    """With separators between thousands, as both languages write them."""
    return f"{value:,}"


def size(count: int) -> str:
    """Bytes in units of 1000, three digits: as docker shows them."""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    if unit == "B":
        return f"{count} B"
    return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"


def moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def absolute(microseconds: int, language: str) -> str:
    return moment(microseconds).strftime(_FORMS[language])


@lru_cache(maxsize=2000)
def day(number: int, language: str) -> str:
    """A day that is given as days since 1970."""
    return (_EPOCH + timedelta(days=number)).strftime(_DAYS[language])


def short_day(number: int, language: str) -> str:
    """Without its year."""
    return (_EPOCH + timedelta(days=number)).strftime(_SHORT_DAYS[language])


_SPANS = (
    (_MINUTE, 1, N_("%(num)s s")),
    (_HOUR, _MINUTE, N_("%(num)s min")),
    (_DAY, _HOUR, N_("%(num)s h")),
    (0, _DAY, N_("%(num)s d")),
)


def duration(microseconds: int, translation: NullTranslations) -> str:
    """How long something takes or is left, in its largest unit and the next: 3 min 12 s."""
    seconds = max(0, microseconds) // 1_000_000
    place = next(place for place, (limit, _unit, _form) in enumerate(_SPANS) if seconds < limit or not limit)
    _limit, unit, form = _SPANS[place]
    text = translation.gettext(form) % {"num": number(seconds // unit)}
    if place:
        _limit, smaller, form = _SPANS[place - 1]
        if rest := seconds % unit // smaller:
            text += " " + translation.gettext(form) % {"num": rest}
    return text


def wall_clock(microseconds: int, zone: tzinfo, language: str) -> str:
    """What the clocks of a zone show then, with the day of the week."""
    there = moment(microseconds).astimezone(zone)
    day = _WEEKDAYS[language][there.weekday()]
    return f"{there.strftime(_FORMS[language])} ({day})"


def when(microseconds: int | None, now: int, language: str, translation: NullTranslations) -> Markup:
    """How long ago, with the time itself in a title; the page's script puts that into the browser's time zone."""
    if microseconds is None:
        return Markup('<span class="none">\u2013</span>')
    full = text = absolute(microseconds, language)
    seconds = (now - microseconds) // 1_000_000
    if 0 <= seconds < _MINUTE:
        text = translation.gettext(N_("just now"))
    elif seconds >= 0:
        for limit, unit, one, several in _AGES:
            if seconds < limit:
                count = seconds // unit
                text = translation.ngettext(one, several, count) % {"num": count}
                break
    stamp = moment(microseconds).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Digits and words of ours: dozens on a page, so nothing is escaped twice.
    return Markup(f'<time datetime="{stamp}" title="{full} UTC">{escape(text)}</time>')  # noqa: S704
