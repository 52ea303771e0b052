"""Small networks that keep the contracts, and steps made by hand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Network, Pass, Step


class Convolutions(nn.Module):
    """A convolution, a norm and another convolution, each halving the image (rounded up); a `SpatialEncoder`."""

    def __init__(self, axes: int = 2, channels: int = 1, features: int = 6) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
        self.conv1 = convolution(channels, 4, 3, stride=2, padding=1)
        self.norm = norm(4)
        self.conv2 = convolution(4, features, 3, stride=2, padding=1)
        self.feature_dim = features
        self.dropout = 0.0

    def feature_map(self, image: Tensor) -> Tensor:
        return self.conv2(self.norm(self.conv1(image)).relu())

    def forward(self, image: Tensor) -> Tensor:
        return self.feature_map(image).flatten(2).mean(2)

    def freeze_points(self) -> list[str]:
        return ["conv1", "norm", "conv2"]


class Patches(nn.Module):
    """A linear map of each patch and its place; a `PatchEncoder`. It notes which patches it was given."""

    def __init__(self, grid: Sequence[int] = (2, 3), patch: Sequence[int] = (4, 2), channels: int = 1, features: int = 8) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(grid) - 1]
        self.grid, self.patch_size = tuple(grid), tuple(patch)
        self.embed = convolution(channels, features, self.patch_size, stride=self.patch_size)
        self.place = nn.Parameter(torch.randn(1, math.prod(grid), features))
        self.feature_dim = features
        self.dropout = 0.0
        self.kept: Tensor | None = None

    def tokens(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        vectors = self.embed(image).flatten(2).transpose(1, 2) + self.place
        self.kept = keep
        return vectors if keep is None else vectors.gather(1, keep[..., None].expand(-1, -1, vectors.shape[2]))

    def feature_map(self, image: Tensor) -> Tensor:
        return self.tokens(image).transpose(1, 2).reshape(len(image), -1, *self.grid)

    def forward(self, image: Tensor) -> Tensor:
        return self.tokens(image).mean(1)

    def freeze_points(self) -> list[str]:
        return ["embed"]


class Line(nn.Linear):
    """A head: a linear layer of its own kind."""

    def __init__(self, features: int, classes: int | None = None) -> None:
        super().__init__(features, classes or 1)
        self.kind = "category" if classes else "number"
        self.classes = tuple(map(str, range(classes or 0)))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).squeeze(-1) if self.kind == "number" else super().forward(features)


def network(encoder: nn.Module | None = None, **heads: int | None) -> Network:
    """A network with a head for each keyword: its classes, None for a number."""
    encoder = encoder or Convolutions()
    return Network(encoder, {name: Line(encoder.feature_dim, classes) for name, classes in heads.items()})


def seen(image: Tensor | None = None, features: Tensor | None = None, **outputs: Tensor) -> Pass:
    """A pass of which only some is of interest."""
    empty = torch.zeros(0)
    return Pass(empty if image is None else image, empty if features is None else features, outputs)


def step(
    net: Network | None = None,
    labelled: Pass | None = None,
    *unlabelled: Pass,
    teacher: Pass | None = None,
    targets: Mapping[str, Any] | None = None,
    progress: float = 1.0,
) -> Step:
    """A step."""
    return Step(net or network(), labelled, targets or {}, tuple(unlabelled), teacher, progress)
