"""Cleanup (이미지 정리): what of an image is kept, what goes, and why.

A policy says what is *kept*: of the images that ``scope`` takes, the artifacts that ``tag`` takes, those that ``kind``
is about. What several policies keep adds up. Of an image that a policy is about, the rest goes; an image that no
policy is about is never looked at.

- A policy takes an artifact when it takes one of its tags (each tag is looked at on its own), and an artifact without
  a tag when it says ``untagged``. What is kept keeps all of its tags, unless ``Options.remove_tags``.
- The time of an artifact is the latest of its own and its tags'. A push counts as a pull: what was pushed a minute ago
  and never pulled is not the oldest of all.
- Counts are of one image. Of artifacts with the same time the one that came later is the newer.
- What a protection policy holds is kept, and what was pushed since the run began.

Sources: NCR user guide, "컨테이너 이미지 정리"; Harbor's tag retention, whose traps are not copied (``Options.harbor``
brings two of them back for whom depends on them).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from naru.core.errors import BadRequest
from naru.core.patterns import Selector
from naru.core.protection import ImageProtection

DAY = 86_400_000_000  # microseconds
HOUR = 3_600_000_000
MAX_COUNT = 32_766  # Harbor's
MAX_DAYS = 20_190_904  # Harbor's
MAX_GRACE_HOURS = 24 * 365
#: Places that a survey remembers at once, over all policies: what bounds the memory.
SURVEYED = 100_000


class Kind(StrEnum):
    """What a policy keeps of what it takes. The values are the published names."""

    ALWAYS = "always"
    LATEST_PULLED = "latest_pulled_n_images"
    LATEST_PUSHED = "latest_pushed_n_images"
    PULLED_WITHIN = "n_days_since_last_pull"
    PUSHED_WITHIN = "n_days_since_last_push"


class Verdict(StrEnum):
    """What becomes of an artifact."""

    KEEP = "KEEP"
    DELETE = "DELETE"
    UNTAG = "UNTAG"  # the artifact stays, tags go
    PROTECTED = "PROTECTED"  # would go, but for a protection policy


class Why(StrEnum):
    """The reason of a verdict, for programs; the words are in ``Decision.reason``."""

    RULE = "rule"  # a policy keeps it
    NOT_TAKEN = "not_taken"  # no policy is about its tags
    NOT_KEPT = "not_kept"  # policies are about it, and none keeps it
    GRACE = "grace"  # too new to go, whatever policies say
    DURING_RUN = "during_run"  # pushed, moved or used since the run began
    PROTECTED = "protected"
    IN_INDEX = "in_index"  # an index names it: it goes with the index
    OTHER_TAGS = "other_tags"  # kept for some tags; the others go


class Tag(NamedTuple):
    name: str
    pushed_at: int  # microseconds since 1970 UTC, as all times here
    pulled_at: int | None


class Artifact(NamedTuple):
    """The facts. ``size``: bytes of the manifest and what it names. ``in_index``: an index of the image names it."""

    id: int
    digest: str
    size: int
    pushed_at: int
    pulled_at: int | None
    in_index: bool
    tags: tuple[Tag, ...]

    @property
    def pushed(self) -> int:
        return max([self.pushed_at, *(tag.pushed_at for tag in self.tags)])

    @property
    def pulled(self) -> int | None:
        """None: never."""
        times = [time for time in (self.pulled_at, *(tag.pulled_at for tag in self.tags)) if time is not None]
        return max(times) if times else None


@dataclass(frozen=True, slots=True)
class Options:
    """How a registry's policies work. ``harbor``: pull policies look at pulls alone, and a policy that excludes tags
    takes what has no tag unless it says ``untagged``."""

    harbor: bool = False
    keep_unmatched: bool = False  # artifacts of a matched image whose tags no policy takes stay
    remove_tags: bool = False  # of what is kept, tags that no policy keeps go
    grace_hours: int = 0  # what was pushed within them stays, whatever policies say

    def __post_init__(self) -> None:
        if not 0 <= self.grace_hours <= MAX_GRACE_HOURS:
            raise BadRequest(f"grace_hours is from 0 to {MAX_GRACE_HOURS}, not {self.grace_hours}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A cleanup policy. ``count``: artifacts or days; -1 for ``always``."""

    id: int
    scope: Selector
    tag: Selector
    untagged: bool
    kind: Kind
    count: int

    @classmethod
    def of(cls, scope: Selector, tag: Selector, *, untagged: bool | None, parameters: Mapping[str, int | None]) -> Rule:
        """From the published form. ``BadRequest`` unless ``parameters`` has exactly one key, with a value in range."""
        given = {key: value for key, value in parameters.items() if value is not None}
        if len(given) != 1:
            known = ", ".join(Kind)
            told = f"not {', '.join(given)} together" if given else "none was given"
            raise BadRequest(f"parameters has exactly one of {known}; {told}")
        ((key, value),) = given.items()
        kind = Kind(key)
        if kind is Kind.ALWAYS:
            if value != -1:
                raise BadRequest(f"parameters.always is -1 and keeps everything that the policy takes, not {value}")
        else:
            most = MAX_DAYS if kind in {Kind.PULLED_WITHIN, Kind.PUSHED_WITHIN} else MAX_COUNT
            if not 0 <= value <= most:
                raise BadRequest(f"parameters.{key} is from 0 to {most}, not {value}")
        return cls(0, scope, tag, bool(untagged), kind, value)

    def as_json(self) -> dict[str, Any]:
        """For the audit log and for what a run remembers of its policies."""
        return {
            "id": self.id,
            "scope": {"include": self.scope.include, "pattern": self.scope.pattern},
            "tag": {"include": self.tag.include, "pattern": self.tag.pattern, "untagged": self.untagged},
            "parameters": {self.kind.value: self.count},
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Rule:
        """What ``as_json`` wrote."""
        scope, tag = kept["scope"], kept["tag"]
        ((kind, count),) = kept["parameters"].items()
        images, tags = (Selector(one["include"], one["pattern"]) for one in (scope, tag))
        return cls(kept["id"], images, tags, tag["untagged"], Kind(kind), count)

    def takes(self, artifact: Artifact, options: Options) -> bool:
        """Whether the policy is about the artifact, whatever it keeps."""
        if artifact.tags:
            return any(self.tag.takes(tag.name) for tag in artifact.tags)
        return self.untagged == self.tag.include if options.harbor else self.untagged

    def time(self, artifact: Artifact, options: Options) -> int:
        """The time that it looks at; 0: never."""
        if self.kind in {Kind.LATEST_PUSHED, Kind.PUSHED_WITHIN}:
            return artifact.pushed
        pulled = artifact.pulled or 0
        return pulled if options.harbor else max(pulled, artifact.pushed)

    @property
    def keeps(self) -> str:
        """In words."""
        return {
            Kind.ALWAYS: "all",
            Kind.LATEST_PULLED: f"the {self.count} pulled last",
            Kind.LATEST_PUSHED: f"the {self.count} pushed last",
            Kind.PULLED_WITHIN: f"what was pulled within {self.count} days",
            Kind.PUSHED_WITHIN: f"what was pushed within {self.count} days",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with an artifact. ``rule``: the policy that decided, None when none did. ``remove``: the tags
    to remove where the verdict is ``UNTAG``."""

    artifact: Artifact
    verdict: Verdict
    why: Why
    reason: str
    rule: int | None = None
    remove: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return self.verdict in {Verdict.DELETE, Verdict.UNTAG}

    def kept(self, why: Why, reason: str) -> Decision:
        """The same artifact, kept after all."""
        return replace(self, verdict=Verdict.KEEP, why=why, reason=reason, rule=None, remove=())


Place = tuple[int, int]  # time and id: the order of artifacts


class Plan:
    """Of one image. First ``survey`` everything for each of ``surveys()``, then ``decide`` about everything.

    Both may see the artifacts one after the other, in any order; nothing is kept of an artifact but its place, and of
    those only as many as policies count: an image of 100,000 artifacts takes no more memory than one of ten.
    """

    def __init__(self, rules: Sequence[Rule], image: str, options: Options, started: int) -> None:
        """``rules``: the enabled ones of the registry. ``image``: without the registry. ``started``: when the run
        began, in microseconds since 1970 UTC; it is the run's only "now"."""
        self.rules = tuple(rule for rule in rules if rule.scope.takes(image))
        self.options = options
        self.started = started
        self._least: dict[int, Place] = {}  # place of a rule in ``rules`` -> the last place that it keeps
        self._heaps: dict[int, list[Place]] = {}

    def surveys(self) -> Iterator[None]:
        """For each item all artifacts must be surveyed once."""
        counting = [
            place
            for place, rule in enumerate(self.rules)
            if rule.kind in {Kind.LATEST_PULLED, Kind.LATEST_PUSHED} and rule.count
        ]
        while counting:
            room, self._heaps = SURVEYED, {}
            while counting and (not self._heaps or self.rules[counting[0]].count <= room):
                room -= self.rules[counting[0]].count
                self._heaps[counting.pop(0)] = []
            yield
            for place, heap in self._heaps.items():
                self._least[place] = heap[0] if len(heap) == self.rules[place].count else (-1, -1)
            self._heaps = {}

    def survey(self, artifact: Artifact) -> None:
        for place, heap in self._heaps.items():
            rule = self.rules[place]
            if rule.takes(artifact, self.options):
                item = (rule.time(artifact, self.options), artifact.id)
                if len(heap) < rule.count:
                    heapq.heappush(heap, item)
                elif item > heap[0]:
                    heapq.heapreplace(heap, item)

    def decide(self, artifact: Artifact, protection: ImageProtection) -> Decision:
        if artifact.pushed > self.started:
            return Decision(artifact, Verdict.KEEP, Why.DURING_RUN, "it was pushed since the run began")
        taking = [(place, rule) for place, rule in enumerate(self.rules) if rule.takes(artifact, self.options)]
        keeping = [rule for place, rule in taking if self._keeps(place, rule, artifact)]
        if keeping:
            return self._kept(artifact, keeping, protection)
        if not taking and self.options.keep_unmatched:
            return Decision(artifact, Verdict.KEEP, Why.NOT_TAKEN, f"no policy is about {_what(artifact)}")
        if artifact.pushed > self.started - self.options.grace_hours * HOUR:
            reason = f"it was pushed within {self.options.grace_hours} hours, in which nothing is deleted"
            return Decision(artifact, Verdict.KEEP, Why.GRACE, reason)
        return self._lost(artifact, [rule for _place, rule in taking], protection)

    def _keeps(self, place: int, rule: Rule, artifact: Artifact) -> bool:
        if rule.kind is Kind.ALWAYS:
            return True
        time = rule.time(artifact, self.options)
        if rule.kind in {Kind.PULLED_WITHIN, Kind.PUSHED_WITHIN}:
            return time >= self.started - rule.count * DAY and time > 0
        return rule.count > 0 and (time, artifact.id) >= self._least[place]

    def _kept(self, artifact: Artifact, keeping: Sequence[Rule], protection: ImageProtection) -> Decision:
        reason = f"policy {keeping[0].id} keeps {keeping[0].keeps}"
        if self.options.remove_tags:
            going = [tag.name for tag in artifact.tags if not any(rule.tag.takes(tag.name) for rule in keeping)]
            held = protection.protected(going)
            remove = tuple(name for name in going if name not in held)
            new = artifact.pushed > self.started - self.options.grace_hours * HOUR
            if remove and not new:
                reason += ", for other tags than these"
                return Decision(artifact, Verdict.UNTAG, Why.OTHER_TAGS, reason, keeping[0].id, remove)
        return Decision(artifact, Verdict.KEEP, Why.RULE, reason, keeping[0].id)

    def _lost(self, artifact: Artifact, taking: Sequence[Rule], protection: ImageProtection) -> Decision:
        rule = taking[0].id if taking else None
        for tag in artifact.tags:
            protector = protection.by(tag.name)
            if protector is not None:
                return Decision(artifact, Verdict.PROTECTED, Why.PROTECTED, f"{protector} protects '{tag.name}'", rule)
        if taking:
            why, reason = Why.NOT_KEPT, self._lacks(taking, artifact)
        else:
            why, reason = Why.NOT_TAKEN, f"no policy is about {_what(artifact)}"
        if artifact.in_index:
            reason += "; an index names it, so it stays as a part of that and loses its tags"
            return Decision(
                artifact, Verdict.UNTAG, Why.IN_INDEX, reason, rule, tuple(tag.name for tag in artifact.tags)
            )
        return Decision(artifact, Verdict.DELETE, why, reason, rule)

    def _lacks(self, taking: Sequence[Rule], artifact: Artifact) -> str:
        """Why none of the policies keeps it; the first three."""
        told = []
        for rule in taking[:3]:
            time = rule.time(artifact, self.options)
            if rule.kind in {Kind.PULLED_WITHIN, Kind.PUSHED_WITHIN}:
                age = f"that was {(self.started - time) // DAY} days ago" if time else "that never happened"
            else:
                age = "others are newer" if rule.count else "that is nothing"
            told.append(f"policy {rule.id} keeps {rule.keeps}, and {age}")
        return "; ".join(told)


def plan(
    artifacts: Collection[Artifact],
    rules: Sequence[Rule],
    now: int,
    *,
    image: str = "",
    options: Options | None = None,
    protection: ImageProtection | None = None,
) -> Iterator[Decision]:
    """Decide about all artifacts of an image at once."""
    made = Plan(rules, image, options or Options(), now)
    for _survey in made.surveys():
        for artifact in artifacts:
            made.survey(artifact)
    for artifact in artifacts:
        yield made.decide(artifact, protection or ImageProtection(image, ()))


def _what(artifact: Artifact) -> str:
    return "its tags" if artifact.tags else "what has no tag"
