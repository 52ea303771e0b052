"""What component words mean: short name -> class path, with the parameters that the class takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "architecture",
    "data",
    "augmentation",
    "objective",
    "auxiliary",
    "scenario",
    "method",
    "optimizer",
    "schedule",
    "trainer",
    "logger",
    "search",
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a component, as its class declares it."""

    name: str
    type: str
    default: Any = None
    required: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """A catalogue entry: a word of the language that stands for a class with some arguments already given.

    `spatial_dims` says of a DataModule how many dimensions its images have, so that the compile side can infer the architecture's;
    `one_channel` whether each file of a scan is one channel, so that it can count them.
    A method is a scenario (`class_path`) with, where it has one, an `auxiliary` term of the loss; arguments go to the one that has them.
    `verbs` are the statements that can name the method, `targets` the kind of targets it works for (None: any).
    """

    word: str
    kind: str
    class_path: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    help: str = ""
    parameters: tuple[Parameter, ...] = ()
    owner: str = "tlimb"
    spatial_dims: int | None = None
    one_channel: bool = True
    auxiliary: str | None = None
    verbs: tuple[str, ...] = ()
    targets: str | None = None

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
