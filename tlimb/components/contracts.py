"""Where data, architectures, objectives and scenarios meet: a batch, an encoder with heads, an objective with its auxiliary terms.

Shape letters: B rows of a batch, C channels, S the 1 to 3 axes of an image, F features, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, Protocol, TypedDict, cast, runtime_checkable

from torch import Tensor, nn

from tlimb.errors import InputError

Kind = Literal["number", "category"]
View = Literal["plain", "weak", "full"]
"""How a view of an image is made in training: as it is, with the weak augmentations only, or with all of them."""


class Batch(TypedDict):
    """What a data module yields.

    Attributes:
        image: (B, C, *S) float32.
        targets: By target (B,): float32 numbers in natural units, NaN where missing; int64 class indices, -1 where missing.
        row: (B,) int64, the rows of the prepared array.
        views: Where terms ask for views: each (B, C, *S), independently augmented versions of the same images. Of unlabelled images.
        unlabelled: Where a stage has labelled and unlabelled images: the unlabelled ones, with `views` and without targets.
    """

    image: Tensor
    targets: Mapping[str, Tensor]
    row: Tensor
    views: NotRequired[tuple[Tensor, ...]]
    unlabelled: NotRequired["Batch"]


@runtime_checkable
class Encoder(Protocol):
    """An image network without its last layer.

    Attributes:
        feature_dim: F.
        dropout: Rate of the dropout that heads apply to the features.

    It may have an attribute `soft_labels` (`tlimb.components.architectures.SoftLabels`, or None): heads of numbers then have soft labels.
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
class SpatialEncoder(Encoder, Protocol):
    """An encoder that can show where its features come from."""

    def feature_map(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F, *s), the features before they are pooled over space; `forward` is a pooling of it."""
        ...


@runtime_checkable
class PatchEncoder(SpatialEncoder, Protocol):
    """An encoder of a set of patches, some of which can be left out.

    Attributes:
        patch_size: Of a patch, by axis of the image.
        grid: Patches along each axis; L is their product, in C order.
    """

    patch_size: tuple[int, ...]
    grid: tuple[int, ...]

    def tokens(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, C, *S) to (B, L, F); with `keep` (B, K) int64, the indices of the patches to encode, to (B, K, F)."""
        ...


@runtime_checkable
class AdaptingEncoder(Encoder, Protocol):
    """An encoder whose weights depend on more than its arguments, such as on the size of the images."""

    def adapt_state(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Weights of a relative (the same encoder for another size, another package's layout), as weights of this encoder.

        Args:
            state: Tensors by their name in the encoder; they stay as they are.

        Returns:
            The tensors to load, and a sentence on each thing that was changed. What cannot be adapted is left for loading to refuse.

        Raises:
            InputError: the weights are ambiguous.
        """
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
        """(B, F) to (B,) for a number, or (B, bins) log-probabilities where it has soft labels; to (B, K) logits for a category."""
        ...

    def encode(self, target: Tensor) -> Tensor:
        """(B,) natural units to the scale of `forward`: (B,), or (B, bins) soft labels; missing stays missing, a row of NaN."""
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


@dataclass(frozen=True, slots=True)
class Pass:
    """What a network made of some images.

    Where several devices train together, features and outputs are of the images of all of them in one order, and `image` holds those of
    this device only.

    Attributes:
        image: (B, C, *S).
        features: (B, F).
        outputs: Of each head, by target.
    """

    image: Tensor
    features: Tensor
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """One training step as auxiliary terms see it.

    Attributes:
        network: That trains.
        labelled: Pass of the labelled images; None in a stage without targets.
        targets: Of the labelled images, on the scale of the outputs.
        unlabelled: Pass of each view of the unlabelled images that the terms ask for; empty in a stage without.
        teacher: A teacher network's pass of the last of those views, without gradient; None where the scenario has no teacher.
        progress: Share of all training steps that are done, 0 to 1.
    """

    network: "Network"
    labelled: Pass | None
    targets: Mapping[str, Tensor]
    unlabelled: tuple[Pass, ...]
    teacher: Pass | None
    progress: float


class Term(Protocol):
    """An auxiliary part of the loss: a torch module, which may have parameters and buffers of its own. Its weight is its own argument.

    Attributes:
        views: The views of the unlabelled images it needs; empty for a term that needs none.
        encodes: Whether the term runs the encoder on the views itself, so that passes of them hold the image only (features and outputs are
            empty).
    """

    views: ClassVar[tuple[View, ...]]
    encodes: ClassVar[bool]

    def connect(self, network: "Network") -> None:
        """Called once, before the first step, with the start weights in place: make what depends on the network."""
        ...

    def __call__(self, step: Step) -> Tensor:
        """The weighted term, a scalar, to be added to the loss; exactly 0 where nothing applies."""
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
        return self.read(cast(nn.Module, self.encoder)(image))

    def read(self, features: Tensor) -> dict[str, Tensor]:
        """(B, F) to the output of each head, by target."""
        return {target: head(features) for target, head in self.heads.items()}

    def head(self, target: str) -> Head:
        """The head of a target."""
        return cast(Head, self.heads[target])


Config = Mapping[str, Any]
"""A component as it stands in a `stage.yaml`: ``{class_path, init_args}``."""
