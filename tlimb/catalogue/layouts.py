"""Names of tensors: prefixes that wrappers leave in front of them, and the networks that are known by the names they use."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "encoder.", "backbone.", "swinViT.", "vit.")
"""What DataParallel, torch.compile, Lightning, and networks that hold an encoder put in front of its names."""
_RESNETS = {
    ("basic", (1, 1, 1, 1)): 10,
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
}

_DILATED = (
    "MedicalNet runs layers 3 and 4 with stride 1 and dilation 2 and 4, this ResNet runs them with stride 2: "
    "a different network of the same weights"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A known way to name tensors.

    Attributes:
        name: Of the code that writes it.
        architecture: As a recipe names the network; empty where the names alone do not tell.
        note: What is different in that network, if anything is.
    """

    name: str
    architecture: str = ""
    note: str = ""


def without_prefixes(name: str) -> Iterator[str]:
    """The name as it is, then with one prefix less at a time, until none is left."""
    yield name
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix) and name != prefix), None):
        name = name.removeprefix(prefix)
        yield name


def bare(name: str) -> str:
    """The name without any prefix."""
    *_, last = without_prefixes(name)
    return last


def recognise(names: Collection[str]) -> Layout | None:
    """The layout of a file's tensors; None where it is not known."""
    known = {bare(name) for name in names}
    if any(name.startswith("feature_extractor.conv_0.") for name in known):
        return Layout("SFCN", "sfcn")
    if "layer1.0.conv1.weight" in known:
        return _resnet(known)
    if any(name.startswith("layers1.0.blocks.") for name in known) and "patch_embed.proj.weight" in known:
        return Layout("MONAI's Swin transformer")
    if "blocks.0.attn.qkv.weight" in known and any(name.startswith("patch_embedding.") for name in known):
        return Layout("MONAI's ViT")
    return None


def _resnet(known: Collection[str]) -> Layout:
    """MedicalNet's names are torchvision's and MONAI's; the segmentation decoder tells it, or the shortcuts without weights."""
    kind = "bottleneck" if "layer1.0.conv3.weight" in known else "basic"
    blocks = [{match[1] for name in known if (match := re.match(rf"layer{layer}\.(\d+)\.", name))} for layer in range(1, 5)]
    depth = _RESNETS.get((kind, tuple(map(len, blocks))))  # type: ignore[arg-type]
    padded = not any(".downsample." in name for name in known)
    word = f"resnet{depth}" + ("(shortcut=A)" if padded and depth != 10 else "") if depth else ""
    if padded or any(name.startswith("conv_seg.") for name in known):
        return Layout("MedicalNet", word, _DILATED)
    return Layout("ResNet (MONAI, torchvision or MedicalNet)", word)
