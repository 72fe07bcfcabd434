"""Schedules: the guide's table, days, time zones; and a model that walks minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naru.core.cron import Cron
from naru.core.errors import BadRequest

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def micro(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def shown(moments: list[int]) -> list[str]:
    return [datetime.fromtimestamp(one // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M") for one in moments]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 0 * * 0", "2026-11-24T00:00", ["2026-11-29 00:00", "2026-12-06 00:00"]),  # the published example
        ("* * * * *", "2026-11-24T23:58", ["2026-11-24 23:59", "2026-11-25 00:00"]),
        ("*/20 * * * *", "2026-11-24T23:30", ["2026-11-24 23:40", "2026-11-25 00:00"]),
        ("10/20 * * * *", "2026-11-24T23:00", ["2026-11-24 23:10", "2026-11-24 23:30", "2026-11-24 23:50"]),
        ("5-15/5 3 * * *", "2026-11-24T03:05", ["2026-11-24 03:10", "2026-11-24 03:15", "2026-11-25 03:05"]),
        ("0 1,13 ? * ?", "2026-11-24T00:00", ["2026-11-24 01:00", "2026-11-24 13:00", "2026-11-25 01:00"]),
        ("0 0 1 JAN,jul ?", "2026-11-24T00:00", ["2027-01-01 00:00", "2027-07-01 00:00"]),
        ("0 0 ? * MON-WED", "2026-11-24T00:00", ["2026-11-25 00:00", "2026-11-30 00:00", "2026-12-01 00:00"]),
        ("0 0 13 * FRI", "2026-11-24T00:00", ["2026-11-27 00:00", "2026-12-04 00:00", "2026-12-11 00:00",
                                              "2026-12-13 00:00"]),  # either
        ("0 0 */10 * FRI", "2026-11-24T00:00", ["2026-11-27 00:00", "2026-12-01 00:00"]),  # a step restricts
        ("0 0 */1 * FRI", "2026-11-24T00:00", ["2026-11-27 00:00", "2026-12-04 00:00"]),
        ("0 0 13,* * FRI", "2026-11-24T00:00", ["2026-11-27 00:00", "2026-12-04 00:00"]),
        ("0 0 31 * *", "2026-11-24T00:00", ["2026-12-31 00:00", "2027-01-31 00:00", "2027-03-31 00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29 00:00"]),
        ("  0  0 1 1 *  ", "2026-11-24T00:00", ["2027-01-01 00:00"]),
    ],
)  # fmt: skip
def test_the_table(cron: str, after: str, expected: list[str]) -> None:
    assert shown(Cron.parse(cron).next_runs(micro(at(after)), len(expected))) == expected


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "five fields"),
        ("* * * *", "has 4"),
        ("* * * * * *", "has 6"),
        ("@daily", "has 1"),
        ("60 * * * *", "minute of a schedule cannot be '60': it goes from 0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * 32 * *", "from 1 to 31"),
        ("* * * 13 *", "month"),
        ("* * * * 7", "from 0 to 6"),
        ("? * * * *", "minute"),
        ("* ? * * *", "hour"),
        ("* * * ? *", "month"),
        ("*/0 * * * *", "at least 1"),
        ("5-1 * * * *", "smaller one"),
        ("1,,2 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("1/2/3 * * * *", "minute"),
        ("* * * FOO *", "names (JAN, ...)"),
        ("* * * SUN *", "month"),
        ("* * * * JAN", "names (MON, ...)"),
        ("* * L * *", "day of month"),
        ("* * * * 1#2", "day of week"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 2,4,6,9,11 ?", "no day 31"),
        ("\u0661 * * * *", "minute"),
        ("0" * 300, "at most 256"),
    ],
)
def test_what_is_no_schedule(cron: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Cron.parse(cron)
    assert said in refused.value.message


@pytest.mark.parametrize("zone", ["", "Asia", "Nowhere/At_All", "../../etc/passwd", "/etc/localtime", "x\0y", "UTC "])
def test_what_is_no_time_zone(zone: str) -> None:
    with pytest.raises(BadRequest, match="no time zone"):
        Cron.parse("* * * * *", zone)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 3 * * *", "Asia/Seoul", "2026-11-24T00:00", ["2026-11-24 18:00", "2026-11-25 18:00"]),
        # Berlin, 29 March 2026: 02:00 becomes 03:00 (01:00 UTC).
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
        ("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00",
         ["2026-03-29 01:00", "2026-03-29 01:30", "2026-03-30 00:00"]),
        ("30 * * * *", "Europe/Berlin", "2026-03-28T23:45", ["2026-03-29 00:30", "2026-03-29 01:30"]),
        # 25 October 2026: 03:00 becomes 02:00 (01:00 UTC).
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 * * * *", "Europe/Berlin", "2026-10-24T23:45", ["2026-10-25 00:30", "2026-10-25 01:30",
                                                             "2026-10-25 02:30"]),
        # Lord Howe moves by half an hour; Samoa left out a day.
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T20:00", ["2026-04-04 14:45", "2026-04-05 15:15"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T20:00", ["2026-10-03 15:30", "2026-10-04 15:15"]),
        ("0 12 30 * *", "Pacific/Apia", "2011-12-01T00:00", ["2011-12-30 10:00", "2012-01-29 22:00"]),
    ],
)  # fmt: skip
def test_where_clocks_change(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert shown(Cron.parse(cron, zone).next_runs(micro(at(after)), len(expected))) == expected


# The model: every minute of a few days is looked at by itself.

SETS = {
    "minute": st.sampled_from(["0", "*", "*/7", "30", "15,45", "10-20/5", "59", "50/3"]),
    "hour": st.sampled_from(["*", "2", "0", "1-3", "*/2", "23", "0,12", "2,3", "22/1"]),
    "day": st.sampled_from(["*", "*", "?", "1", "29,25", "*/5", "28-31", "?/1", "5"]),
    "month": st.sampled_from(["*", "*", "3,10", "MAR-NOV", "*/2", "4"]),
    "weekday": st.sampled_from(["*", "*", "?", "SUN", "0,6", "MON-FRI", "*/3"]),
}
NAMES = [
    ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
]
LIMITS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
#: Where clocks change, and the day before.
CHANGES = [
    ("Europe/Berlin", "2026-03-28"),
    ("Europe/Berlin", "2026-10-24"),
    ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("America/Sao_Paulo", "2018-11-03"),  # at midnight
    ("America/Sao_Paulo", "2018-02-17"),
    ("Pacific/Apia", "2011-12-29"),
    ("Asia/Kathmandu", "2026-03-28"),  # never
    ("UTC", "2026-03-28"),
]


def field_fits(text: str, value: int, number: int) -> bool:
    low, high = LIMITS[number]
    for item in text.split(","):
        body, _, step = item.partition("/")
        begin, dash, end = body.partition("-")
        if body in {"*", "?"}:
            first, last = low, high
        else:
            names = NAMES[number - 3] if number >= 3 else []
            first = names.index(begin) if begin in names else int(begin)
            last = (names.index(end) if end in names else int(end)) if dash else (high if step else first)
        if value in range(first, last + 1, int(step or 1)):
            return True
    return False


def bare(text: str) -> bool:
    return any(item in {"*", "?", "*/1", "?/1"} for item in text.split(","))


def wall_fits(fields: list[str], wall: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    by_month = field_fits(day, wall.day, 2)
    by_week = field_fits(weekday, (wall.weekday() + 1) % 7, 4)
    days = by_month and by_week if bare(day) or bare(weekday) else by_month or by_week
    return days and field_fits(minute, wall.minute, 0) and field_fits(hour, wall.hour, 1) and field_fits(
        month, wall.month, 3)  # fmt: skip


def model(fields: list[str], zone: ZoneInfo, start: datetime, minutes: int) -> Iterator[str]:
    every_hour = fields[1] == "*"
    moments = [start + number * MINUTE for number in range(minutes + 1)]
    walls = [(one, one.astimezone(zone)) for one in moments]
    for (_, before), (moment, wall) in pairwise(walls):
        naive, naive_before = wall.replace(tzinfo=None, fold=0), before.replace(tzinfo=None, fold=0)
        skipped = []
        while not every_hour and naive_before + MINUTE < naive:
            naive_before += MINUTE
            skipped.append(naive_before)
        hit = wall_fits(fields, naive) and (every_hour or wall.fold == 0)
        if hit or any(wall_fits(fields, one) for one in skipped):
            yield moment.strftime("%Y-%m-%d %H:%M")


@given(
    fields=st.tuples(*SETS.values()),
    change=st.sampled_from(CHANGES),
    offset=st.integers(0, 1440),
)
@settings(max_examples=120, deadline=None)
def test_as_the_model(fields: tuple[str, ...], change: tuple[str, str], offset: int) -> None:
    zone, day = change
    start = at(day) + offset * MINUTE
    minutes = 1440
    expected = list(model(list(fields), ZoneInfo(zone), start, minutes))
    *within, beyond = Cron.parse(" ".join(fields), zone).next_runs(micro(start), len(expected) + 1)
    assert shown(within) == expected
    assert beyond > micro(start + minutes * MINUTE)


def test_a_moment_between_minutes() -> None:
    cron = Cron.parse("* * * * *")
    assert cron.next_after(0) == 60_000_000
    assert cron.next_after(59_999_999) == 60_000_000
    assert cron.next_after(60_000_000) == 120_000_000
