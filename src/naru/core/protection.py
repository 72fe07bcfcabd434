"""Protection: which tags nobody may move or delete, and what is said to who tries.

A rule is an image pattern and a tag pattern; rules add up. What has no tag is never protected.
Source: NCR user guide, "이미지 보호"; Harbor's tag immutability.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from naru.core.errors import ProtectedTag
from naru.core.patterns import Selector


@dataclass(frozen=True, slots=True)
class ProtectionRule:
    """``scope``: of which images (their names without the registry); ``tag``: which tags."""

    id: int
    scope: Selector
    tag: Selector

    def __str__(self) -> str:
        return f"protection policy {self.id} (images {self.scope}, tags {self.tag})"


@dataclass(frozen=True, slots=True)
class ImageProtection:
    """The rules that are about one image. ``name`` with the registry."""

    name: str
    rules: tuple[ProtectionRule, ...]

    @classmethod
    def of(cls, registry: str, image: str, rules: Iterable[ProtectionRule]) -> ImageProtection:
        """Of the registry's ``rules`` those whose scope takes the image."""
        return cls(f"{registry}/{image}", tuple(rule for rule in rules if rule.scope.takes(image)))

    def by(self, tag: str) -> ProtectionRule | None:
        """The first rule that protects the tag."""
        return next((rule for rule in self.rules if rule.tag.takes(tag)), None)

    def protected(self, tags: Iterable[str]) -> frozenset[str]:
        """Those of ``tags`` that a rule protects."""
        return frozenset(tag for tag in tags if self.rules and self.by(tag) is not None)

    def refuse(self, tags: Iterable[str], change: str) -> None:
        """``ProtectedTag`` when one of ``tags`` is protected. ``change``: what was to be done, as "deleted"."""
        if not self.rules:
            return
        for tag in tags:
            rule = self.by(tag)
            if rule is not None:
                raise ProtectedTag(
                    f"'{self.name}:{tag}' cannot be {change}: {rule} protects it; switch the policy off or change it "
                    "first",
                    detail={"tag": f"{self.name}:{tag}", "policy": rule.id},
                )
