"""Swin transformers in two and three dimensions."""

from collections.abc import Sequence

from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn

from tlimb.components.architectures.checks import check_common, per_axis
from tlimb.errors import InputError

_STAGES = 4


class Swin(SwinTransformer):  # type: ignore[misc]  # MONAI is not typed
    """Shifted-window transformer (Liu et al., ICCV 2021; Hatamizadeh et al. 2022) for volumes or slices of any size.

    MONAI's encoder of SwinUNETR, which merges patches after each of its four stages (the paper: between them), then a LayerNorm of the
    last map and its mean over space: 16 * embed_dim features.

    Args:
        embed_dim: Channels of the first stage; each stage doubles them.
        patch_size: Voxels of a patch, one number or one for each axis; images are padded to whole patches.
        window_size: Patches along a window of attention, one number or one for each axis. Weights fit only the same window.
        depths: Blocks of each of the four stages.
        num_heads: Attention heads of each of the four stages; each divides the channels of its stage.
        dropout: Rate of dropout inside the blocks and, on the features, before the heads.
        spatial_dims: 2 or 3; follows from the data.
        in_channels: C of the images; follows from the data.
    """

    def __init__(
        self,
        embed_dim: int = 24,
        patch_size: int | Sequence[int] = 2,
        window_size: int | Sequence[int] = 7,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        dropout: float = 0.0,
        spatial_dims: int = 3,
        in_channels: int = 1,
    ) -> None:
        check_common("Swin", spatial_dims, dropout, dims=(2, 3))
        if len(depths) != _STAGES or len(num_heads) != _STAGES or min(*depths, *num_heads, embed_dim) < 1:
            raise InputError(
                f"architecture: embed_dim {embed_dim}, depths {list(depths)}, num_heads {list(num_heads)}",
                f"depths and num_heads have {_STAGES} numbers each; all are at least 1",
            )
        for stage, heads in enumerate(num_heads):
            if (channels := embed_dim * 2**stage) % heads:
                raise InputError(
                    f"architecture: the {channels} channels of stage {stage + 1} are not divisible by its {heads} num_heads",
                    "e.g. embed_dim=24, num_heads=[3, 6, 12, 24]",
                )
        super().__init__(
            in_channels,
            embed_dim,
            per_axis("window_size", window_size, spatial_dims),
            per_axis("patch_size", patch_size, spatial_dims),
            list(depths),
            list(num_heads),
            drop_rate=float(dropout),
            attn_drop_rate=float(dropout),
            spatial_dims=spatial_dims,
        )
        self.feature_dim = embed_dim * 2**_STAGES
        self.dropout = float(dropout)
        self.norm = nn.LayerNorm(self.feature_dim)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F)."""
        return self.feature_map(image).flatten(2).mean(-1)

    def feature_map(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F, *s), s = S / (16 * patch_size), rounded up."""
        last: Tensor = super().forward(image, normalize=False)[-1]
        normed: Tensor = self.norm(last.movedim(1, -1))
        return normed.movedim(-1, 1)

    def freeze_points(self) -> list[str]:
        """Embedding, stages and their blocks, last norm; none inside a block."""
        points = ["patch_embed"]
        for number in range(1, _STAGES + 1):
            blocks = self.get_submodule(f"layers{number}.0.blocks")
            points += [f"layers{number}", *(f"layers{number}.0.blocks.{block}" for block, _ in blocks.named_children())]
        return [*points, "norm"]
