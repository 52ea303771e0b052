"""ResNet encoders in one, two and three dimensions."""

import re
from collections.abc import Sequence
from typing import Literal

import torch
from monai.networks.nets.resnet import ResNet as MonaiResNet
from torch import Tensor

from tlimb.components.architectures.checks import check_common
from tlimb.errors import InputError

_DEPTHS: dict[int, tuple[str, tuple[int, ...]]] = {
    10: ("basic", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
}
_PLANES = (64, 128, 256, 512)
_EXPANSION = {"basic": 1, "bottleneck": 4}
_POINT = re.compile(r"(conv|bn|layer)\d")


class ResNet(MonaiResNet):  # type: ignore[misc]  # MONAI is not typed
    """Residual network (He et al., CVPR 2016) for volumes, slices or series.

    MONAI's layers, shortcuts without bias: y = relu(F(x) + W x), or by strides and zero channels instead of W (type A). MONAI's own type A
    passes no gradient; this one does.

    Args:
        depth: 10, 18, 34, 50 or 101 layers.
        spatial_dims: 1, 2 or 3; follows from the data.
        in_channels: C of the images; follows from the data.
        dropout: Rate of dropout on the features, before the heads.
        widths: Filters of each of the four layers; a bottleneck puts out four times as many.
        layers: Blocks of each of the four layers; none has those of the depth, whose kind of block (bottleneck from 50 on) stays.
        conv1_t_size: Kernel size of the first convolution.
        conv1_t_stride: Stride of the first convolution; 1 keeps more detail at 2 to 8 times the cost.
        widen_factor: Factor on the filters of all layers.
        shortcut: How a shortcut changes its size: B projects, A strides and pads with zeros (MedicalNet's ResNet-18 and 34).
    """

    def __init__(
        self,
        depth: int = 18,
        spatial_dims: int = 3,
        in_channels: int = 1,
        dropout: float = 0.0,
        widths: Sequence[int] = _PLANES,
        layers: Sequence[int] | None = None,
        conv1_t_size: int = 7,
        conv1_t_stride: int = 2,
        widen_factor: float = 1.0,
        shortcut: Literal["A", "B"] = "B",
    ) -> None:
        if depth not in _DEPTHS:
            raise InputError(f"architecture: there is no ResNet of depth {depth}", f"depths: {', '.join(map(str, _DEPTHS))}")
        check_common("ResNet", spatial_dims, dropout)
        block, blocks = _DEPTHS[depth]
        blocks = blocks if layers is None else tuple(layers)
        if len(widths) != len(_PLANES) or len(blocks) != len(_PLANES) or min(*widths, *blocks) < 1:
            raise InputError(
                f"architecture: widths {list(widths)}, layers {list(blocks)}", f"each has {len(_PLANES)} numbers, all of them at least 1"
            )
        if int(min(widths) * widen_factor) < 1:
            raise InputError(f"architecture: widen_factor {widen_factor} leaves no filters", f"it is at least 1/{min(widths)}")
        super().__init__(
            block,
            list(blocks),
            list(widths),
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_size=conv1_t_size,
            conv1_t_stride=conv1_t_stride,
            shortcut_type=shortcut,
            widen_factor=widen_factor,
            feed_forward=False,
            bias_downsample=False,
        )
        self.dropout = float(dropout)
        self.feature_dim = int(widths[-1] * widen_factor) * _EXPANSION[block]

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F)."""
        features: Tensor = self.avgpool(self.feature_map(image)).flatten(1)
        return features

    def feature_map(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F, *s), s = S / 32 with the default stride, rounded up."""
        features: Tensor = self.maxpool(self.act(self.bn1(self.conv1(image))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = layer(features)
        return features

    def _downsample_basic_block(self, x: Tensor, planes: int, stride: int, spatial_dims: int = 3) -> Tensor:
        """The type A shortcut: every `stride`-th voxel, further channels 0."""
        strided = x[(slice(None),) * 2 + (slice(None, None, stride),) * spatial_dims]
        channels = torch.zeros_like(strided[:, :1]).expand(-1, planes - strided.shape[1], *strided.shape[2:])
        return torch.cat([strided, channels], dim=1)

    def freeze_points(self) -> list[str]:
        """Layers, blocks and their convolutions and norms; none inside a shortcut, which is registered last but computed in parallel."""
        return [name for name, _ in self.named_modules() if "downsample" not in name and _POINT.match(name) and name[-1].isdigit()]
