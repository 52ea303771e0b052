"""`stage.yaml`: read, changed by `--set`, checked against the real classes before anything is computed."""

import hashlib
import importlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tlimb.catalogue.fields import COMPUTE, fits
from tlimb.catalogue.own import Own, trusted_folders
from tlimb.catalogue.tables import did_you_mean
from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError
from tlimb.plainyaml import Loader

FORMAT = 1
Config = dict[str, Any]

_ALWAYS = ("tlimb", "kind", "name", "data")
_TRAINED = ("targets", "split", "architecture", "trainer")
_REQUIRED = {
    "prepare": (*_ALWAYS, "dataset"),
    "weights": ("tlimb", "kind", "name", "architecture", "weights"),
    "fit": (*_ALWAYS, *_TRAINED, "scenario"),
    "evaluate": (*_ALWAYS, *_TRAINED),
}
_OPTIONAL = ("digest", "seed", "parents", "code", "about")
_MORE = {"fit": ("objective", "unlabelled", "auxiliaries", "compute"), "evaluate": ("compute",), "weights": ("targets",)}
"""What else a stage can have; a fit has an objective where it has targets."""
_COMPONENTS = ("data", "architecture", "objective", "scenario", "trainer")
_GIVEN = {"network", "objective", "unit", "terms", "weights", "params", "optimizer", "T_max"}
"""Arguments without a default that a stage gives by itself."""
_OWNED = {"callbacks", "default_root_dir", "enable_checkpointing", "enable_progress_bar", "fast_dev_run", "num_sanity_val_steps"}


AUTO = "auto"
"""A batch that the stage finds by itself."""

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
"""How several devices train."""


def read_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """The config of a stage, checked.

    Args:
        path: A `stage.yaml`.
        overrides: ``PATH=VALUE``, VALUE in YAML; with any, the stage gets a digest of its own.

    Raises:
        InputError: the file is no stage of a known format, or names classes or arguments that do not exist.
    """
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give the path of a stage.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {error}") from None
    if not isinstance(config, dict) or "tlimb" not in config:
        raise InputError(
            f"{path}: no stage of TLIMB: the key 'tlimb' (version of the format) is absent", "tlimb desugar RECIPE writes stages"
        )
    if not isinstance(config["tlimb"], int) or config["tlimb"] > FORMAT:
        raise InputError(f"{path}: format {config['tlimb']}; this TLIMB reads up to format {FORMAT}", "update TLIMB")
    overrides = tuple(overrides)
    for override in overrides:
        _override(config, override)
    _check(config, path.name)
    config = {**config, "seed": config.get("seed", 0), "parents": config.get("parents") or []}
    if overrides or not config.get("digest"):
        config["digest"] = _digest(config)
    return config


def component_class(place: str, config: Any) -> Any:
    """The class of a component.

    Raises:
        InputError: the config is no component, or there is no such class.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_path"), str):
        raise InputError(f"{place}: a component is {{class_path: …, init_args: {{…}}}}, here stands {config!r}")
    if strange := sorted(set(config) - {"class_path", "init_args"}):
        raise InputError(f"{place}: unknown key '{strange[0]}'", "a component has class_path and init_args")
    class_path = config["class_path"]
    module_name, _, name = class_path.rpartition(".")
    try:
        module = importlib.import_module(module_name or name)
    except ImportError as error:
        raise InputError(f"{place}: {class_path} cannot be imported: {error}", "install it, or correct class_path") from None
    if not callable(found := getattr(module, name, None)):
        raise InputError(
            f"{place}: the module {module_name} has no class '{name}'", did_you_mean(name, getattr(module, "__all__", dir(module)))
        )
    return found


def arguments_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `init_args` of a component."""
    return dict(config.get("init_args") or {})


def _check(config: Config, source: str) -> None:
    kind = config.get("kind")
    if kind not in _REQUIRED:
        raise InputError(f"{source}: kind is {kind!r}", f"kinds: {', '.join(_REQUIRED)}")
    required = _REQUIRED[kind]
    if missing := [key for key in required if config.get(key) is None]:
        raise InputError(f"{source}: a stage of kind {kind} needs {', '.join(missing)}", "tlimb desugar RECIPE writes complete stages")
    known = (*required, *_OPTIONAL, *_MORE.get(kind, ()))
    for key in config:
        if key not in known:
            raise InputError(f"{source}: unknown key '{key}'", did_you_mean(str(key), known))
    if kind == "fit" and config["targets"] and config.get("objective") is None:
        raise InputError(f"{source}: a stage of kind fit with targets needs objective", "tlimb desugar RECIPE writes complete stages")
    _check_code(config.get("code") or {})
    for place in _COMPONENTS:
        if config.get(place) is not None:
            check_component(place, config[place])
    for name, term in (config.get("auxiliaries") or {}).items():
        check_component(f"auxiliaries.{name}", term)
    scenario = arguments_of(config.get("scenario") or {})
    for part in ("optimizer", "schedule"):
        if scenario.get(part) is not None:
            check_component(f"scenario.{part}", scenario[part])
    if kind in ("fit", "evaluate"):
        unlabelled = _check_unlabelled(config.get("unlabelled"), source)
        _check_targets(config["targets"], source, unlabelled)
        _check_trainer(arguments_of(config["trainer"]), kind)
        _check_compute(config.get("compute") or {})


def _check_code(planned: Mapping[str, str]) -> None:
    """The user's own code must be there, and be that which the stage was planned with."""
    own = Own(Path(), trusted_folders())
    for name, fingerprint in planned.items():
        found = own.fingerprint(name)
        if found is None:
            raise InputError(
                f"the code of {name} is not here", "name the folder it lies in: --trust beside the recipe, or TLIMB_CODE=FOLDER"
            )
        if found != fingerprint:
            raise InputError(f"the code of {name} has changed since this stage was planned", "plan again (tlimb run, compile or desugar)")


def _check_unlabelled(unlabelled: Any, source: str) -> bool:
    """Whether the stage has data without labels."""
    for item in unlabelled or ():
        if not isinstance(item, dict) or not isinstance(item.get("dataset"), str):
            raise InputError(f"{source}: unlabelled is a list of {{dataset, part}}, here stands {item!r}")
        item.setdefault("part", None)
    return bool(unlabelled)


def _check_targets(targets: Any, source: str, unlabelled: bool) -> None:
    needed = {"name", "dataset", "label", "kind"}
    if not isinstance(targets, list) or not (targets or unlabelled):
        raise InputError(f"{source}: targets is a list with at least one target, unless there are unlabelled data")
    for target in targets:
        if not isinstance(target, dict) or not needed <= target.keys():
            raise InputError(f"{source}: a target has {', '.join(sorted(needed))}; here stands {target!r}")
        target.setdefault("part", None)
        if target["kind"] not in ("number", "category"):
            raise InputError(f"{source}: target {target['name']}: kind is {target['kind']!r}", "kinds: number, category")
        if target["kind"] == "category" and len(target.get("classes") or ()) < 2:
            raise InputError(f"{source}: target {target['name']}: a category has at least two classes")
        if "." in str(target["name"]) or not str(target["name"]):
            raise InputError(f"{source}: target {target['name']!r}: a name has no dot")
    heads = {target["name"]: target for target in heads_of(targets)}
    uses = [(target["name"], target["dataset"], target["part"]) for target in targets]
    same = ("kind", "classes", "unit")
    for number, target in enumerate(targets):
        head = heads[target["name"]]
        if uses[number] in uses[:number] or any(target.get(key) != head.get(key) for key in same):
            raise InputError(
                f"{source}: two targets have the same name: {target['name']}",
                "one head learns a label of several data sets only where kind, classes and unit are equal; else give one another name",
            )


def heads_of(targets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One target for each head: the same label of several data sets is learned by one."""
    heads: dict[str, dict[str, Any]] = {}
    for target in targets:
        heads.setdefault(target["name"], target)
    return list(heads.values())


def _check_trainer(arguments: Mapping[str, Any], kind: str) -> None:
    for name in sorted(_OWNED & arguments.keys()):
        raise InputError(f"trainer.{name} cannot be set", "checkpoints, progress and folders of a stage are TLIMB's own")
    count, nodes, strategy = device_count(arguments), arguments.get("num_nodes", 1), arguments.get("strategy", "auto")
    if nodes != 1:
        raise InputError(
            f"trainer.num_nodes is {nodes!r}: a stage trains on one machine",
            "devices=N trains on several devices of a machine; Nextflow runs several stages on several machines",
        )
    if count > 1 and strategy not in STRATEGIES:
        raise InputError(f"trainer.strategy is {strategy!r}: several devices train by ddp", "strategy=ddp")
    if kind == "fit" and arguments.get("max_epochs") is None and arguments.get("max_steps", -1) == -1:
        raise InputError("trainer.max_epochs is absent", "say how long to train, e.g. --set trainer.max_epochs=10")


def _check_compute(compute: Any) -> None:
    known = {parameter.name: parameter.type for parameter in COMPUTE}
    for name, value in compute.items() if isinstance(compute, Mapping) else [(repr(compute), None)]:
        if name not in known:
            raise InputError(f"compute: unknown key '{name}'", did_you_mean(str(name), known))
        if not fits(value, known[name]):
            raise InputError(f"compute.{name} is {value!r}", f"it takes {known[name]}")


def device_count(arguments: Mapping[str, Any]) -> int:
    """On how many devices a Trainer with these arguments trains; `auto` is one, so that results do not depend on the machine.

    Raises:
        InputError: it is no number of devices.
    """
    devices = arguments.get("devices", 1)
    if devices == "auto":
        return 1
    count = len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdecimal() else 0
    if count < 1:
        raise InputError(
            f"trainer.devices is {devices!r}: it is a number of devices, from 1",
            "a step's batch is devices x batch, so results depend on it",
        )
    return count


def check_component(place: str, config: Any) -> None:
    """Raise `InputError` unless class and arguments of a component exist and no argument is absent."""
    cls = component_class(place, config)
    parameters = parameters_of(cls)
    arguments = arguments_of(config)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD}
    for name in arguments:
        if name not in known and not open_ended:
            raise InputError(f"{place}.{name}: {cls.__name__} has no such argument", did_you_mean(str(name), known - {"network", "unit"}))
    for name, parameter in parameters.items():
        positional = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if positional and parameter.default is parameter.empty and name not in arguments and name not in _GIVEN:
            raise InputError(f"{place}.{name} is absent: {cls.__name__} needs it", f"e.g. --set {place}.{name}=VALUE")


def _override(config: Config, override: str) -> None:
    """Set one field by its dotted path; levels ``init_args`` may be written or left out."""
    path, sign, text = override.partition("=")
    pieces = path.strip().split(".")
    if not sign or not all(pieces):
        raise InputError(f"--set {override}: not PATH=VALUE", "e.g. --set trainer.max_epochs=3")
    try:
        value = yaml.load(text, Loader=Loader)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: the value is not YAML") from None
    if pieces[0] == "compute":
        config.setdefault("compute", {})
    place: Any = config
    for number, piece in enumerate(pieces):
        if isinstance(place, dict) and "class_path" in place and piece not in ("class_path", "init_args"):
            place = place.setdefault("init_args", {})
        last = number == len(pieces) - 1
        if isinstance(place, list) and piece.isdigit() and int(piece) < len(place):
            piece = int(piece)  # type: ignore[assignment]
        elif not isinstance(place, dict) or (piece not in place and (not last or number == 0)):
            known = place if isinstance(place, Collection) and not isinstance(place, str) else ()
            names = [str(name) for name in (known if isinstance(place, dict) else range(len(known)))]
            raise InputError(f"--set {override}: there is no '{'.'.join(pieces[: number + 1])}'", did_you_mean(piece, names))
        if last:
            place[piece] = value
        else:
            place = place[piece]


def _digest(config: Mapping[str, Any]) -> str:
    """A content address for a config that was changed or written by hand."""
    identity = {key: value for key, value in config.items() if key not in ("name", "about", "digest")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
