"""Layers of an image as a picture of their sizes: which step of the history made which layer, and how wide it is drawn.

The numbers beside the picture say the same, for those who do not see it.
"""

from __future__ import annotations

from dataclasses import dataclass

from naru.services.artifacts import ArtifactDetail

WIDTH = 1000
#: What is drawn at all is that wide at least.
LEAST = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """``x`` and ``width`` in the picture; ``step`` is the command that made it, if the config says so. ``others``:
    artifacts of the registry that use it, too."""

    number: int
    digest: str
    size: int
    step: str
    present: bool
    others: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the history. ``layer`` is the number of the one that it made; None: it made none."""

    created_by: str
    created: str
    comment: str
    layer: Layer | None


@dataclass(frozen=True, slots=True)
class Layers:
    layers: list[Layer]
    steps: list[Step]
    total: int

    @property
    def shared(self) -> int:
        """Bytes of those that other artifacts use, too; each digest once."""
        return sum({one.digest: one.size for one in self.layers if one.others}.values())

    @property
    def own(self) -> int:
        """Bytes of those that this artifact alone uses; each digest once."""
        return sum({one.digest: one.size for one in self.layers if one.present and not one.others}.values())


def layers_of(detail: ArtifactDetail) -> Layers:
    blobs = detail.manifest.layers
    total = sum(one.size for one in blobs)
    made = [step for step in detail.history if not step["empty_layer"]]
    fits = len(made) == len(blobs)  # else nobody knows which step made which layer
    widths = [max(LEAST, one.size / total * WIDTH) if total else WIDTH / len(blobs) for one in blobs]
    scale = WIDTH / sum(widths) if widths else 1.0
    layers: list[Layer] = []
    x = 0.0
    for place, one in enumerate(blobs):
        used = detail.used.get(str(one.digest))
        width = widths[place] * scale
        layers.append(
            Layer(
                number=place + 1,
                digest=str(one.digest),
                size=one.size,
                step=str(made[place]["created_by"]) if fits else "",
                present=used is not None,
                others=used.elsewhere if used is not None else 0,
                x=round(x, 2),
                width=round(width, 2),
            )
        )
        x += width
    steps: list[Step] = []
    rest = iter(layers if fits else [])
    for step in detail.history:
        layer = None if step["empty_layer"] else next(rest, None)
        steps.append(Step(str(step["created_by"]), str(step["created"]), str(step["comment"]), layer))
    return Layers(layers, steps, total)
