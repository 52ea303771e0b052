"""The simple fully convolutional network of brain age."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from tlimb.components.architectures.checks import check_common, shown
from tlimb.components.architectures.heads import SoftLabels
from tlimb.errors import InputError


class SFCN(nn.Module):
    """Simple fully convolutional network (Peng et al., Medical Image Analysis 2021), light enough for whole-brain volumes.

    Each block is a convolution over 3 voxels, BatchNorm, halving by maxima, ReLU; the last one is a convolution over 1 voxel, BatchNorm,
    ReLU. Features are the mean over space, which equals the paper's fixed pooling for its 160x192x160 voxels and takes any size from 32
    voxels on. Modules have the paper's names (`feature_extractor.conv_0`), so that its weights load.

    Args:
        channels: Of each block, the last of which are the features.
        spatial_dims: 1, 2 or 3; follows from the data.
        in_channels: C of the images; follows from the data.
        dropout: Rate of dropout on the features, before the heads.
        soft_range: [FROM, TO] of a number such as an age, e.g. [42, 82]: it is then learned as a distribution over bins of that range
            (soft labels), and predicted as its mean; none predicts the number itself.
        soft_bin: Width of a bin of the soft labels, in the number's unit.
        soft_sigma: Standard deviation of the soft labels around the true number, in its unit.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128, 256, 256, 64),
        spatial_dims: int = 3,
        in_channels: int = 1,
        dropout: float = 0.5,
        soft_range: Sequence[float] | None = None,
        soft_bin: float = 1.0,
        soft_sigma: float = 1.0,
    ) -> None:
        super().__init__()
        check_common("SFCN", spatial_dims, dropout)
        if len(channels) < 2 or min(channels) < 1:
            raise InputError(
                f"architecture: channels is {list(channels)}; it is at least two numbers from 1 on, one for each block", "e.g. [32, 64, 64]"
            )
        self.dropout = float(dropout)
        self.feature_dim = int(channels[-1])
        self.soft_labels = None if soft_range is None else SoftLabels.of(soft_range, soft_bin, soft_sigma)
        self.smallest = 2 ** (len(channels) - 1)
        widths = [in_channels, *map(int, channels)]
        self.feature_extractor = nn.Sequential()
        for number, (wide, out) in enumerate(pairwise(widths)):
            block = _block(wide, out, spatial_dims, last=number == len(channels) - 1)
            self.feature_extractor.add_module(f"conv_{number}", block)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F)."""
        return self.feature_map(image).flatten(2).mean(-1)

    def feature_map(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F, *s), s = S / 32 with the paper's five halvings.

        Raises:
            InputError: the images are so small that nothing is left.
        """
        if min(image.shape[2:]) < self.smallest:
            raise InputError(
                f"SFCN halves images {len(self.feature_extractor) - 1} times, but these are {shown(image.shape[2:])}",
                f"use images of at least {self.smallest} along each axis (data.size), or fewer architecture.channels",
            )
        features: Tensor = self.feature_extractor(image)
        return features

    def freeze_points(self) -> list[str]:
        """The blocks."""
        return [f"feature_extractor.{name}" for name, _ in self.feature_extractor.named_children()]


def _block(wide: int, out: int, dims: int, *, last: bool) -> nn.Sequential:
    convolution, norm, pool = (getattr(nn, f"{kind}{dims}d") for kind in ("Conv", "BatchNorm", "MaxPool"))
    if last:
        return nn.Sequential(convolution(wide, out, 1), norm(out), nn.ReLU())
    return nn.Sequential(convolution(wide, out, 3, padding=1), norm(out), pool(2, 2), nn.ReLU())
