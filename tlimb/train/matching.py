"""Tensors from elsewhere matched with an encoder: by name and shape, with the few changes that keep what they compute."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tlimb.catalogue.layouts import without_prefixes
from tlimb.components.contracts import AdaptingEncoder
from tlimb.errors import InputError

Channels = Literal["mean", "repeat", "partial"]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Match:
    """What of an encoder a set of tensors holds.

    Attributes:
        tensors: Those that fit, by the encoder's names.
        missing: The encoder's tensors that are not there; counters are not asked for.
        unexpected: Names that the encoder does not have, such as those of a head or decoder.
        mismatched: Those of another shape: name, shape given, shape needed.
        share: Of the encoder's weights and statistics, those that fit, 0 to 1.
        notes: What was changed.
    """

    tensors: Mapping[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    share: float
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor has its place and every place a tensor."""
        return not (self.missing or self.unexpected or self.mismatched)

    def table(self) -> list[str]:
        """The match in lines."""
        rows = [
            ("matched", [str(name) for name in self.tensors], False),
            ("another shape", [f"{name} {given} for {own}" for name, given, own in self.mismatched], True),
            ("missing", list(self.missing), True),
            ("left out", list(self.unexpected), True),
        ]
        lines = [f"{what:14}{len(names):5}{'  ' + _first(names) if names and shown else ''}" for what, names, shown in rows]
        return [*lines, f"{self.share:.1%} of the encoder", *(f"note: {note}" for note in self.notes)]

    def problems(self) -> str:
        """What does not fit, in one line."""
        listed = (
            ("missing", list(self.missing)),
            ("unexpected", list(self.unexpected)),
            ("of another shape", [f"{name} {given} for {own}" for name, given, own in self.mismatched]),
        )
        return "; ".join(f"{len(names)} {what}: {_first(names)}" for what, names in listed if names)


def match(encoder: nn.Module, tensors: Mapping[str, Tensor], *, channels: Channels | None = None) -> Match:
    """Find the place of each tensor in an encoder.

    A name may have prefixes that the encoder's has not; as few are taken off as needed. An `AdaptingEncoder` changes the tensors itself,
    e.g. position embeddings for another size of images.

    Args:
        encoder: Its present weights do not matter.
        tensors: By name.
        channels: What to do where the images have other channels; none leaves such a tensor as one of another shape.

    Raises:
        InputError: two tensors would have the same name.
    """
    own = encoder.state_dict()
    given, notes = _fold_biases(_renamed(tensors, own), own)
    if isinstance(encoder, AdaptingEncoder):
        given, adapted = encoder.adapt_state(given)
        notes += adapted
    found: dict[str, Tensor] = {}
    mismatched = []
    for name, mine in own.items():
        if name not in given:
            continue
        tensor = given[name]
        if channels is not None and _differs_in_channels(tensor, mine):
            notes.append(f"{name}: {tensor.shape[1]} to {mine.shape[1]} channels by {channels}")
            tensor = to_channels(tensor, mine.shape[1], channels)
        if tensor.shape == mine.shape:
            found[name] = tensor.to(mine.dtype)
        else:
            mismatched.append((name, tuple(tensor.shape), tuple(mine.shape)))
    needed = [name for name, mine in own.items() if mine.is_floating_point()]
    total = sum(own[name].numel() for name in needed)
    return Match(
        tensors=found,
        missing=tuple(name for name in needed if name not in given),
        unexpected=tuple(name for name in given if name not in own),
        mismatched=tuple(mismatched),
        share=sum(own[name].numel() for name in needed if name in found) / max(1, total),
        notes=tuple(notes),
    )


def to_channels(weight: Tensor, channels: int, rule: Channels) -> Tensor:
    """A first convolution for images of another number of channels.

    Args:
        weight: (out, C, *k).
        channels: The new number, N.
        rule: ``mean``: each of the N channels has the mean over the C, times C / N, so that N equal channels give what C equal ones gave;
            ``repeat``: the C channels in turn, times C / N; ``partial``: the first channels as they are, further ones 0.

    Returns:
        (out, N, *k).
    """
    before = weight.shape[1]
    if rule == "mean":
        return weight.mean(1, keepdim=True).expand(-1, channels, *weight.shape[2:]).clone() * (before / channels)
    if rule == "repeat":
        return weight[:, torch.arange(channels) % before] * (before / channels)
    extended = weight.new_zeros(weight.shape[0], channels, *weight.shape[2:])
    kept = min(before, channels)
    extended[:, :kept] = weight[:, :kept]
    return extended


def _renamed(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the encoder's names where it has them, else by their names without prefixes."""
    given: dict[str, Tensor] = {}
    origins: dict[str, str] = {}
    for name, tensor in tensors.items():
        names = list(without_prefixes(name))
        target = next((candidate for candidate in names if candidate in own), names[-1])
        if target in given:
            raise InputError(
                f"the tensors {origins[target]} and {name} would both be {target}",
                "say which one is meant by rename in a passport.yaml (docs/weights.md)",
            )
        given[target], origins[target] = tensor, name
    return given


def _fold_biases(given: dict[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A convolution's bias before a BatchNorm, where the encoder has none: x + b - mean is x - (mean - b)."""
    folded = dict(given)
    count = 0
    for name, bias in given.items():
        mean = name.replace("downsample.0.bias", "downsample.1.running_mean")
        if name.endswith("downsample.0.bias") and name not in own and mean in given:
            folded[mean] = given[mean] - bias
            del folded[name]
            count += 1
    return folded, [f"{count} biases of shortcuts moved into the means of their BatchNorm, which computes the same"] if count else []


def _differs_in_channels(tensor: Tensor, mine: Tensor) -> bool:
    same = tensor.ndim == mine.ndim and tensor.ndim > 2
    return same and tensor.shape[1] != mine.shape[1] and tensor.shape[0] == mine.shape[0] and tensor.shape[2:] == mine.shape[2:]


def _first(names: list[str]) -> str:
    return f"{', '.join(names[:_SHOWN])}{', …' * (len(names) > _SHOWN)}"
