"""`from "FILE"`: the stage that reads foreign weights once, and what its passport says against the data."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from tlimb.catalogue.layouts import recognise
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.weights import WeightsFile
from tlimb.configs.components import converted, instantiate
from tlimb.configs.desugar import FORMAT, Config, apply, fitted_to_data
from tlimb.errors import InputError
from tlimb.recipe.tree import plain
from tlimb.stages.plan import Setting, Step

FROM_DATA = ("in_channels", "input_shape")
"""Arguments of a file's architecture that may differ here: the weights are adapted to what the data have."""


def weights_file(step: Step, settings: Iterable[Setting], catalogue: Catalogue) -> WeightsFile:
    """The file that a step starts from.

    Raises:
        InputError: it is not there, or its passport is wrong.
    """
    assert step.file is not None
    return catalogue.weights(step.file, _options(settings).get("passport"))


def weights_config(
    step: Step, file: WeightsFile, settings: Iterable[Setting], *, catalogue: Catalogue, data: Config, dataset: Dataset
) -> Config:
    """The stage that reads a file of weights for a step; it holds no path, its digest follows from the file's content.

    Raises:
        InputError: neither the recipe nor the file nor its passport says which architecture it is.
    """
    settings = tuple(settings)
    options = _options(settings)
    known = _known_architecture(file, catalogue)
    if step.architecture is not None:
        known = instantiate(catalogue, "architecture", step.architecture)
    elif known is None and not any(path == "architecture" for path, _ in settings):
        layout = recognise(file.names)
        known_word = layout.architecture if layout else ""
        written = f"architecture={known_word}" if known_word else f"architecture=… (which one fits: tlimb weights inspect {file.name})"
        told = f" (its tensors are named like those of {layout.name})" if layout else ""
        raise InputError(
            f"which architecture the weights in {file.name} belong to is not known{told}",
            f"say it, with {written} or in a passport.yaml beside the file",
        )
    config: Config = {
        "tlimb": FORMAT,
        "kind": "weights",
        "name": file.path.stem,
        "seed": 0,
        "parents": [],
        "targets": copy.deepcopy(list(file.description.get("targets", ()))),
        "weights": {"fingerprint": file.fingerprint, **_how(file, options)},
        "architecture": fitted_to_data(known or {"class_path": "", "init_args": {}}, catalogue, data, dataset),
    }
    for path, value in sorted(settings, key=lambda setting: setting[0].count(".")):
        if path.split(".", 1)[0] == "architecture":
            apply(config, path, converted(catalogue, path, value))
    config["architecture"] = fitted_to_data(config["architecture"], catalogue, data, dataset)
    return config


def weights_warnings(step: Step, file: WeightsFile, *, catalogue: Catalogue, data: Config, dataset: Dataset) -> list[str]:
    """What a reader of the results must know: whose brains the weights have seen, and how the data differ from those."""
    said = [f"'{step.name}' starts from {file.name}: {message}" for message in _differences(file.passport, catalogue, data, dataset)]
    used = {target.dataset.lower() for target in step.targets}
    cohorts = [str(cohort) for cohort in file.passport.get("cohorts", ())]
    cohorts += [str(target["dataset"]) for target in file.description.get("targets", ()) if "dataset" in target]
    cohorts = list(dict.fromkeys(cohorts))
    if both := [cohort for cohort in cohorts if cohort.lower() in used]:
        cohort = f"they were trained on {', '.join(both)}, which this stage uses too: its test subjects may have been seen"
    elif cohorts:
        cohort = f"they were trained on {', '.join(cohorts)}; whether test subjects are among them is unknown"
    else:
        cohort = "their training cohort is unknown, so whether test subjects were seen is unknown too"
    said.append(f"'{step.name}' starts from {file.name}: {cohort}")
    return said


def _known_architecture(file: WeightsFile, catalogue: Catalogue) -> Config | None:
    """The architecture as the file or its passport says, without what follows from the data."""
    given = file.description.get("architecture") or file.passport.get("architecture")
    if given is None:
        return None
    given = {"class_path": given} if isinstance(given, str) else given
    entry = catalogue.find("architecture", str(given.get("class_path")))
    arguments = {key: value for key, value in (given.get("init_args") or {}).items() if key not in FROM_DATA}
    if entry is None:
        return {"class_path": str(given.get("class_path")), "init_args": arguments}
    return {"class_path": entry.class_path, "init_args": {**entry.arguments, **arguments}}


def _options(settings: Iterable[Setting]) -> dict[str, Any]:
    return {path.removeprefix("weights."): plain(value) for path, value in settings if path.startswith("weights.")}


def _how(file: WeightsFile, options: Mapping[str, Any]) -> dict[str, Any]:
    """How the tensors are to be taken, without what is left at its default: adding an option changes no digest."""
    written = file.description.get("input_shape")  # with the channels in front
    shape = written[1:] if written else file.passport.get("input", {}).get("shape")
    how = {
        "channels": options.get("channels"),
        "allow_partial": options.get("allow_partial") or None,
        "rename": dict(file.passport.get("rename", {})) or None,
        "input_shape": list(shape) if shape else None,
    }
    return {key: value for key, value in how.items() if value is not None}


def _differences(passport: Mapping[str, Any], catalogue: Catalogue, data: Config, dataset: Dataset) -> list[str]:
    """How the data differ from the images the weights were trained on, as far as the passport and the DataModule say."""
    contract = passport.get("input", {})
    defaults = {parameter.name: parameter.default for parameter in catalogue.parameters(data["class_path"]) or ()}
    here = {**defaults, **data["init_args"]}
    found = []
    for key, name, what in (
        ("orientation", "orientation", "axes"),
        ("spacing_mm", "spacing_mm", "voxels (mm)"),
        ("shape", "size", "shape"),
        ("intensity", "intensity", "intensities"),
    ):
        if key in contract and name in here and not _same(contract[key], here[name]):
            found.append(f"they expect {what} {_shown(contract[key])}, the data have {_shown(here[name])} (data.{name})")
    if "channels" in contract and contract["channels"] != dataset.channels:
        found.append(f"they expect {contract['channels']} channels, the data have {dataset.channels}")
    if "skull_strip" in contract:
        found.append(f"they expect images {'without' if contract['skull_strip'] else 'with'} the skull; TLIMB leaves it as it is")
    return found


def _same(expected: Any, given: Any) -> bool:
    """Whether two values are equal; one number stands for all axes."""
    left, right = (list(value) if isinstance(value, list | tuple) else [value] for value in (expected, given))
    return left == right or (1 in (len(left), len(right)) and len({*left, *right}) == 1)


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else "their own" if value is None else str(value)
