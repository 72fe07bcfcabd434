from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core.errors import PaginationInvalid, RangeInvalid
from naru.core.ranges import parse_content_range, parse_page_size, parse_range

HUGE = "9" * 150
sizes = st.integers(0, 2**63 - 1) | st.integers(0, 50)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=500-1499", (500, 1500)),
        ("bytes=500-", (500, 2048)),
        ("bytes=-500", (1548, 2048)),
        ("bytes=2000-5000", (2000, 2048)),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 2048)),
        ("bytes=2047-2047", (2047, 2048)),
        ("bytes=-1", (2047, 2048)),
        ("bytes=-4096", (0, 2048)),
        (f"bytes=0-{HUGE}", (0, 2048)),
        (f"bytes=-{HUGE}", (0, 2048)),
        ("bytes=00000-00001", (0, 2)),
        ("Bytes=0-1", (0, 2)),
        ("bytes= 0-1 ", (0, 2)),
        # Ignored: other units, several ranges, malformed, too long.
        ("", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes 0-1", None),
        ("items=0-1", None),
        ("bytes=0-1,5-6", None),
        ("bytes=0-1,", None),
        ("bytes=" + ",".join(["0-1"] * 1000), None),
        ("bytes=a-b", None),
        ("bytes=0x1-2", None),
        ("bytes=+1-2", None),
        ("bytes=--1", None),
        ("bytes=1-2-3", None),
        ("bytes=0-1\n", None),
        ("bytes=1_0-20", None),
        ("bytes=\N{ARABIC-INDIC DIGIT ONE}-", None),
        ("bytes=²-", None),
        ("bytes=0-" + "9" * 10_000, None),
    ],
)
def test_range(header: str, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 2048) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=2048-", 2048),
        ("bytes=5000-10000", 2048),
        (f"bytes={HUGE}-", 2048),
        ("bytes=500-0", 2048),
        ("bytes=-0", 2048),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-1", 0),
        ("bytes=-0", 0),
    ],
)
def test_range_refused(header: str, size: int) -> None:
    with pytest.raises(RangeInvalid, match=f"the blob has {size} bytes") as caught:
        parse_range(header, size)
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}
    assert caught.value.status == 416


def test_malformed_ranges_of_an_empty_blob_are_ignored() -> None:
    assert parse_range("bytes=x", 0) is None


numbers = st.integers(0, 60).map(str) | st.just("") | st.integers(0, 10**30).map(str)


@given(st.tuples(numbers, numbers).map(lambda pair: f"bytes={pair[0]}-{pair[1]}") | st.text(), sizes)
def test_ranges_lie_inside_the_blob(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except RangeInvalid:
        return
    if found is not None:
        start, end = found
        assert 0 <= start < end <= size


@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_range_is_the_bytes_that_it_names(blob: bytes, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(blob) - 1))
    last = data.draw(st.integers(first, len(blob) + 5))
    assert parse_range(f"bytes={first}-{last}", len(blob)) == (first, first + len(blob[first : last + 1]))
    count = data.draw(st.integers(1, len(blob) + 5))
    assert parse_range(f"bytes=-{count}", len(blob)) == (len(blob) - len(blob[-count:]), len(blob))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0-0", (0, 1)),
        ("0-1023", (0, 1024)),
        ("1024-2047", (1024, 2048)),
        ("bytes 0-1023/*", (0, 1024)),
        ("bytes 0-1023/1024", (0, 1024)),
        ("bytes 0-1023", (0, 1024)),
        ("bytes=0-1023", (0, 1024)),
        ("Bytes 0-1023/2048", (0, 1024)),
        (f"0-{2**63 - 2}", (0, 2**63 - 1)),
        (f"bytes 0-1/{HUGE}", (0, 2)),
    ],
)
def test_content_range(header: str, expected: tuple[int, int]) -> None:
    assert parse_content_range(header) == expected


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("", "malformed"),
        ("0", "malformed"),
        ("0-", "malformed"),
        ("-5", "malformed"),
        ("a-b", "malformed"),
        ("0-1\n", "malformed"),
        (" 0-1", "malformed"),
        ("0 - 1", "malformed"),
        ("0--1", "malformed"),
        ("+0-1", "malformed"),
        ("0-1/", "malformed"),
        ("bytes */1024", "malformed"),
        ("items 0-1/2", "malformed"),
        ("0-1,2-3", "malformed"),
        ("0-\N{ARABIC-INDIC DIGIT NINE}", "malformed"),
        ("0-" + "9" * 10_000, "malformed"),
        ("5-4", "reversed"),
        (f"{HUGE}-0", "reversed"),
        (f"0-{2**63 - 1}", "out of bounds"),
        (f"{HUGE}-{HUGE[:-1]}", "malformed"),
        (f"0-{HUGE}", "out of bounds"),
        ("bytes 0-1024/1024", "outside the total"),
        ("bytes 0-0/0", "outside the total"),
    ],
)
def test_content_range_refused(header: str, rule: str) -> None:
    with pytest.raises(RangeInvalid, match=rule) as caught:
        parse_content_range(header)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@given(st.integers(0, 2**63 - 2), st.integers(0, 2**63 - 2), st.sampled_from(["{}-{}", "bytes {}-{}/*"]))
def test_content_range_round_trip(first: int, second: int, form: str) -> None:
    start, last = sorted((first, second))
    assert parse_content_range(form.format(start, last)) == (start, last + 1)


@given(st.text() | st.text("0123456789-/* bytes="))
def test_any_content_range_is_sound_or_refused(header: str) -> None:
    try:
        start, end = parse_content_range(header)
    except RangeInvalid as error:
        error.message.encode()
    else:
        assert 0 <= start < end < 2**63


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("000", 0),
        ("1", 1),
        ("007", 7),
        ("999", 999),
        ("1000", 1000),
        ("1001", 1000),
        ("1000000000000", 1000),
        ("1" + "0" * 1000, 1000),
        ("0" * 10_000 + "5", 5),
        ("9" * 100_000, 1000),
    ],
)
def test_page_size(text: str, expected: int) -> None:
    assert parse_page_size(text, 1000) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "ten",
        " 1",
        "1 ",
        "1\n",
        "1_000",
        "0x10",
        "²",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "\N{FULLWIDTH DIGIT ONE}",
        "\x00",
        "-" * 9**5,
    ],
)
def test_page_size_refused(text: str) -> None:
    with pytest.raises(PaginationInvalid, match="it must be a whole number") as caught:
        parse_page_size(text, 1000)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300
    assert (caught.value.code, caught.value.status) == ("PAGINATION_NUMBER_INVALID", 400)


@given(st.integers(0, 10**40), st.integers(0, 10**6))
def test_page_size_is_clamped(number: int, maximum: int) -> None:
    assert parse_page_size(str(number), maximum) == min(number, maximum)


def test_long_input_is_cheap() -> None:
    begin = time.perf_counter()
    text = "1" * 4_000_000
    parse_page_size(text, 10)
    assert parse_range(f"bytes=0-{text}", 10) is None
    with pytest.raises(RangeInvalid):
        parse_content_range(f"0-{text}")
    assert time.perf_counter() - begin < 1
