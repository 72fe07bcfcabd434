"""The plan of a cleanup against a model: the words of the semantics, without a thought for speed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core import cleanup
from naru.core.cleanup import HOUR, Artifact, Kind, Options, Plan, Rule, Tag, plan
from naru.core.patterns import Selector
from naru.core.protection import ImageProtection, ProtectionRule
from tests.core.test_cleanup import DELETE, KEEP, NOW, PROTECTED, UNTAG, at, days, latest, numbered, rule

TAGS = ("v1", "v2", "dev", "latest")
PATTERNS = ("**", "v*", "dev", "!v*", "!dev", "unused")


def artifacts_strategy() -> st.SearchStrategy[list[Artifact]]:
    ages = st.integers(0, 12)
    tags = st.lists(st.builds(Tag, st.sampled_from(TAGS), ages.map(at), st.none() | ages.map(at)), max_size=3)
    one = st.builds(
        Artifact,
        st.just(0),
        st.just(""),
        st.just(1),
        ages.map(at),
        st.none() | ages.map(at),
        st.booleans(),
        tags.map(tuple),
    )
    return st.lists(one, max_size=12).map(numbered)


def rules_strategy() -> st.SearchStrategy[list[Rule]]:
    def made(tag: str, kind: Kind, count: int, untagged: bool) -> Rule:
        parameters: dict[str, Any] = {kind.value: -1 if kind is Kind.ALWAYS else count}
        return rule(tag, untagged=untagged, **parameters)

    one = st.builds(made, st.sampled_from(PATTERNS), st.sampled_from(list(Kind)), st.integers(0, 6), st.booleans())
    return st.lists(one, min_size=1, max_size=4)


def model_keeps(one: Artifact, everything: list[Artifact], policy: Rule, *, harbor: bool) -> bool:
    def taken(each: Artifact) -> bool:
        if each.tags:
            return any(policy.tag.takes(tag.name) for tag in each.tags)
        if harbor:
            return policy.untagged if policy.tag.include else not policy.untagged
        return policy.untagged

    def pushed(each: Artifact) -> int:
        return max([each.pushed_at] + [tag.pushed_at for tag in each.tags])

    def time(each: Artifact) -> int:
        if policy.kind in (Kind.LATEST_PUSHED, Kind.PUSHED_WITHIN):
            return pushed(each)
        pulls = [each.pulled_at or 0] + [tag.pulled_at or 0 for tag in each.tags]
        return max(pulls) if harbor else max([*pulls, pushed(each)])

    if not taken(one):
        return False
    if policy.kind is Kind.ALWAYS:
        return True
    if policy.kind in (Kind.PUSHED_WITHIN, Kind.PULLED_WITHIN):
        return time(one) > 0 and time(one) >= NOW - policy.count * 24 * HOUR
    newest_first = sorted(filter(taken, everything), key=lambda each: (time(each), each.id), reverse=True)
    return one in newest_first[: policy.count]


@given(artifacts_strategy(), rules_strategy(), st.booleans())
def test_it_is_the_model(artifacts: list[Artifact], rules: list[Rule], harbor: bool) -> None:
    found = list(plan(artifacts, rules, NOW, options=Options(harbor=harbor)))
    assert [one.artifact for one in found] == artifacts
    for one in found:
        kept = any(model_keeps(one.artifact, artifacts, policy, harbor=harbor) for policy in rules)
        if kept:
            assert one.verdict == KEEP
        elif one.artifact.in_index:
            assert one.verdict == UNTAG
        else:
            assert one.verdict == DELETE


@st.composite
def options_strategy(draw: st.DrawFn) -> Options:
    harbor, unmatched, tags = (draw(st.booleans()) for _ in range(3))
    hours = draw(st.sampled_from([0, 24, 96]))
    return Options(harbor=harbor, keep_unmatched=unmatched, remove_tags=tags, grace_hours=hours)


def model_decides(
    one: Artifact, everything: list[Artifact], rules: list[Rule], options: Options, held: Selector
) -> Any:
    """Verdict and tags that go, in the words of the guides of cleanup and protection."""
    keeping = [policy for policy in rules if model_keeps(one, everything, policy, harbor=options.harbor)]
    always = [Rule(9, each.scope, each.tag, each.untagged, Kind.ALWAYS, -1) for each in rules]
    taken = any(model_keeps(one, everything, policy, harbor=options.harbor) for policy in always)
    is_new = max([one.pushed_at] + [tag.pushed_at for tag in one.tags]) > NOW - options.grace_hours * HOUR
    names = tuple(tag.name for tag in one.tags)
    if keeping:
        lose = tuple(name for name in names if not any(p.tag.takes(name) for p in keeping) and not held.takes(name))
        return (UNTAG, lose) if options.remove_tags and lose and not is_new else (KEEP, ())
    if is_new or (options.keep_unmatched and not taken):
        return KEEP, ()
    if any(map(held.takes, names)):
        return PROTECTED, ()
    return (UNTAG, names) if one.in_index else (DELETE, ())


@given(artifacts_strategy(), rules_strategy(), options_strategy(), st.sampled_from(["none", "v*", "latest", "**"]))
def test_it_is_the_model_with_options_and_protection(
    artifacts: list[Artifact], rules: list[Rule], options: Options, held: str
) -> None:
    protection = ImageProtection("team/app", (ProtectionRule(1, Selector(True, "**"), Selector(True, held)),))
    for one in plan(artifacts, rules, NOW, options=options, protection=protection):
        expected = model_decides(one.artifact, artifacts, rules, options, Selector(True, held))
        assert (one.verdict, one.remove) == expected


@given(artifacts_strategy(), rules_strategy(), rules_strategy())
def test_another_policy_never_takes_away(artifacts: list[Artifact], rules: list[Rule], more: list[Rule]) -> None:
    kept = {one.artifact.id for one in plan(artifacts, rules, NOW) if one.verdict == KEEP}
    assert kept <= {one.artifact.id for one in plan(artifacts, [*rules, *more], NOW) if one.verdict == KEEP}


@given(artifacts_strategy(), st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_both_wordings_of_days(artifacts: list[Artifact], pushed: int, pulled: int, both: bool) -> None:
    """NCR's guide says that what is older than N days is removed, Harbor that what is newer is kept: of a policy that
    takes everything the same. Of two goes what is too old for each of them, not for one of them."""
    artifacts = [one._replace(in_index=False) for one in artifacts]
    policies = [rule(untagged=True, **days(pushed))] + [rule(untagged=True, **days(pulled, "pull"))] * both
    for one in plan(artifacts, policies, NOW):
        pushes = [one.artifact.pushed_at] + [tag.pushed_at for tag in one.artifact.tags]
        pulls = [one.artifact.pulled_at or 0] + [tag.pulled_at or 0 for tag in one.artifact.tags]
        old = NOW - max(pushes) > pushed * 24 * HOUR and (not both or NOW - max(pushes + pulls) > pulled * 24 * HOUR)
        assert one.verdict == (DELETE if old else KEEP)


@given(artifacts_strategy(), rules_strategy(), st.integers(1, 8))
def test_surveys_in_parts_say_the_same(artifacts: list[Artifact], rules: list[Rule], room: int) -> None:
    expected = list(plan(artifacts, rules, NOW))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "SURVEYED", room)
        assert list(plan(artifacts, rules, NOW)) == expected


@given(artifacts_strategy(), rules_strategy())
def test_a_second_run_finds_nothing(artifacts: list[Artifact], rules: list[Rule]) -> None:
    left = [one.artifact for one in plan(artifacts, rules, NOW) if one.verdict == KEEP]
    assert {one.verdict for one in plan(left, rules, NOW)} <= {KEEP}


def test_a_hundred_thousand_artifacts_leave_nothing_behind() -> None:
    """What is remembered is as much as policies count, whatever there is."""
    made = Plan([rule(**latest(5)), rule("v*", **latest(7, "pulled"))], "app", Options(), NOW)
    for _survey in made.surveys():
        for number in range(100_000):
            made.survey(Artifact(number, "", 1, at(number % 1000), None, False, (Tag(f"v{number}", at(1), None),)))
        assert sorted(map(len, made._heaps.values())) == [5, 7]
    assert len(made._least) == 2
