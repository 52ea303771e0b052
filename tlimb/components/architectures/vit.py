"""Vision transformers in one, two and three dimensions."""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from monai.networks.nets.vit import ViT as MonaiViT
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tlimb.components.architectures.checks import check_common, per_axis, shown
from tlimb.errors import InputError

_POSITIONS = "patch_embedding.position_embeddings"
_GRID = "patch_grid"
_TOKEN = "cls_token"
_UNUSED = re.compile(r"blocks\.\d+\.(norm_)?cross_attn\.|classification_head\.|decoder_|mask_tokens$")
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
_SINCOS = {2: 4, 3: 6}


class ViT(MonaiViT):  # type: ignore[misc]  # MONAI is not typed
    """Vision transformer (Dosovitskiy et al., ICLR 2021) for volumes, slices or series of one size.

    MONAI's layers. The features are the mean over the patches after the last norm, or what a class token is there. MONAI's norms of a cross
    attention that is never computed are left out. Weights for another image size fit: their position embeddings are resized.

    Args:
        patch_size: Voxels of a patch, one number or one for each axis; the images' size must be divisible by it.
        hidden_size: Width of a patch's vector, which is that of the features.
        mlp_dim: Width of the layer inside each block; none is four times hidden_size.
        num_layers: Number of blocks.
        num_heads: Attention heads of each block; hidden_size must be divisible by it.
        dropout: Rate of dropout inside the blocks and, on the features, before the heads.
        pos_embed: How patches know where they are: learnable, sincos (fixed, for 2-D and 3-D) or none (they do not).
        pool: What the features are: the mean over the patches, or a class token (token).
        qkv_bias: Whether queries, keys and values have a bias, as most published weights do.
        spatial_dims: 1, 2 or 3; follows from the data.
        in_channels: C of the images; follows from the data.
        input_shape: (C, *S) of the images; follows from the data.
    """

    def __init__(
        self,
        patch_size: int | Sequence[int] = 8,
        hidden_size: int = 192,
        mlp_dim: int | None = None,
        num_layers: int = 6,
        num_heads: int = 3,
        dropout: float = 0.0,
        pos_embed: Literal["learnable", "sincos"] | None = "learnable",
        pool: Literal["mean", "token"] = "mean",
        qkv_bias: bool = False,
        spatial_dims: int = 3,
        in_channels: int = 1,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        check_common("ViT", spatial_dims, dropout)
        if input_shape is None:
            raise InputError("architecture: a ViT is made for one size of images", "give architecture.input_shape, e.g. [1, 40, 48, 40]")
        size = tuple(map(int, input_shape[1:]))
        if len(size) != spatial_dims or input_shape[0] != in_channels:
            raise InputError(
                f"architecture: input_shape {list(input_shape)} has not {in_channels} channels and {spatial_dims} axes",
                "leave input_shape, in_channels and spatial_dims out, so that they follow from the data",
            )
        patch = per_axis("patch_size", patch_size, spatial_dims)
        _check_divisible(size, patch)
        _check_widths(hidden_size, num_heads, num_layers, pos_embed, spatial_dims)
        if pool not in ("mean", "token"):
            raise InputError(f"architecture: pool '{pool}' is unknown", "pool is mean or token")
        super().__init__(
            in_channels,
            size,
            patch,
            hidden_size=hidden_size,
            mlp_dim=4 * hidden_size if mlp_dim is None else mlp_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            pos_embed_type="learnable" if pos_embed == "learnable" else "none",
            dropout_rate=float(dropout),
            spatial_dims=spatial_dims,
            qkv_bias=qkv_bias,
        )
        self.feature_dim = hidden_size
        self.dropout = float(dropout)
        self.patch_size = patch
        self.grid = tuple(whole // part for whole, part in zip(size, patch, strict=True))
        self.input_shape = (in_channels, *size)
        self.pos_embed = pos_embed
        self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden_size)) if pool == "token" else None
        # Part of the weights: the number of patches alone does not tell how they lie.
        self.register_buffer(_GRID, torch.tensor(self.grid))
        for block in self.blocks:
            block.norm_cross_attn = nn.Identity()
            # One kernel in place of a matrix of all pairs of patches. MONAI's use of it drops weights in evaluation too.
            block.attn.use_flash_attention = not dropout
        if pos_embed != "learnable":
            fixed = self.patch_embedding.position_embeddings.data
            if pos_embed == "sincos":
                with warnings.catch_warnings(action="ignore", category=UserWarning):  # of torch, about MONAI's meshgrid
                    fixed = build_sincos_position_embedding(list(self.grid), hidden_size, spatial_dims).data
            # A buffer: MONAI's is a parameter, which trains for `none` and which unfreezing would let train for `sincos`.
            del self.patch_embedding.position_embeddings
            self.patch_embedding.register_buffer("position_embeddings", fixed)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F)."""
        vectors = self._encoded(image)
        return vectors.mean(1) if self.cls_token is None else vectors[:, 0]

    def feature_map(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, F, *grid)."""
        vectors = self.tokens(image)
        return vectors.transpose(1, 2).reshape(len(vectors), self.feature_dim, *self.grid)

    def tokens(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """The patches' vectors after the last norm, without a class token.

        Args:
            image: (B, C, *S).
            keep: (B, K) int64, the patches to encode, the others are left out; none encodes all L.

        Returns:
            (B, L, F), or (B, K, F).

        Raises:
            InputError: the images have another shape than the encoder.
        """
        vectors = self._encoded(image, keep)
        return vectors if self.cls_token is None else vectors[:, 1:]

    def _encoded(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        if tuple(image.shape[1:]) != self.input_shape:
            raise InputError(
                f"this ViT takes images of {shown(self.input_shape[1:])}, but here is one of {shown(image.shape[2:])}",
                "give all one size: data.size, for series data.length and data.whole=false; let no augmentation change it",
            )
        embedding = self.patch_embedding
        vectors: Tensor = embedding.patch_embeddings(image).flatten(2).transpose(1, 2) + embedding.position_embeddings
        if keep is not None:
            vectors = vectors.gather(1, keep.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))
        vectors = embedding.dropout(vectors)
        if self.cls_token is not None:
            vectors = torch.cat([self.cls_token.expand(len(vectors), -1, -1), vectors], dim=1)
        with _ordered():
            for block in self.blocks:
                vectors = block(vectors)
        normed: Tensor = self.norm(vectors)
        return normed

    def freeze_points(self) -> list[str]:
        """Embedding, blocks and last norm; none inside a block, whose modules are not registered in the order of computation."""
        return ["patch_embedding", *(f"blocks.{number}" for number in range(len(self.blocks))), "norm"]

    def adapt_state(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Weights of the same network for another image size, or of MONAI's ViT or masked autoencoder, as weights of this encoder.

        Learned position embeddings are resized over the grid of patches, linearly along each axis; fixed ones are this encoder's own.

        Args:
            state: Tensors by name. Without a `patch_grid` the patches are taken to lie as here or, if they are another number, in a cube.

        Returns:
            The tensors, and a sentence on each thing that was changed.

        Raises:
            InputError: the position embeddings belong to a grid that cannot be told.
        """
        last = f"blocks.{len(self.blocks)}."  # in a masked autoencoder the last norm stands among the blocks
        adapted = {
            re.sub(f"^{re.escape(last)}(weight|bias)$", r"norm.\1", name): tensor
            for name, tensor in state.items()
            if not _UNUSED.match(name) and (name != _TOKEN or self.cls_token is not None)
        }
        notes = []
        if left := len(state) - len(adapted):
            notes.append(
                f"left out {left} tensors of a class token, a head, a decoder or a cross attention, which this encoder does not have"
            )
        given = adapted.get(_POSITIONS)
        if given is None or given.ndim != 3:
            return adapted, notes
        recorded = adapted.get(_GRID)
        # Tensors without values are compared by shape, to see what a file fits.
        source = self._grid_of(given.shape[1]) if recorded is None or recorded.is_meta else tuple(recorded.tolist())
        if len(source) != len(self.grid):
            return adapted, notes
        adapted[_GRID] = torch.tensor(self.grid, device=given.device)
        if source != self.grid:
            learned = self.pos_embed == "learnable"
            adapted[_POSITIONS] = (
                resize_positions(given, source, self.grid) if learned else self.patch_embedding.position_embeddings.clone()
            )
            notes.append(f"position embeddings {'resized' if learned else 'made anew'} from {shown(source)} to {shown(self.grid)} patches")
        return adapted, notes

    def _grid_of(self, patches: int) -> tuple[int, ...]:
        side = round(patches ** (1 / len(self.grid)))
        if patches == math.prod(self.grid):
            return self.grid
        if patches == side ** len(self.grid):
            return (side,) * len(self.grid)
        raise InputError(
            f"the weights are for {patches} patches, this encoder has {shown(self.grid)}, and how theirs lie is not known",
            "give data.size the size of the images that the weights were made with",
        )


def _ordered() -> AbstractContextManager[Any]:
    """Where sums are to have a fixed order: only kernels of attention whose gradients have one."""
    ordered = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel(ordered) if torch.are_deterministic_algorithms_enabled() else nullcontext()


def resize_positions(positions: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Position embeddings (1, L, F) of one grid of patches for another: linear along each axis, cell centres aligned to the image's ends.

    Args:
        positions: L patches in C order.
        source: The grid they lie on.
        target: The grid to make them for.
    """
    grid = positions.float().transpose(1, 2).reshape(1, -1, *source)
    resized = F.interpolate(grid, size=tuple(target), mode=_MODES[len(target)], align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(positions.dtype).contiguous()


def _check_divisible(size: Sequence[int], patch: Sequence[int]) -> None:
    if all(whole % part == 0 for whole, part in zip(size, patch, strict=True)):
        return
    smaller = [whole // part * part for whole, part in zip(size, patch, strict=True)]
    larger = [-(-whole // part) * part for whole, part in zip(size, patch, strict=True)]
    crop = f"crop the images to {shown(smaller)} or pad them to {shown(larger)}" if all(smaller) else f"pad the images to {shown(larger)}"
    raise InputError(
        f"architecture: images of {shown(size)} cannot be cut into patches of {shown(patch)}", f"{crop} (data.size), or change patch_size"
    )


def _check_widths(hidden_size: int, num_heads: int, num_layers: int, pos_embed: str | None, dims: int) -> None:
    if min(hidden_size, num_heads, num_layers) < 1 or hidden_size % num_heads:
        raise InputError(
            f"architecture: hidden_size {hidden_size}, num_heads {num_heads}, num_layers {num_layers}",
            "all are at least 1, and hidden_size is divisible by num_heads",
        )
    if pos_embed not in ("learnable", "sincos", None):
        raise InputError(f"architecture: there is no pos_embed '{pos_embed}'", "pos_embed is learnable, sincos or none")
    if pos_embed == "sincos" and dims not in _SINCOS:
        raise InputError("architecture: pos_embed sincos is for 2-D and 3-D images", "use pos_embed=learnable")
    if pos_embed == "sincos" and hidden_size % _SINCOS[dims]:
        raise InputError(
            f"architecture: pos_embed sincos in {dims}-D needs a hidden_size divisible by {_SINCOS[dims]}, not {hidden_size}",
            "change hidden_size, or use pos_embed=learnable",
        )
