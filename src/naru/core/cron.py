"""Schedules as cron writes them: five fields, on the wall clock of a time zone.

Source: the NCR user guide's table (minute, hour, day of month, month, day of week; ``* / , - ?``, names of months and
days). Beyond the table, ranges are taken in both fields of days as well. As in robfig/cron, which Harbor uses, a day
counts when either field of days fits if both are restricted (neither has a bare ``*`` or ``?``), else when both do.

Where a time zone changes its clocks: with every hour allowed (``*``), runs follow the time that passes, so none is left
out and each hour has its own. With certain hours, a wall-clock time that is skipped runs at the moment of the change,
and one that comes twice runs at the first.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from naru.core.errors import BadRequest

MAX_LENGTH = 256
#: The 29th of February is at most eight years away.
_HORIZON_DAYS = 366 * 9

_MONTHS = ("", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ITEM = re.compile(r"(?:(\*|\?)|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([0-9]{1,2}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    any_sign: str  # what else stands for all
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59, ""),
    _Field("hour", 0, 23, ""),
    _Field("day of month", 1, 31, "?"),
    _Field("month", 1, 12, "", _MONTHS),
    _Field("day of week", 0, 6, "?", _DAYS),
)


def time_zone(name: str) -> tzinfo:
    """``UTC``, or a zone of the tz database by its name. ``BadRequest``."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest(
            f"{ascii(name)[:100]} is no time zone that this server knows: give UTC or a name like Asia/Seoul"
        ) from None


@dataclass(frozen=True)
class Cron:
    """A schedule. Made by ``parse``."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either_day: bool
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: str = "UTC") -> Cron:
        """``BadRequest`` says which field is wrong, how, and what it may be; also for a day that never comes."""
        if len(text) > MAX_LENGTH:
            raise BadRequest(f"a schedule has at most {MAX_LENGTH} characters, not {len(text)}")
        parts = text.split()
        if len(parts) != len(_FIELDS):
            raise BadRequest(
                f"a schedule has five fields (minute, hour, day of month, month, day of week), for example "
                f"'0 3 * * SUN'; {text!a} has {len(parts)}"
            )
        found = [_values(part.upper(), field) for part, field in zip(parts, _FIELDS, strict=True)]
        (minutes, _), (hours, _), (days, all_days), (months, _), (weekdays, all_weekdays) = found
        made = cls(
            tuple(sorted(minutes)),
            tuple(sorted(hours)),
            days,
            months,
            weekdays,
            either_day=not (all_days or all_weekdays),
            zone=time_zone(zone),
        )
        longest = max(calendar.monthrange(2024, month)[1] for month in months)  # 2024 is a leap year
        if not made.either_day and min(days) > longest:
            raise BadRequest(f"{text!a} never comes: its months have no day {min(days)}")
        return made

    @cached_property
    def _every_hour(self) -> bool:
        return len(self.hours) == 24

    def next_after(self, moment: int) -> int:
        """The first run after the moment; both in microseconds since 1970 UTC."""
        return next(self.runs(moment))

    def next_runs(self, moment: int, count: int) -> list[int]:
        """The first ``count`` runs after the moment."""
        return list(islice(self.runs(moment), count))

    def runs(self, moment: int) -> Iterator[int]:
        """Every run after the moment, in order. ``BadRequest`` where the calendar of Python ends."""
        after = _EPOCH + timedelta(microseconds=moment)
        last = after
        waiting: set[datetime] = set()
        quiet = 0
        try:
            # A day of the wall clock may begin before the one ahead of it has ended, where clocks are put back.
            day = (after.astimezone(self.zone) - 2 * _DAY).date()
            while quiet < _HORIZON_DAYS:
                quiet += 1
                if self._fits(day):
                    waiting.update(run for run in self._runs_of(day, last) if run > last)
                sure = datetime(day.year, day.month, day.day, tzinfo=UTC) - _DAY
                for run in sorted(run for run in waiting if run < sure):
                    quiet = 0
                    last = run
                    waiting.discard(run)
                    yield (run - _EPOCH) // timedelta(microseconds=1)
                day += _DAY
        except OverflowError:
            pass
        raise BadRequest("this schedule has no further run")

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_month or by_week) if self.either_day else (by_month and by_week)

    def _runs_of(self, day: date, after: datetime) -> Iterator[datetime]:
        """Moments in UTC at which the wall clock of that day shows a time of the schedule."""
        for hour in self.hours:
            wall = datetime(day.year, day.month, day.day, hour)  # noqa: DTZ001 - what the wall clock shows
            begins = self._moment(wall, 0)
            if begins + 26 * _HOUR < after:
                continue
            ends = self._moment(wall + timedelta(minutes=59), 1)
            plain = ends - begins == timedelta(minutes=59) and self._is_plain(wall)
            for minute in self.minutes:
                if plain:
                    yield begins + minute * _MINUTE
                else:
                    yield from self._around_change(wall + minute * _MINUTE)

    def _is_plain(self, wall: datetime) -> bool:
        """Whether no clock is changed in that hour, nor does it come twice."""
        ends = wall + timedelta(minutes=59)
        return self._moment(wall, 0) == self._moment(wall, 1) and self._moment(ends, 0) == self._moment(ends, 1)

    def _around_change(self, wall: datetime) -> Iterator[datetime]:
        first, second = self._moment(wall, 0), self._moment(wall, 1)
        if first < second:  # comes twice
            yield first
            if self._every_hour:
                yield second
        elif first > second:  # skipped
            if not self._every_hour:
                yield self._change(second, first)
        else:
            yield first

    def _moment(self, wall: datetime, fold: int) -> datetime:
        return wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The minute, between two moments, at which the zone changes its clocks."""
        old = before.astimezone(self.zone).utcoffset()
        low, high = 0, (after - before) // _MINUTE
        while low < high:
            middle = (low + high) // 2
            if (before + middle * _MINUTE).astimezone(self.zone).utcoffset() == old:
                low = middle + 1
            else:
                high = middle
        return before + low * _MINUTE


def _values(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """What the field allows, and whether it is not restricted."""
    found: set[int] = set()
    unrestricted = False
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None or (match[1] == "?" and not field.any_sign):
            raise _wrong(field, item, f"write {_allowed(field)}")
        sign, low, high, step = match.groups()
        if sign:
            first, last = field.first, field.last
        else:
            first = _number(low, field, item)
            last = _number(high, field, item) if high else (field.last if step else first)
        by = int(step) if step else 1
        if by == 0:
            raise _wrong(field, item, "a step is at least 1")
        if first > last:
            raise _wrong(field, item, "a range begins with the smaller one")
        unrestricted |= bool(sign) and by == 1
        found.update(range(first, last + 1, by))
    return frozenset(found), unrestricted


def _number(text: str, field: _Field, item: str) -> int:
    if text in field.names:
        return field.names.index(text)
    if not (text.isascii() and text.isdigit()):
        raise _wrong(field, item, f"write {_allowed(field)}")
    number = int(text)
    if not field.first <= number <= field.last:
        raise _wrong(field, item, f"it goes from {field.first} to {field.last}")
    return number


def _allowed(field: _Field) -> str:
    names = f" or names ({field.names[1]}, ...)" if field.names else ""
    signs = "* / , -" + (" ?" if field.any_sign else "")
    return f"numbers from {field.first} to {field.last}{names} and {signs}"


def _wrong(field: _Field, item: str, rule: str) -> BadRequest:
    return BadRequest(f"the {field.name} of a schedule cannot be {ascii(item)[:50]}: {rule}")
