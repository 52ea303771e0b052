"""How many parameters a stage trains: asked once of a child process that loads torch, and kept by architecture."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import InputError, TlimbError
from tlimb.run.store import Store, write_json
from tlimb.stages.graph import Stage, StageGraph

FORMAT = 2
_UNKNOWN = object()
_PARTS = {"layers", "own", "feature_dim", "encoder_parameters", "number_outputs"}
COMMAND = (sys.executable, "-m", "tlimb.train", "anatomy")


def cache() -> Path:
    """Where what can be made again is kept: the folder that TLIMB_CACHE names, or the user's cache folder."""
    return Path(os.environ.get("TLIMB_CACHE") or user_cache_dir("tlimb"))


class UnknownLayerError(InputError):
    """A layer to freeze does not exist; names the stage and the layers that do, in the encoder's order."""

    def __init__(self, stage: str, layer: str, layers: Sequence[str]) -> None:
        super().__init__(f"stage {stage}: no layer '{layer}' to freeze", f"layers in order: none, {', '.join(layers)}, all")
        self.layer = layer


def anatomies(configs: Sequence[Mapping[str, Any]], *, ask: bool = True) -> list[dict[str, Any] | None]:
    """Layers and parameters of architectures, as tlimb/train/anatomy.py describes them.

    Args:
        configs: Of each, `class_path`, `init_args` and, where it is known, the `input_shape` of its data.
        ask: Whether to start the child process for those not in the cache; without it they are None, as are always those whose layers
            depend on an input shape that is not known.

    Raises:
        InputError: an architecture does not exist or does not take its arguments.
        TlimbError: the child process failed.
    """
    folder = cache() / "anatomy"
    software = _software()
    paths = [folder / f"{_digest(config, software)}.json" for config in configs]
    known = {path: _read(path) for path in paths}
    missing = {path: config for path, config in zip(paths, configs, strict=True) if known[path] is _UNKNOWN}
    if missing and ask:
        known |= zip(missing, _ask(list(missing.values())), strict=True)
        with suppress(OSError):  # a cache that cannot be written costs time and nothing else
            folder.mkdir(parents=True, exist_ok=True)
            for path in missing:
                write_json(path, known[path])
    return [None if known[path] is _UNKNOWN else known[path] for path in paths]


def _read(path: Path) -> Any:
    """An answer of the cache; a file that is absent, damaged or no answer is none."""
    try:
        answer = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return _UNKNOWN
    return answer if answer is None or (isinstance(answer, dict) and answer.keys() >= _PARTS) else _UNKNOWN


def parameters(graph: StageGraph, *, store: Store | None = None, ask: bool = True) -> dict[str, dict[str, int]]:
    """Trainable and frozen parameters of the stages that train, by digest.

    Architectures made for one size of images (ViT) are left out while that size is not known: it is where the recipe says it or, with a
    `store`, once the data are prepared. So are those whose channels or dimensions only the data tell, such as the regions of time series.
    Without `ask`, those not in the cache are left out too.

    Raises:
        UnknownLayerError: a layer to freeze does not exist.
    """
    keys: dict[str, str] = {}
    told: dict[str, bool] = {}
    seen: dict[tuple[int, int, str | None], str | None] = {}
    for stage in graph.stages:
        if stage.kind == "fit":
            # By identity: the stages of a sweep share the parts of their configs that are equal.
            data = next((parent["digest"] for parent in stage.config["parents"] if parent["role"] == "data"), None)
            same = (id(stage.config["architecture"]), id(stage.config.get("data")), data)
            if same not in seen:
                question = _question(stage, store)
                seen[same] = key = None if question is None else json.dumps(question, sort_keys=True)
                if key is not None and question is not None:
                    told[key] = not _untold(question)
            if (key := seen[same]) is not None:
                keys[stage.digest] = key
    distinct = list(dict.fromkeys(keys.values()))
    known = dict(zip(distinct, anatomies([json.loads(key) for key in distinct], ask=ask), strict=True))
    return {
        stage.digest: parameters_of(stage, anatomy)
        for stage in graph.stages
        if (key := keys.get(stage.digest)) is not None and (anatomy := known[key]) is not None and told[key]
    }


def anatomy_of(stage: Stage, *, store: Store | None = None, ask: bool = True) -> dict[str, Any] | None:
    """Layers and parameters of the network of one stage; None where they depend on data that are not known yet or, without `ask`, are not
    in the cache.
    """
    question = _question(stage, store)
    return None if question is None or _untold(question) else anatomies([question], ask=ask)[0]


def _untold(architecture: Mapping[str, Any]) -> list[str]:
    """The arguments of an architecture that follow from the data and are not there."""
    known = load_catalogue().parameters(architecture["class_path"]) or ()
    given = {**architecture["init_args"], **({"in_channels": 0, "spatial_dims": 0} if "input_shape" in architecture else {})}
    return [parameter.name for parameter in known if parameter.name in ("in_channels", "spatial_dims") and parameter.name not in given]


def _question(stage: Stage, store: Store | None) -> dict[str, Any] | None:
    """What to ask of a stage's architecture; None where the answer is known to be none."""
    architecture = dict(stage.config["architecture"])
    found = _prepared(stage, store)
    told = {name: found[{"in_channels": "channels"}.get(name, name)] for name in _untold(architecture) if found}
    architecture["init_args"] = {**architecture["init_args"], **told}
    known = load_catalogue().parameters(architecture["class_path"])
    if "input_shape" in architecture["init_args"] or (known is not None and all(parameter.name != "input_shape" for parameter in known)):
        return architecture
    shape = _input_shape(stage, found)
    if shape is None:
        return architecture if known is None else None
    return {**architecture, "input_shape": shape}


def _prepared(stage: Stage, store: Store | None) -> Mapping[str, Any]:
    """What is known of the stage's data once they are prepared; empty before."""
    prepared = next((parent["digest"] for parent in stage.config["parents"] if parent["role"] == "data"), None)
    if store is None or prepared is None or not store.is_done(prepared):
        return {}
    document: dict[str, Any] = json.loads((store.folder(prepared) / "prepared.json").read_bytes())
    return document


def _input_shape(stage: Stage, found: Mapping[str, Any]) -> list[int] | None:
    """Channels and size of the stage's images: what its data say of them, or else what the prepared data have."""
    data = stage.config["data"]["init_args"]
    channels = found.get("channels", stage.config["architecture"]["init_args"].get("in_channels"))
    size = data.get("size") or ([data["length"]] if data.get("length") else found.get("shape"))
    return [channels, *size] if channels and size else None


def parameters_of(stage: Stage, anatomy: Mapping[str, Any]) -> dict[str, int]:
    """Trainable and frozen parameters of a stage that trains.

    Raises:
        UnknownLayerError: the layer to freeze does not exist.
    """
    outputs = sum(
        anatomy["number_outputs"] if target["kind"] == "number" else len(target["classes"])
        for target in {target["name"]: target for target in stage.config["targets"]}.values()
    )
    heads = outputs * (anatomy["feature_dim"] + 1)
    encoder = anatomy["encoder_parameters"]
    arguments = stage.config["scenario"]["init_args"]
    freeze, only = arguments.get("freeze"), arguments.get("freeze_only", False)
    points = [point for point, _ in anatomy["layers"]]
    if freeze in (None, "none"):
        trained = encoder
    elif freeze == "all":
        trained = 0
    elif freeze not in points:
        raise UnknownLayerError(stage.name, freeze, points)
    elif only:
        trained = encoder - anatomy["own"][freeze]
    else:
        trained = sum(count for _, count in anatomy["layers"][points.index(freeze) :])
    return {"trainable": trained + heads, "frozen": encoder - trained}


def _ask(configs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(COMMAND, input=json.dumps(configs), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers
    words = done.stderr.strip().splitlines()
    if done.returncode == InputError.exit_status:
        raise InputError("\n".join(words).removeprefix("error: "))
    raise TlimbError("the architectures could not be built:\n" + "\n".join(words[-8:]), f"the command is: {' '.join(COMMAND)}")


def _digest(config: Mapping[str, Any], software: Mapping[str, str]) -> str:
    own = load_catalogue().own.code(config)
    text = json.dumps({"format": FORMAT, "architecture": config, "own": own, **software}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _software() -> dict[str, str]:
    """What a count depends on besides the config. The source too, since a checkout changes without its version."""
    found = {}
    for package in ("tlimb", "monai"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    source = hashlib.sha256()
    for file in sorted(Path(str(files("tlimb"))).glob("components/architectures/*.py")):
        source.update(file.read_bytes())
    return {**found, "source": source.hexdigest()}
