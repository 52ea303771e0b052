"""The stage graph: what a recipe asks to be computed, every unit of work once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tlimb.stages.search import Search

FORMAT = 1
Kind = Literal["prepare", "weights", "fit", "evaluate"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One unit of work: its content address, its config (`stage.yaml`, see docs/formats.md) and the digests it needs."""

    digest: str
    name: str
    kind: Kind
    parents: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def devices(self) -> int:
        """On how many devices it trains; what is wrong with the number, the stage says itself."""
        if self.kind != "fit":
            return 1
        devices = self.config.get("trainer", {}).get("init_args", {}).get("devices", 1)
        count = len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdecimal() else 1
        return max(1, count)


@dataclass(frozen=True, slots=True)
class Run:
    """One seed of a variant: the digest of each named stage, and the names of those whose results are ranked."""

    seed: int
    stages: Mapping[str, str]
    leaves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of the sweep: the settings that make it and a run per seed."""

    id: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
    stages: tuple[str, ...]
    """Digests of everything the variant needs, prepared data sets included."""


@dataclass(frozen=True, slots=True)
class Rank:
    """By which validation metric variants are ordered."""

    metric: str
    direction: Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class StageGraph:
    """All stages of a recipe in an order in which parents come before children, and the variants that share them. Where the recipe
    searches, the variants are the trials known so far.
    """

    recipe: str
    text: str
    about: Mapping[str, Any]
    rank: Rank
    variants: tuple[Variant, ...]
    stages: tuple[Stage, ...]
    warnings: tuple[str, ...] = field(default=())
    search: Search | None = None

    def document(
        self,
        states: Mapping[str, str] | None = None,
        parameters: Mapping[str, Mapping[str, int]] | None = None,
    ) -> dict[str, Any]:
        """The plan as the JSON document of docs/formats.md; states and parameter counts are by digest."""
        return {
            "format": FORMAT,
            "recipe": self.recipe,
            "text": self.text,
            "about": dict(self.about),
            "rank": {"metric": self.rank.metric, "direction": self.rank.direction},
            "variants": [
                {
                    "id": variant.id,
                    "settings": dict(variant.settings),
                    "runs": [{"seed": run.seed, "stages": dict(run.stages), "leaves": list(run.leaves)} for run in variant.runs],
                    "stages": list(variant.stages),
                }
                for variant in self.variants
            ],
            "stages": [
                {
                    "digest": stage.digest,
                    "name": stage.name,
                    "kind": stage.kind,
                    "parents": list(stage.parents),
                    "state": (states or {}).get(stage.digest, "new"),
                    "parameters": dict(counts) if (counts := (parameters or {}).get(stage.digest)) else None,
                    "config": stage.config,
                }
                for stage in self.stages
            ],
            "warnings": list(self.warnings),
            "search": self.search.document() if self.search else None,
        }
