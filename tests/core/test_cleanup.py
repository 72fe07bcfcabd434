"""The plan of a cleanup: every line of what users of NCR and Harbor know, and the traps that are not copied.

Times are days before now. ``a("1.0,latest", 5)`` was pushed five days ago and never pulled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from naru.core.cleanup import DAY, Artifact, Decision, Kind, Options, Plan, Rule, Tag, Verdict, Why, plan
from naru.core.errors import BadRequest
from naru.core.patterns import Selector
from naru.core.protection import ImageProtection, ProtectionRule

NOW = 1_790_000_000_000_000
KEEP, DELETE, UNTAG, PROTECTED = Verdict.KEEP, Verdict.DELETE, Verdict.UNTAG, Verdict.PROTECTED


def at(days: float) -> int:
    return NOW - round(days * DAY)


def a(tags: str, pushed: float, pulled: float | None = None, /, **more: Any) -> Artifact:
    """``tags`` are separated by commas. Its number comes with ``numbered``."""
    time, last = at(pushed), None if pulled is None else at(pulled)
    kept = tuple(Tag(name, time, None) for name in tags.split(",") if name)
    return Artifact(0, "", 10, time, last, False, kept)._replace(**more)


def numbered(artifacts: Sequence[Artifact]) -> list[Artifact]:
    return [one._replace(id=number, digest=f"sha256:{number}") for number, one in enumerate(artifacts, 1)]


def rule(tag: str = "**", *, number: int = 1, scope: str = "**", untagged: bool = False, **parameters: int) -> Rule:
    """A pattern that begins with ``!`` excludes."""
    selectors = [Selector.of(not text.startswith("!"), text.removeprefix("!")) for text in (scope, tag)]
    made = Rule.of(*selectors, untagged=untagged, parameters=parameters or {"always": -1})
    return Rule(number, made.scope, made.tag, made.untagged, made.kind, made.count)


def decided(artifacts: Sequence[Artifact], *rules: Rule, protect: str = "", **options: Any) -> list[Decision]:
    protection = ImageProtection("team/app", ())
    if protect:
        protection = ImageProtection.of(
            "team", "app", [ProtectionRule(9, Selector(True, "**"), Selector.of(True, protect))]
        )
    kept = Options(**options)
    return list(plan(numbered(artifacts), rules, NOW, image="app", options=kept, protection=protection))


def verdicts(artifacts: Sequence[Artifact], *rules: Rule, **more: Any) -> str:
    """K, D, U or P of each."""
    return "".join(one.verdict.value[0] for one in decided(artifacts, *rules, **more))


def days(count: int, which: str = "push") -> dict[str, Any]:
    return {f"n_days_since_last_{which}": count}


def latest(count: int, which: str = "pushed") -> dict[str, Any]:
    return {f"latest_{which}_n_images": count}


# One line a case: what there is, the policies, what becomes of each.
CASES: dict[str, tuple[list[Artifact], list[Rule], str]] = {
    # The five kinds.
    "always keeps all that it takes": ([a("1", 900), a("2", 1)], [rule()], "KK"),
    "the K pushed last": ([a("1", 3), a("2", 1), a("3", 2)], [rule(**latest(2))], "DKK"),
    "the K pushed last, fewer there": ([a("1", 3)], [rule(**latest(10))], "K"),
    "the 0 pushed last": ([a("1", 3), a("2", 0)], [rule(**latest(0))], "DD"),
    "the same time: what came later": ([a("1", 3), a("2", 3), a("3", 3)], [rule(**latest(2))], "DKK"),
    "the N pulled last": ([a("1", 9, 1), a("2", 9, 3), a("3", 9, 2)], [rule(**latest(2, "pulled"))], "KDK"),
    "the N pulled last, fewer there": ([a("1", 9, 3)], [rule(**latest(10, "pulled"))], "K"),
    "the 0 pulled last": ([a("1", 9, 0), a("2", 0)], [rule(**latest(0, "pulled"))], "DD"),
    "the most that can be counted": ([a("1", 9), a("2", 8)], [rule(**latest(32_766))], "KK"),
    "pushed within N days": ([a("1", 31), a("2", 29)], [rule(**days(30))], "DK"),
    "pushed exactly N days ago": ([a("1", 30)], [rule(**days(30))], "K"),
    "a moment more": ([a("1", 30 + 1 / DAY)], [rule(**days(30))], "D"),
    "pushed within 0 days": ([a("1", 0), a("2", 1)], [rule(**days(0))], "KD"),
    "the longest time": ([a("1", 9000)], [rule(**days(20_190_904))], "K"),
    "pulled within N days": ([a("1", 99, 31), a("2", 99, 29)], [rule(**days(30, "pull"))], "DK"),
    "pulled exactly N days ago": ([a("1", 99, 30)], [rule(**days(30, "pull"))], "K"),
    "pulled a moment more ago": ([a("1", 99, 30 + 1 / DAY)], [rule(**days(30, "pull"))], "D"),
    "pulled within 0 days": ([a("1", 9, 0), a("2", 9, 1)], [rule(**days(0, "pull"))], "KD"),
    "a pull does not count for a push policy": ([a("1", 99, 1)], [rule(**days(30))], "D"),
    # Times: the latest of the artifact's and its tags'.
    "a tag that was pushed later": (
        [a("1", 99, tags=(Tag("1", at(99), None), Tag("2", at(1), None)))],
        [rule(**days(30))],
        "K",
    ),
    "a tag that was pulled later": ([a("1", 99, 98, tags=(Tag("1", at(99), at(1)),))], [rule(**days(9, "pull"))], "K"),
    "the artifact was pulled later": (
        [a("1", 99, 1, tags=(Tag("1", at(99), at(98)),))],
        [rule(**days(9, "pull"))],
        "K",
    ),
    # Image and tag and kind must all fit: one policy.
    "the tag does not fit": ([a("dev", 1), a("v1", 1)], [rule("v*")], "DK"),
    "the image does not fit": ([a("v1", 1)], [rule("v*", scope="other"), rule("x")], "D"),
    "an image with slashes, other pattern": ([a("v1", 1)], [rule("v*", scope="!group/**")], "K"),
    "the count is of what the tag fits": ([a("v1", 9), a("dev", 1), a("v2", 8)], [rule("v*", **latest(1))], "DDK"),
    # Several policies: what they keep adds up.
    "union": ([a("v1", 9), a("dev", 9), a("x", 9)], [rule("v*"), rule("dev")], "KKD"),
    "union of counts and days": (
        [a("1", 50), a("2", 40), a("3", 1)],
        [rule(**latest(1)), rule(**days(45))],
        "DKK",
    ),
    "one that keeps nothing takes nothing away": ([a("1", 1)], [rule("nobody-uses-this"), rule()], "K"),
    # Artifacts, not tags.
    "one kept tag keeps the artifact": ([a("v1,dev", 9)], [rule("v*")], "K"),
    "a count is of artifacts": ([a("1,2,3", 2), a("4", 1)], [rule(**latest(2))], "KK"),
    # Patterns.
    "alternatives": ([a("v1", 1), a("stable", 1), a("x", 1)], [rule("v*,stable")], "KKD"),
    "an empty pattern is all": ([a("1", 1)], [rule("")], "K"),
    "a star does not cross a slash": ([a("1", 1)], [rule("1", scope="*/app"), rule("x")], "D"),
    "one character, one of some, braces": (
        [a("v1", 1), a("v10", 1), a("rc-b", 1), a("rc-x", 1), a("prod", 1)],
        [rule("v?,rc-[a-c],{prod,stage}")],
        "KDKDK",
    ),
    # Excluding: each tag is looked at on its own.
    "excluding": ([a("dev", 1), a("v1", 1)], [rule("!dev")], "DK"),
    "excluding, another tag": ([a("latest,abc", 1)], [rule("!latest")], "K"),
    "excluding, all tags": ([a("latest,later", 1)], [rule("!late*")], "D"),
    # Without a tag.
    "untagged, not taken": ([a("", 1), a("1", 1)], [rule()], "DK"),
    "untagged, taken": ([a("", 1), a("1", 1)], [rule(untagged=True)], "KK"),
    "untagged, taken by an excluding policy that says so": ([a("", 1)], [rule("!x", untagged=True)], "K"),
    "untagged, not by one that does not": ([a("", 1)], [rule("!x")], "D"),
    "untagged, by time": ([a("", 9), a("", 1)], [rule(untagged=True, **days(5))], "DK"),
    # Traps of Harbor's.
    "never pulled, pushed a minute ago": ([a("1", 1 / 1440)], [rule(**days(7, "pull"))], "K"),
    "never pulled, pushed long ago": ([a("1", 8)], [rule(**days(7, "pull"))], "D"),
    "the N pulled last count pushes": ([a("1", 20, 10), a("2", 5)], [rule(**latest(1, "pulled"))], "DK"),
    # The guide's recipe.
    "all images, a tag name that nobody uses, exclude all": (
        [a("1", 0), a("latest", 1), a("", 2), a("v1,v2", 3)],
        [rule("nobody-uses-this")],
        "DDDD",
    ),
    "nothing there": ([], [rule("x")], ""),
}


@pytest.mark.parametrize("name", CASES)
def test_the_plan(name: str) -> None:
    artifacts, rules, expected = CASES[name]
    assert verdicts(artifacts, *rules) == expected
    assert verdicts(artifacts, *reversed(rules)) == expected, "the order of the policies does not matter"
    reordered = sorted(zip(numbered(artifacts), expected, strict=True), key=lambda one: -one[0].id)
    assert [one.verdict.value[0] for one in plan([each for each, _ in reordered], rules, NOW, image="app")] == [
        one for _, one in reordered
    ], "nor does the order of the artifacts"


HARBOR: dict[str, tuple[list[Artifact], list[Rule], str]] = {
    "never pulled is older than everything": ([a("1", 0.1)], [rule(**days(7, "pull"))], "D"),
    "and the last of all counts": ([a("1", 0.1), a("2", 50, 40)], [rule(**latest(1, "pulled"))], "DK"),
    "but counts": ([a("1", 0.1), a("2", 50, 40)], [rule(**latest(2, "pulled"))], "KK"),
    "untagged with matching": ([a("", 1)], [rule("x", untagged=True)], "K"),
    "not untagged with matching": ([a("", 1)], [rule("x", untagged=False)], "D"),
    "untagged with excluding is the other way round": ([a("", 1)], [rule("!x", untagged=True)], "D"),
    "not untagged with excluding": ([a("", 1)], [rule("!x", untagged=False)], "K"),
    "a push policy is the same": ([a("1", 8), a("2", 1)], [rule(**days(7))], "DK"),
}


@pytest.mark.parametrize("name", HARBOR)
def test_the_plan_in_harbors_way(name: str) -> None:
    artifacts, rules, expected = HARBOR[name]
    assert verdicts(artifacts, *rules, harbor=True) == expected


def test_an_image_that_no_policy_is_about_has_no_rules() -> None:
    """The run does not look at it: ``rules`` says so."""
    assert Plan([rule(scope="other"), rule(scope="!app")], "app", Options(), NOW).rules == ()
    assert len(Plan([rule(scope="a*"), rule(scope="x")], "app", Options(), NOW).rules) == 1


def test_protection_wins_and_is_shown() -> None:
    artifacts = [a("release-1,x", 99), a("release-2", 1), a("x", 99)]
    found = decided(artifacts, rule(**days(30)), protect="release-*")
    assert [one.verdict for one in found] == [PROTECTED, KEEP, DELETE]
    assert found[0].why == Why.PROTECTED
    assert "protection policy 9" in found[0].reason
    assert "'release-1'" in found[0].reason
    assert found[1].why == Why.RULE, "kept anyway: protection has nothing to do with it"


def test_an_excluding_protection_does_not_protect_what_has_no_tag() -> None:
    """Harbor's does."""
    protection = ImageProtection("team/app", (ProtectionRule(9, Selector(True, "**"), Selector(False, "x")),))
    (found,) = plan(numbered([a("", 9)]), [rule()], NOW, protection=protection)
    assert found.verdict == DELETE


def test_an_artifact_of_an_index_loses_its_tags_alone() -> None:
    child, kept = a("arm64", 99, in_index=True), a("arm64", 1, in_index=True)
    found = decided([child, kept], rule(**days(30)))
    assert [(one.verdict, one.why, one.remove) for one in found] == [
        (UNTAG, Why.IN_INDEX, ("arm64",)),
        (KEEP, Why.RULE, ()),
    ]
    assert verdicts([child], rule(**days(30)), protect="arm*") == "P"


def test_what_was_pushed_since_the_run_began_stays() -> None:
    later = a("x", 0, pushed_at=NOW + 1)
    moved = a("x", 99, tags=(Tag("x", NOW + 1, None),))
    assert [one.why for one in decided([later, moved, a("x", 0)], rule("y"))] == [
        Why.DURING_RUN,
        Why.DURING_RUN,
        Why.NOT_TAKEN,
    ]


def test_what_no_policy_takes_may_stay() -> None:
    artifacts = [a("v1", 99), a("dev", 99), a("", 99)]
    assert verdicts(artifacts, rule("v*", **days(30))) == "DDD"
    assert verdicts(artifacts, rule("v*", **days(30)), keep_unmatched=True) == "DKK"
    assert decided(artifacts, rule("v*"), keep_unmatched=True)[1].why == Why.NOT_TAKEN


def test_a_time_of_grace() -> None:
    artifacts = [a("x", 0.5), a("x", 1), a("x", 2)]
    assert verdicts(artifacts, rule("y")) == "DDD"
    assert verdicts(artifacts, rule("y"), grace_hours=24) == "KDD"
    assert decided(artifacts, rule("y"), grace_hours=24)[0].why == Why.GRACE
    assert verdicts([a("v,x", 0.5)], rule("v"), grace_hours=24, remove_tags=True) == "K"
    with pytest.raises(BadRequest, match="grace_hours"):
        Options(grace_hours=-1)


def test_tags_may_go_alone() -> None:
    artifacts = [a("v1,dev,tmp", 9), a("v2", 9), a("dev", 9)]
    found = decided(artifacts, rule("v*"), remove_tags=True)
    assert [(one.verdict, one.remove) for one in found] == [(UNTAG, ("dev", "tmp")), (KEEP, ()), (DELETE, ())]
    found = decided(artifacts, rule("v*"), rule("dev", number=2), remove_tags=True, protect="t*")
    assert [(one.verdict, one.remove) for one in found] == [(KEEP, ()), (KEEP, ()), (KEEP, ())]


def test_reasons_are_told() -> None:
    rules = [rule("v*", number=7, **days(30)), rule("v1", number=8, **latest(1, "pulled"))]
    found = decided([a("v1", 40), a("v1", 1), a("x", 9)], *rules)
    assert found[0].reason == (
        "policy 7 keeps what was pushed within 30 days, and that was 40 days ago; "
        "policy 8 keeps the 1 pulled last, and others are newer"
    )
    assert (found[0].rule, found[0].why) == (7, Why.NOT_KEPT)
    assert (found[1].rule, found[1].reason) == (7, "policy 7 keeps what was pushed within 30 days")
    assert (found[2].rule, found[2].reason) == (None, "no policy is about its tags")
    assert decided([a("", 9)], rule())[0].reason == "no policy is about what has no tag"
    never = decided([a("1", 9)], rule(**days(3, "pull")), harbor=True)[0]
    assert never.reason.endswith("and that never happened")


# Policies as they come and as they are remembered.


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({}, "none was given"),
        ({"always": -1, "n_days_since_last_push": 1}, "together"),
        ({"always": 1}, "always is -1"),
        ({"always": 0}, "always is -1"),
        ({"latest_pushed_n_images": -1}, "from 0 to 32766"),
        ({"latest_pulled_n_images": 32_767}, "from 0 to 32766"),
        ({"n_days_since_last_pull": -1}, "from 0 to 20190904"),
        ({"n_days_since_last_push": 20_190_905}, "from 0 to 20190904"),
        ({"n_days_since_last_push": None}, "none was given"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters: dict[str, int | None], why: str) -> None:
    """Harbor falls back to a default, silently."""
    with pytest.raises(BadRequest, match=why):
        Rule.of(Selector(True, "**"), Selector(True, "**"), untagged=None, parameters=parameters)


@pytest.mark.parametrize(("kind", "count"), [(Kind.ALWAYS, -1), *((kind, 5) for kind in Kind if kind != "always")])
def test_a_policy_is_remembered_as_it_was(kind: Kind, count: int) -> None:
    parameters: dict[str, Any] = {kind.value: count}
    made = rule("!v*", number=3, scope="a/**", untagged=True, **parameters)
    assert Rule.from_json(made.as_json()) == made
    assert made.kind == kind
