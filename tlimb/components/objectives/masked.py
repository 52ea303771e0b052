"""Self-supervised terms: what is hidden of an image is told from what is left of it."""

import math
from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Network, PatchEncoder, SpatialEncoder, Step, View
from tlimb.components.objectives.terms import AuxiliaryTerm, full_precision, image_channels, nothing, within
from tlimb.errors import InputError

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_PROBE = 64
"""Voxels along each axis of the image by which an encoder's stride is found: a multiple of the usual strides."""
_EIGHTH = 8


class MaskedAutoencoder(AuxiliaryTerm):
    """Masked autoencoder, MAE (He et al. 2022): the encoder sees few patches, a light transformer tells all others from them.

    Mean of (x - x_predicted)^2 over the voxels of the hidden patches. For encoders of patches (ViT); the decoder serves the loss only.

    Args:
        ratio: Share of the patches that are hidden.
        decoder_dim: Width of the decoder.
        decoder_layers: Transformer layers of the decoder.
        decoder_heads: Attention heads of the decoder.
        normalized: Compare with patches that have mean 0 and sd 1 each.
        weight: Factor on the loss.
    """

    patches: ClassVar[bool] = True
    views: ClassVar[tuple[View, ...]] = ("full",)
    encodes: ClassVar[bool] = True
    narrow: nn.Linear
    hidden: nn.Parameter
    position: nn.Parameter
    layers: nn.ModuleList
    norm: nn.LayerNorm
    predict: nn.Linear

    def __init__(
        self,
        ratio: float = 0.75,
        decoder_dim: int = 192,
        decoder_layers: int = 4,
        decoder_heads: int = 6,
        normalized: bool = False,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.ratio = within("mae: ratio", ratio, 0, 1, above=True, below=True)
        if decoder_heads < 1 or decoder_dim < 1 or decoder_dim % decoder_heads:
            raise InputError(
                f"mae: decoder_dim {decoder_dim} cannot be shared by {decoder_heads} heads",
                "decoder_dim is a multiple of decoder_heads",
            )
        self.decoder_dim = decoder_dim
        self.decoder_layers = int(within("mae: decoder_layers", decoder_layers, 0))
        self.decoder_heads = decoder_heads
        self.normalized = normalized
        self.weight = within("mae: weight", weight, 0)

    def connect(self, network: Network) -> None:
        """Make the decoder.

        Raises:
            InputError: the encoder cannot leave out patches.
        """
        encoder = network.encoder
        if not isinstance(encoder, PatchEncoder):
            raise InputError(
                f"mae leaves out patches, which {type(encoder).__name__} cannot",
                "use an encoder of patches (a ViT), or simmim, which hides parts of the image and takes any encoder",
            )
        channels, _ = image_channels(cast(nn.Module, encoder))
        width, patches = self.decoder_dim, math.prod(encoder.grid)
        self.narrow = nn.Linear(encoder.feature_dim, width)
        self.hidden = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width), std=0.02))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, patches, width), std=0.02))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, self.decoder_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(self.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, channels * math.prod(encoder.patch_size))

    def forward(self, step: Step) -> Tensor:
        """The loss of the first view, of whose patches other ones are hidden each time."""
        if not step.unlabelled:
            return nothing(self.hidden.device)
        encoder, image = cast(PatchEncoder, step.network.encoder), step.unlabelled[0].image
        count = math.prod(encoder.grid)
        order = torch.rand(len(image), count, device=image.device).argsort(dim=1)
        keep = order[:, : count - chosen(count, self.ratio)]
        prediction = self.decode(encoder.tokens(image, keep), keep)
        with full_precision(image.device):
            return self.weight * hidden_patches_loss(prediction.float(), self.target(image.float(), encoder), keep)

    def decode(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """Tokens (B, K, F) of the patches `keep` (B, K) to the voxels of all patches (B, L, C * voxels)."""
        tokens = self.narrow(tokens)
        hidden = self.hidden.to(tokens.dtype).expand(len(tokens), self.position.shape[1], -1)
        tokens = hidden.scatter(1, keep[..., None].expand_as(tokens), tokens) + self.position
        for layer in self.layers:
            tokens = layer(tokens)
        prediction: Tensor = self.predict(self.norm(tokens))
        return prediction

    def target(self, image: Tensor, encoder: PatchEncoder) -> Tensor:
        """(B, C, *S) to what the decoder predicts, (B, L, C * voxels)."""
        patches = patches_of(image, encoder.grid, encoder.patch_size)
        if not self.normalized:
            return patches
        mean, variance = patches.mean(dim=2, keepdim=True), patches.var(dim=2, keepdim=True)
        return (patches - mean) / (variance + 1e-6).sqrt()


class MaskedImageModelling(AuxiliaryTerm):
    """Masked image modelling, SimMIM (Xie et al. 2022): parts of the image are set to 0, one layer tells them from the encoder's features.

    Mean of |x - x_predicted| over the hidden voxels. The layer maps the features at each place of the feature map to the voxels there.
    For any encoder with a feature map.

    Args:
        ratio: Share of the patches that are hidden.
        patch: Voxels along an edge of a hidden patch; none: the patches of an encoder that has patches, else an eighth of each axis.
        weight: Factor on the loss.
    """

    views: ClassVar[tuple[View, ...]] = ("full",)
    encodes: ClassVar[bool] = True
    stride: tuple[int, ...]
    decoder: nn.Module

    def __init__(self, ratio: float = 0.6, patch: int | None = None, weight: float = 1.0) -> None:
        super().__init__()
        self.ratio = within("simmim: ratio", ratio, 0, 1, above=True, below=True)
        self.patch = None if patch is None else int(within("simmim: patch", patch, 1))
        self.weight = within("simmim: weight", weight, 0)

    def connect(self, network: Network) -> None:
        """Make the decoder, for which the stride of the feature map must be known.

        Raises:
            InputError: the encoder has no feature map.
        """
        encoder = network.encoder
        if not isinstance(encoder, SpatialEncoder):
            raise InputError(
                f"simmim needs features with places, which {type(encoder).__name__} does not show",
                "give the encoder a method feature_map(image) (tlimb.components.contracts), or use simclr, which takes any encoder",
            )
        channels, axes = image_channels(cast(nn.Module, encoder))
        self.stride = encoder.patch_size if isinstance(encoder, PatchEncoder) else stride_of(encoder, channels, axes)
        self.decoder = _CONVOLUTIONS[axes](encoder.feature_dim, channels * math.prod(self.stride), kernel_size=1)

    def forward(self, step: Step) -> Tensor:
        """The loss of the first view, of which other parts are hidden each time."""
        if not step.unlabelled:
            return nothing(next(self.parameters()).device)
        encoder, image = cast(SpatialEncoder, step.network.encoder), step.unlabelled[0].image
        hidden = random_mask(image, self._patch(encoder, image.shape[2:]), self.ratio)
        decoded = unshuffle(self.decoder(encoder.feature_map(image.masked_fill(hidden, 0))), self.stride)
        with full_precision(image.device):
            return self.weight * hidden_voxels_loss(decoded.float(), image.float(), hidden)

    def _patch(self, encoder: SpatialEncoder, shape: Sequence[int]) -> tuple[int, ...]:
        if self.patch is not None:
            return (self.patch,) * len(shape)
        return encoder.patch_size if isinstance(encoder, PatchEncoder) else tuple(-(-length // _EIGHTH) for length in shape)


def chosen(count: int, ratio: float) -> int:
    """How many of `count` patches are hidden: at least one, and not all."""
    return min(max(1, round(ratio * count)), max(1, count - 1))


def random_mask(image: Tensor, patch: Sequence[int], ratio: float) -> Tensor:
    """Which voxels of each image (B, C, *S) are hidden: (B, 1, *S) bool, whole patches from the first corner on, as many in each image."""
    shape = image.shape[2:]
    grid = [-(-length // edge) for length, edge in zip(shape, patch, strict=True)]
    order = torch.rand(len(image), math.prod(grid), device=image.device).argsort(dim=1)
    mask = (order < chosen(math.prod(grid), ratio)).reshape(len(image), 1, *grid)
    for axis, (length, edge) in enumerate(zip(shape, patch, strict=True), start=2):
        mask = mask.repeat_interleave(edge, dim=axis).narrow(axis, 0, length)
    return mask


def stride_of(encoder: SpatialEncoder, channels: int, axes: int) -> tuple[int, ...]:
    """Voxels by place of the feature map, by axis, rounded up.

    Raises:
        InputError: the encoder takes no image of 64 voxels along each axis.
    """
    module = cast(nn.Module, encoder)
    parameter, training = next(module.parameters()), module.training
    image = torch.zeros(1, channels, *(_PROBE,) * axes, device=parameter.device, dtype=parameter.dtype)
    module.eval()
    try:
        with torch.no_grad():
            shape = encoder.feature_map(image).shape[2:]
    except (RuntimeError, ValueError) as error:
        raise InputError(f"simmim: {type(encoder).__name__} gives no features of an image of {_PROBE} voxels an axis: {error}") from error
    finally:
        module.train(training)
    return tuple(-(-_PROBE // length) for length in shape)


def unshuffle(features: Tensor, stride: Sequence[int]) -> Tensor:
    """(B, C * r1 * r2 …, s1, s2, …) to (B, C, s1 * r1, s2 * r2, …): the channels of a place become the voxels there."""
    places, axes = features.shape[2:], len(stride)
    apart = features.reshape(len(features), -1, *stride, *places)
    paired = [axis for pair in zip(range(2 + axes, 2 + 2 * axes), range(2, 2 + axes), strict=True) for axis in pair]
    return apart.permute(0, 1, *paired).reshape(
        len(features), apart.shape[1], *(length * edge for length, edge in zip(places, stride, strict=True))
    )


def patches_of(image: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """(B, C, *S) to its patches (B, L, C * voxels), L in C order.

    Raises:
        InputError: the patches do not make up the image.
    """
    shape = tuple(length * edge for length, edge in zip(grid, patch, strict=True))
    if tuple(image.shape[2:]) != shape:
        raise InputError(
            f"mae: images of {'x'.join(map(str, image.shape[2:]))} are not made of patches of {'x'.join(map(str, patch))}",
            f"give data a size of {'x'.join(map(str, shape))}",
        )
    split = image.reshape(*image.shape[:2], *(number for pair in zip(grid, patch, strict=True) for number in pair))
    axes = len(grid)
    return split.permute(0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2)).reshape(len(image), math.prod(grid), -1)


def hidden_patches_loss(prediction: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """Mean of squares over the patches that are not in `keep` (B, K); prediction and target (B, L, voxels)."""
    hidden = torch.ones(prediction.shape[:2], device=prediction.device).scatter(1, keep, 0.0)
    return ((prediction - target).square().mean(dim=2) * hidden).sum() / hidden.sum().clamp(min=1)


def hidden_voxels_loss(prediction: Tensor, image: Tensor, hidden: Tensor) -> Tensor:
    """Mean of absolute differences over hidden voxels (B, 1, *S) that the prediction (B, C, *S') reaches.

    An encoder that pads predicts more than the image, one that drops a border less: both start at the first corner.
    """
    for axis in range(2, image.ndim):
        common = min(prediction.shape[axis], image.shape[axis])
        prediction, image, hidden = (tensor.narrow(axis, 0, common) for tensor in (prediction, image, hidden))
    count = hidden.sum() * image.shape[1]
    return ((prediction - image).abs() * hidden).sum() / count.clamp(min=1)
