"""Charts by days as numbers of a picture: scales, bars, what the pointer is told, and the same numbers as a table.

``templates/charts/macros.html`` makes a page of them. Across, all is in percent of a plot that is as wide as there is
room; upwards in points of one that is ``PLOT`` high: so texts are as large on a phone as anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

from naru.services.usage_history import Day, RegistryHistory, total
from naru.web.console import formats
from naru.web.console.language import N_
from naru.web.console.view import View

#: Days that are offered, the first unless another is asked for.
SPANS = (30, 90)
#: Registries with a colour of their own; the others are one together.
DRAWN = 5
PLOT = 132
#: Of a bar that is not nothing, so that it is seen.
LEAST = 1.5
#: The part of its day that a bar of a count takes; what is used fills it: it is there all day.
BAR = 0.72
#: Intervals of a scale at most.
INTERVALS = 4


class Series(NamedTuple):
    """``values`` by day; None: not known. ``tone`` is its colour, a class of the style sheet."""

    name: str
    values: Sequence[int | None]
    tone: str


class Mark(NamedTuple):
    """A part of a bar: its upper end and height, and its colour."""

    y: str
    height: str
    tone: str


class Column(NamedTuple):
    """A day. ``x`` and ``width`` are its room, ``bar_x`` and ``bar_width`` its bar's; ``title`` is for the pointer."""

    x: str
    width: str
    bar_x: str
    bar_width: str
    title: str
    marks: list[Mark]


class Tick(NamedTuple):
    y: str
    label: str


class Date(NamedTuple):
    """A day that is named below the plot. ``anchor`` is SVG's: which end of the name is at ``x``."""

    x: str
    anchor: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """``figure``: the number to read first. ``said``: the picture in a sentence. ``blank``: what an empty plot says
    instead. ``legend``: the series, when there are several. ``height``: of the plot."""

    key: str
    title: str
    figure: str
    note: str
    said: str
    blank: str
    ticks: list[Tick]
    dates: list[Date]
    columns: list[Column]
    legend: list[Series]
    height: int = PLOT

    @property
    def bars(self) -> Markup:
        """The days as SVG. Written here, as there are hundreds: numbers of ours, and titles that are escaped."""
        return Markup("\n".join(self._bar(one) for one in self.columns))  # noqa: S704

    def _bar(self, one: Column) -> str:
        marks = "".join(
            f'<rect class="{mark.tone}" x="{one.bar_x}" width="{one.bar_width}" y="{mark.y}" height="{mark.height}"/>'
            for mark in one.marks
        )
        hit = f'<rect class="hit" x="{one.x}" width="{one.width}" y="0" height="{self.height}"/>'
        return f'<g class="day"><title>{escape(one.title)}</title>{hit}{marks}</g>'


@dataclass(frozen=True, slots=True)
class Charts:
    """What one page draws, and its numbers: ``rows`` are days, the last first."""

    span: int
    spans: tuple[int, ...]
    charts: list[Chart]
    hint: str
    headings: list[str]
    rows: list[tuple[str, list[str]]]


def span(view: View) -> int:
    """How many days are asked for: one of those that are offered."""
    asked = view.number("days", SPANS[0], 0, 10_000)
    return asked if asked in SPANS else SPANS[0]


def of_project(view: View, histories: Sequence[RegistryHistory]) -> Charts:
    """Storage by registry, the largest in colours of their own; pulls and pushes of all. There is one registry."""
    ordered = sorted(histories, key=lambda one: (-(one.days[-1].bytes or 0), one.name))
    shown, rest = (ordered, []) if len(ordered) <= DRAWN + 1 else (ordered[:DRAWN], ordered[DRAWN:])
    series = [Series(one.name, _bytes(one.days), f"l{place}") for place, one in enumerate(shown)]
    if rest:
        series.append(Series(view.text(N_("Others")), _bytes(total(one.days for one in rest)), "rest"))
    return _charts(view, total(one.days for one in ordered), series)


def of_one(view: View, days: Sequence[Day]) -> Charts:
    """Of a registry or an image."""
    return _charts(view, days, [Series(view.text(N_("Storage used")), _bytes(days), "l0")])


def _bytes(days: Iterable[Day]) -> list[int | None]:
    return [one.bytes for one in days]


def _charts(view: View, days: Sequence[Day], storage: list[Series]) -> Charts:
    pulls = Series(view.text(N_("Pulls")), [one.pulls for one in days], "l2")
    pushes = Series(view.text(N_("Pushes")), [one.pushes for one in days], "l4")
    shown = [one.day for one in days]
    used = _bytes(days)
    measured = sum(one is not None for one in used)
    drawn = [_storage(view, shown, storage, used)] if measured else []
    no_pull = view.text(N_("Nothing was pulled in these days. Each docker pull counts."))
    no_push = view.text(N_("Nothing was pushed in these days. Each docker push counts."))
    whole = [Series(view.text(N_("Storage used")), used, "")] if len(storage) > 1 else []
    sizes = [*storage, *whole] if measured else []
    columns = [(one, formats.size) for one in sizes] + [(pulls, formats.number), (pushes, formats.number)]
    hints = {
        0: N_("How much it uses is measured each full hour, and drawn after that."),
        1: N_("Storage is measured from today on: each day adds a bar."),
    }
    return Charts(
        span=len(days),
        spans=SPANS,
        charts=[
            *drawn,
            _counts(view, "pulls", shown, pulls, no_pull),
            _counts(view, "pushes", shown, pushes, no_push),
        ],
        hint=view.text(hints[measured]) if measured in hints else "",
        headings=[one.name for one, _form in columns],
        rows=[
            (formats.day(shown[place], view.language), [_told(one.values[place], form) for one, form in columns])
            for place in reversed(range(len(days)))
        ],
    )


def _storage(view: View, days: Sequence[int], series: list[Series], used: Sequence[int | None]) -> Chart:
    known = [one for one in used if one is not None]
    values = {"now": _told(used[-1], formats.size), "most": formats.size(max(known, default=0))}
    said = view.text(N_("%(now)s now, %(most)s at most in %(days)s days."), days=len(days), **values)
    blank = "" if any(known) else view.text(N_("Nothing is stored yet. What is pushed is drawn here."))
    title = view.text(N_("Storage used"))
    return draw(
        view.language, "storage", title, days, series, formats.size, figure=values["now"], said=said, blank=blank
    )


def _counts(view: View, key: str, days: Sequence[int], one: Series, blank: str) -> Chart:
    known = [value or 0 for value in one.values]
    values = {"all": formats.number(sum(known)), "most": formats.number(max(known, default=0))}
    said = view.text(N_("%(all)s in %(days)s days, %(most)s at most on one day."), days=len(days), **values)
    title = view.text(N_("Pulls per day") if key == "pulls" else N_("Pushes per day"))
    note = view.text(N_("in %(days)s days"), days=len(days))
    blank = "" if any(known) else blank
    return draw(
        view.language,
        key,
        title,
        days,
        [one],
        formats.number,
        figure=values["all"],
        note=note,
        said=said,
        blank=blank,
        bar=BAR,
    )


def draw(
    language: str,
    key: str,
    title: str,
    days: Sequence[int],
    series: Sequence[Series],
    form: Callable[[int], str],
    *,
    figure: str = "",
    note: str = "",
    said: str = "",
    blank: str = "",
    bar: float = 1.0,
) -> Chart:
    """Bars of the days, the series on each other. ``form`` writes a value; ``bar``: how much of its day one takes."""
    sums = [sum(max(0, one.values[place] or 0) for one in series) for place in range(len(days))]
    ticks = scale(max(sums, default=0))
    top, room = ticks[-1], 100 / max(1, len(days))
    columns = []
    width, bar_width = percent(room), percent(room * bar)
    for place, day in enumerate(days):
        column = Column(
            x=percent(place * room),
            width=width,
            bar_x=percent((place + (1 - bar) / 2) * room),
            bar_width=bar_width,
            title=_title(formats.day(day, language), [(one.name, one.values[place]) for one in series], form),
            marks=_marks(series, place, top),
        )
        columns.append(column)
    return Chart(
        key=key,
        title=title,
        figure=figure,
        note=note,
        said=said,
        blank=blank,
        ticks=[Tick(f"{PLOT - PLOT * one / top:.1f}", form(one)) for one in ticks],
        dates=_dates(days, language),
        columns=columns,
        legend=list(series) if len(series) > 1 else [],
    )


def scale(most: int) -> list[int]:
    """Round numbers from 0 up, evenly: the last is ``most`` or more, never 0; ``INTERVALS`` of them at most."""
    step = power = 1
    while step * INTERVALS < most:
        for factor in (1, 2, 5, 10):
            step = power * factor
            if step * INTERVALS >= most:
                break
        power *= 10
    return [step * place for place in range(max(1, -(-most // step)) + 1)]


def percent(value: float) -> str:
    return f"{value:.3f}%"


def _marks(series: Sequence[Series], place: int, top: int) -> list[Mark]:
    marks: list[Mark] = []
    below = 0
    for one in series:
        value = one.values[place] or 0
        if value > 0:
            height = value / top * PLOT
            if len(series) == 1:
                height = max(LEAST, height)
            marks.append(Mark(f"{PLOT - below / top * PLOT - height:.2f}", f"{height:.2f}", one.tone))
            below += value
    return marks


def _title(day: str, values: Sequence[tuple[str, int | None]], form: Callable[[int], str]) -> str:
    """What the pointer is told: the day, and each value; of several their sum before them."""
    known = [value for _name, value in values if value is not None]
    if len(values) == 1 or not known:
        return f"{day}: {form(known[0]) if known else formats.NONE}"
    lines = [f"{name}: {_told(value, form)}" for name, value in values if value]
    return "\n".join([f"{day}: {form(sum(known))}", *lines])


def _dates(days: Sequence[int], language: str) -> list[Date]:
    """The first, the middle and the last; of few the last alone."""
    if not days:
        return []
    last = Date("100%", "end", formats.short_day(days[-1], language))
    if len(days) < 3:
        return [last]
    middle = len(days) // 2
    return [
        Date("0%", "start", formats.short_day(days[0], language)),
        Date(percent((middle + 0.5) * 100 / len(days)), "middle", formats.short_day(days[middle], language)),
        last,
    ]


def _told(value: int | None, form: Callable[[int], str]) -> str:
    return formats.NONE if value is None else form(value)
