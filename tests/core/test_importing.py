"""What to copy and to where; what other registries say in headers."""

from __future__ import annotations

import pytest

from naru.core.errors import BadRequest, NameInvalid
from naru.core.importing import Wanted, challenges, next_page


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], {}),
        ([""], {}),
        (["Basic"], {"basic": {}}),
        (['Basic realm="a, Bearer realm=b"'], {"basic": {"realm": "a, Bearer realm=b"}}),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"'],
            {"bearer": {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"}},
        ),
        (
            ['Basic realm="x", Bearer realm="https://a/t", service=s'],
            {"basic": {"realm": "x"}, "bearer": {"realm": "https://a/t", "service": "s"}},
        ),
        (
            ['Bearer realm="1"', 'BASIC realm="2"', 'bearer realm="3"'],
            {"bearer": {"realm": "1"}, "basic": {"realm": "2"}},
        ),
        (['Bearer realm="a\\"b"'], {"bearer": {"realm": 'a"b'}}),
        (['Bearer realm="never closed'], {"bearer": {}}),
    ],
)
def test_challenges(values: list[str], found: dict[str, dict[str, str]]) -> None:
    assert challenges(values) == found


def test_a_long_header_takes_no_long_time() -> None:
    challenges(["Bearer " + 'a="' * 2700, "Bearer " + "a=" * 4000, "," * 8000 + " " * 100])
    next_page("https://a/b", "<" * 8000 + ";rel" * 2000)


@pytest.mark.parametrize(
    ("link", "following"),
    [
        (None, None),
        ("nonsense", None),
        ('</v2/_catalog?n=1&last=a>; rel="next"', "https://a:1/v2/_catalog?n=1&last=a"),
        ("<?last=a>; rel=next", "https://a:1/v2/x/tags/list?last=a"),
        ('<https://a:1/x>; rel="prev", </y>; title="z"; rel="next"', "https://a:1/y"),
        ('</x>; rel="nextest"', None),
    ],
)
def test_next_page(link: str | None, following: str | None) -> None:
    assert next_page("https://a:1/v2/x/tags/list", link) == following


@pytest.mark.parametrize("link", ["<https://b:1/x>", "<//b/x>", "<http://a:1/x>", "<https://a:2/x>"])
def test_a_next_page_elsewhere_is_refused(link: str) -> None:
    with pytest.raises(BadRequest, match="another server"):
        next_page("https://a:1/v2/x", f'{link}; rel="next"')


@pytest.mark.parametrize(
    ("wanted", "repository", "target"),
    [
        (Wanted(), "team/app", "team/app"),
        (Wanted(), "team/sub/app", "team/sub/app"),
        (Wanted(into="all"), "alpine", "all/alpine"),
        (Wanted(into="all"), "team/app", "all/team/app"),
        (Wanted(into="all", strip="library/"), "library/nginx", "all/nginx"),
        (Wanted(strip="mirror"), "mirror/team/app", "team/app"),
    ],
)
def test_target(wanted: Wanted, repository: str, target: str) -> None:
    assert str(wanted.target(repository)) == target


@pytest.mark.parametrize(
    ("wanted", "repository", "words"),
    [
        (Wanted(), "alpine", "--into"),
        (Wanted(strip="team/"), "team/app", "--into"),
        (Wanted(into="all"), "Upper/case", "upper-case"),
        (Wanted(into="all"), "a/../b", "must start"),
    ],
)
def test_no_target(wanted: Wanted, repository: str, words: str) -> None:
    with pytest.raises(NameInvalid, match=words):
        wanted.target(repository)


def test_which_repositories_and_tags() -> None:
    wanted = Wanted(("a/one", "b/*"), exclude="b/old*", tags="v*", exclude_tags="*-rc?")
    assert wanted.names == ("a/one",)
    assert wanted.needs_catalogue
    taken = [name for name in ("a/one", "a/two", "b/new", "b/old1", "b/c/d") if wanted.takes(name)]
    assert taken == ["b/new"]
    assert [tag for tag in ("v1", "v2-rc1", "latest") if wanted.takes_tag(tag)] == ["v1"]
    assert not Wanted(("a/one",)).needs_catalogue
    assert Wanted().needs_catalogue
    assert Wanted().takes("anything")
    with pytest.raises(BadRequest):
        Wanted(tags="[").check()
