"""Where data, architectures, objectives and scenarios meet: a batch, an encoder with heads, an objective.

Shape letters: B rows of a batch, C channels, S the 1 to 3 axes of an image, F features, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypedDict, cast, runtime_checkable

from torch import Tensor, nn

from tlimb.errors import InputError

Kind = Literal["number", "category"]


class Batch(TypedDict):
    """What a data module yields.

    Attributes:
        image: (B, C, *S) float32.
        targets: By target (B,): float32 numbers in natural units, NaN where missing; int64 class indices, -1 where missing.
        row: (B,) int64, the rows of the prepared array.
    """

    image: Tensor
    targets: Mapping[str, Tensor]
    row: Tensor


@runtime_checkable
class Encoder(Protocol):
    """An image network without its last layer.

    Attributes:
        feature_dim: F.
        dropout: Rate of the dropout that heads apply to the features.
    """

    feature_dim: int
    dropout: float

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F)."""
        ...

    def freeze_points(self) -> Sequence[str]:
        """Names of modules at which freezing may end, in the order of registration; their order is the order of computation."""
        ...


@runtime_checkable
class Head(Protocol):
    """From features to one target. The network's output is on the scale of the loss; `predict` takes it to natural units.

    Attributes:
        kind: What the target is.
        classes: Class names in order; empty for a number.
    """

    kind: Kind
    classes: tuple[str, ...]

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) to (B,) for a number, (B, K) logits for a category."""
        ...

    def encode(self, target: Tensor) -> Tensor:
        """(B,) natural units to (B,) on the scale of `forward`; missing stays missing."""
        ...

    def predict(self, output: Tensor) -> Tensor:
        """An output to (B,) in natural units, or to (B, K) probabilities."""
        ...


class Objective(Protocol):
    """What training makes small."""

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss, a scalar.

        Args:
            outputs: Of each head, by target.
            batch: With targets on the scale of the outputs (`Head.encode`).
        """
        ...


class Network(nn.Module):
    """One encoder and a head for each target.

    Args:
        encoder: An `Encoder` that is a module.
        heads: A `Head` that is a module, by target.

    Raises:
        InputError: the encoder lacks a part of its contract.
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not isinstance(encoder, Encoder):
            raise InputError(
                f"architecture: {type(encoder).__name__} is no encoder",
                "it must be a torch module with feature_dim, dropout, forward and freeze_points (tlimb.components.contracts)",
            )
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, C, *S) to the output of each head, by target."""
        features = cast(nn.Module, self.encoder)(image)
        return {target: head(features) for target, head in self.heads.items()}

    def head(self, target: str) -> Head:
        """The head of a target."""
        return cast(Head, self.heads[target])


Config = Mapping[str, Any]
"""A component as it stands in a `stage.yaml`: ``{class_path, init_args}``."""
