"""Parameters of the components for the side that loads no torch: ``python -m tlimb.components.signatures`` writes them down."""

import importlib
import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tlimb.catalogue
from tlimb.catalogue.docstrings import argument_texts, first_sentence
from tlimb.catalogue.own import GIVEN
from tlimb.catalogue.words import WORDS

FILE = Path(tlimb.catalogue.__file__).with_name("signatures.json")
UNNAMED = (
    "torch.optim.NAdam",
    "torch.optim.RAdam",
    "torch.optim.Adagrad",
    "torch.optim.lr_scheduler.ConstantLR",
    "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
    "torch.optim.lr_scheduler.ExponentialLR",
    "torch.optim.lr_scheduler.MultiStepLR",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torch.optim.lr_scheduler.PolynomialLR",
)
"""Classes without a word that recipes may name by their path."""
FILLED = {"T_max": "all epochs of the stage", "total_steps": "all steps of the stage"}
"""Arguments without a default that a stage fills in."""
OWNED = {
    "barebones",
    "callbacks",
    "default_root_dir",
    "enable_autolog_hparams",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "fast_dev_run",
    "last_epoch",
    "max_time",
    "model_registry",
    "num_sanity_val_steps",
    "reload_dataloaders_every_n_epochs",
}
"""Arguments that would break what a stage promises: resuming, equal results, nothing written elsewhere."""
CHANGED: dict[str, dict[str, Any]] = {
    "lightning.Trainer": {"devices": 1},
    "tlimb.components.scenarios.Supervised": {"optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}},
}
"""Defaults that a stage gives in place of the class's own."""
UNSIGNED = {"lightning.pytorch.loggers.TensorBoardLogger", "lightning.pytorch.loggers.MLFlowLogger"}
"""Of optional packages; their arguments are checked when they are made."""
WITHOUT_CLASS = ("search",)
"""Kinds whose words stand for no class of a stage."""
HELP = {"lightning.Trainer": "Runs training and evaluation on the hardware there is."}


def describe(class_path: str) -> dict[str, Any]:
    """Help and parameters of a class: from its ``__init__`` and its Google-style (or Sphinx-style) docstring."""
    module, _, name = class_path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    document = inspect.getdoc(cls) or ""
    texts: dict[str, str] = {}
    for base in inspect.getmro(cls)[:-1]:
        inherited = argument_texts((inspect.getdoc(base) or "") + "\n" + (inspect.getdoc(vars(base).get("__init__")) or ""))
        texts = {**inherited, **texts}
    given = GIVEN - ({"optimizer"} if class_path.startswith("tlimb.") else set())
    parameters = [
        _parameter(parameter, texts.get(parameter.name, "")) | _changed(class_path, parameter.name)
        for parameter in parameters_of(cls).values()
        if parameter.name not in given | OWNED and not parameter.name.startswith("_") and parameter.kind is not parameter.VAR_KEYWORD
    ]
    entry: dict[str, Any] = {"help": HELP.get(class_path) or first_sentence(document), "parameters": parameters}
    if hasattr(cls, "LOADING"):
        entry["loading"] = list(cls.LOADING)
    if isinstance(getattr(cls, "views", None), tuple):
        entry["views"] = list(cls.views)
    if getattr(cls, "patches", False) or hasattr(cls, "tokens"):
        entry["patches"] = True
    return entry


def parameters_of(cls: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class by name; where its ``__init__`` passes ``**arguments`` on, those of the class it derives from too."""
    found = dict(inspect.signature(cls).parameters)
    for base in inspect.getmro(cls)[1:] if inspect.isclass(cls) else ():
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in found.values()):
            break
        if "__init__" in vars(base) and base is not object:
            found = {name: parameter for name, parameter in found.items() if parameter.kind is not parameter.VAR_KEYWORD}
            inherited = dict(inspect.signature(base).parameters)
            found |= {name: parameter for name, parameter in inherited.items() if name not in found}
    return found


def build() -> str:
    """The whole file."""
    named = [path for word in WORDS if word.kind not in WITHOUT_CLASS for path in (word.class_path, word.auxiliary) if path]
    paths = sorted({*named, *UNNAMED} - UNSIGNED)
    return json.dumps({path: describe(path) for path in paths}, indent=1, ensure_ascii=False) + "\n"


def _parameter(parameter: inspect.Parameter, text: str) -> dict[str, Any]:
    required = parameter.default is parameter.empty
    if parameter.name in FILLED:
        text, required = f"{text} Default: {FILLED[parameter.name]}.".strip(), False
    default = None if parameter.default is parameter.empty else _plain(parameter.default)
    return {"name": parameter.name, "type": _type(parameter.annotation), "default": default, "required": required, "help": text}


def _changed(class_path: str, name: str) -> dict[str, Any]:
    changed = CHANGED.get(class_path, {})
    return {"default": changed[name]} if name in changed else {}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "any"
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    text = re.sub(r"(ForwardRef\('([^']*)'\))", r"\2", text)
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", text))
    members = re.fullmatch(r"Union\[(.*)\](.*)", text)
    return (members[1].replace(", ", " | ") + members[2] if members and "[" not in members[1] else text).replace("NoneType", "None")


def main(arguments: list[str]) -> int:
    """Write the file; with ``--check`` only say whether it is up to date."""
    text = build()
    if "--check" in arguments:
        if FILE.is_file() and FILE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{FILE.name} is stale: run python -m tlimb.components.signatures", file=sys.stderr)
        return 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
