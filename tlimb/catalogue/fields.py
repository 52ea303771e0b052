"""Which fields a stage's configs have: the parameter behind a config path, and whether a value fits its type."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tlimb.catalogue.components import Parameter
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.weights import CHANNELS

SPLIT = (
    Parameter("val", "float", 0.15, help="fraction of the subjects used for validation"),
    Parameter("test", "float", 0.15, help="fraction of the subjects held out for the test"),
    Parameter("seed", "int", 0, help="seed of the split; independent of the training seed"),
)
WEIGHTS = (
    Parameter("channels", f"Literal{list(CHANNELS)}", help="what to do where the images have other channels than the weights"),
    Parameter("allow_partial", "bool", False, help="go on though less than 95 % of the encoder is in the file"),
    Parameter("passport", "str | None", help="a passport.yaml elsewhere than beside the file, relative to the recipe"),
)
COMPUTE = (
    Parameter(
        "channels_last",
        "bool",
        False,
        help="2-D and 3-D images and weights lie in memory with their channels last, which suits the convolutions of most GPUs; "
        "weights are saved as always",
    ),
    Parameter(
        "compile",
        "bool | Literal['inductor', 'aot_eager', 'eager']",
        False,
        help="the encoder is compiled by torch.compile, training and evaluation apart, which takes from 10 s to some minutes; true is "
        "inductor, which needs a C++ compiler for a CPU and Triton for a GPU; aot_eager and eager compile nothing, to find faults",
    ),
)
"""How a stage computes; its results are equal to rounding."""
WITHOUT_CLASS = {"split": SPLIT, "weights": WEIGHTS, "compute": COMPUTE}
"""Sections that are no components."""
NESTED = {"optimizer": "optimizer", "schedule": "schedule"}
"""Arguments of a scenario that are components themselves, and their kind."""
LEAST = {
    "auxiliaries.elastic.alpha": 0,
    "architecture.channels": 1,
    "architecture.conv1_t_size": 1,
    "architecture.conv1_t_stride": 1,
    "architecture.depths": 1,
    "architecture.dropout": 0,
    "architecture.embed_dim": 1,
    "architecture.hidden_size": 1,
    "architecture.layers": 1,
    "architecture.mlp_dim": 1,
    "architecture.num_heads": 1,
    "architecture.num_layers": 1,
    "architecture.patch_size": 1,
    "architecture.widths": 1,
    "architecture.window_size": 1,
    "data.batch_size": 1,
    "data.n": 1,
    "data.num_workers": 0,
    "data.size": 1,
    "scenario.optimizer.lr": 0,
    "scenario.optimizer.weight_decay": 0,
    "scenario.patience": 1,
    "search.asha": 2,
    "search.round": 1,
    "seed": 0,
    "trainer.max_epochs": 1,
}
"""The smallest sensible value of a config path, so that a slip is told before anything runs."""
BELOW = {"architecture.dropout": 1}
"""What the value of a config path stays below."""


RESOLVED = {"data.batch_size": "Literal['auto']"}
"""What the value of a config path can be besides what its component takes: the stage finds a value for it."""


def accepted(path: str, declared: str) -> str:
    """The type of what a recipe may give at a config path, where its component declares a type."""
    return f"{declared} | {RESOLVED[path]}" if path in RESOLVED else declared


def fields(catalogue: Catalogue, classes: Mapping[str, str], section: str) -> Mapping[str, Parameter] | None:
    """The settable fields of a section, given the class of each section; None where the class is unknown or has no recorded signature.

    `section` may be nested: ``scenario.optimizer`` has the arguments of every known optimizer.
    """
    if section in WITHOUT_CLASS:
        return {parameter.name: parameter for parameter in WITHOUT_CLASS[section]}
    head, _, argument = section.partition(".")
    if argument:
        return catalogue.arguments.get(NESTED.get(argument, ""))
    parameters = catalogue.parameters(classes[head]) if head in classes else None
    return None if parameters is None else {parameter.name: parameter for parameter in parameters}


def out_of_range(path: str, value: Any) -> str:
    """What the value of a config path must be, e.g. ``at least 1``, if it (or an item of it) is not; else empty."""
    numbers = [item for item in (value if isinstance(value, list | tuple) else [value]) if isinstance(item, int | float)]
    if path in BELOW and any(not LEAST[path] <= number < BELOW[path] for number in numbers):
        return f"at least {LEAST[path]} and below {BELOW[path]}"
    return f"at least {LEAST[path]}" if path in LEAST and any(number < LEAST[path] for number in numbers) else ""


def fits(value: Any, declared: str) -> bool:
    """Whether a plain value fits a declared type such as ``int | None`` or ``Literal['a', 'b']``; unknown types take anything."""
    return any(_fits(value, option.strip()) for option in _options(declared))


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "None": "none",
    "Sequence[int]": "a list of whole numbers",
    "Sequence[float]": "a list of numbers",
    "tuple[float, float]": "a list of two numbers",
    "list[float]": "a list of numbers",
}


def choices(declared: str) -> tuple[str, ...]:
    """The values that a declared type lists, as they are written in a recipe; empty where it takes any others too."""
    found: list[str] = []
    for option in _options(declared.removeprefix("Union[").removesuffix("]") if declared.startswith("Union[") else declared):
        for part in _split(option.strip(), ","):
            part = part.strip()
            if part.startswith("Literal["):
                found += re.findall(r"'([^']*)'", part)
            elif part == "bool":
                found += ["true", "false"]
            elif part == "None":
                found += ["none"]
            else:
                return ()
    return tuple(dict.fromkeys(found))


def in_words(declared: str) -> str:
    """What a declared type takes, for people: ``a number or none``."""
    listed = choices(declared)
    if listed and "'" in declared:
        return "one of " + ", ".join(listed)
    parts = [_WORDS.get(option.strip()) or ", ".join(choices(option)) for option in _options(declared) if option.strip() != "Tensor"]
    return " or ".join(dict.fromkeys(parts)) if all(parts) else ""


@cache
def _options(declared: str) -> list[str]:
    return _split(declared, "|")


def _split(text: str, sign: str) -> list[str]:
    """The parts of a text between signs that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == sign and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _fits(value: Any, option: str) -> bool:
    base, _, inner = option.partition("[")
    match base.split(".")[-1]:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "None" | "NoneType":
            return value is None
        case "Tensor":
            return False
        case "Literal":
            return str(value) in re.findall(r"['\"]([^'\"]*)['\"]", inner) or repr(value) in [
                item.strip() for item in inner.rstrip("]").split(",")
            ]
        case "list" | "tuple" | "Sequence" | "Iterable":
            return isinstance(value, list)
        case _:
            return True
