"""`run_stage`: one `stage.yaml` becomes one folder of results."""

import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from tlimb.catalogue.datasets import Datasets, find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.tables import did_you_mean
from tlimb.components.data.preparation import prepare
from tlimb.errors import InputError
from tlimb.files import cannot_write
from tlimb.plainyaml import Dumper
from tlimb.scratch import VARIABLE, copies
from tlimb.train.compute import check_precision, compiling
from tlimb.train.config import Config, arguments_of, component_class, read_config
from tlimb.train.fit import evaluate, fit
from tlimb.train.folder import captured, environment, is_done, publish, record, workplace, write_atomic, write_json
from tlimb.train.job import Emit, Job
from tlimb.train.stopping import Stop
from tlimb.train.training import quieten
from tlimb.train.weights import adopt

Find = Callable[[], Datasets]
FORMAT = 1
_EVERY_S = 1.0


def run_stage(
    config_path: Path,
    out: Path,
    *,
    parents: Sequence[Path] = (),
    datasets: Path | None = None,
    threads: int | None = None,
    gpus: str | None = None,
    state: Path | None = None,
    scratch: Path | None = None,
    overrides: Iterable[str] = (),
    emit: Emit | None = None,
) -> dict[str, Any]:
    """Compute a stage unless it is finished, or go on where an interrupted one stopped.

    Args:
        config_path: A `stage.yaml`.
        out: The result folder; appears when all is done.
        parents: Result folders of the stages it needs, recognised by their digests. Siblings of `out` are found by themselves, and data
            that are not prepared are prepared beside `out`.
        datasets: The `datasets.yaml`; default: looked up from the config's folder upwards.
        threads: CPU threads; results can differ in their last digits between numbers of threads.
        gpus: For a stage on several devices, as CUDA_VISIBLE_DEVICES takes them; default: all there are.
        state: Where unfinished work lies; default ``.partial`` beside `out`.
        scratch: A folder on this node's own disk, or in its memory, for copies of prepared data, shared by all its stages; default: that of
            the variable TLIMB_SCRATCH.
        overrides: ``PATH=VALUE``, see `read_config`.
        emit: Called with each event ``{"event": started | warning | epoch | finished, "epoch", "epochs", "metrics", "message"}``.

    Returns:
        `results.json`.

    Raises:
        InputError: the config, the parents or the data are wrong.
        TlimbError: the stage failed.
        StoppedError: it was asked to end.
    """
    config_path, out = Path(config_path), Path(out).resolve()
    config = read_config(config_path, overrides)
    if scratch is None and (named := os.environ.get(VARIABLE)):
        scratch = Path(named)
    if threads:
        torch.set_num_threads(threads)

    def find() -> Datasets:
        return find_datasets(config_path.resolve().parent, datasets)

    with Stop() as stop:
        _compute(
            config, out, parents=parents, find=find, gpus=gpus, state=state, scratch=scratch, stop=stop, send=emit or (lambda event: None)
        )
    results: dict[str, Any] = json.loads((out / "results.json").read_bytes())
    return results


def _compute(
    config: Config,
    out: Path,
    *,
    parents: Sequence[Path],
    find: Find,
    gpus: str | None,
    state: Path | None,
    scratch: Path | None,
    stop: Stop,
    send: Emit,
) -> None:
    began = time.monotonic()
    if is_done(out, config["digest"]):
        return
    found = _parents(config, parents, out)
    for parent in config["parents"]:
        if parent["digest"] not in found:
            folder = out.parent / str(parent["digest"])
            document = _prepare_config(config, parent, _dataset(find(), str(parent["name"])))
            _compute(document, folder, parents=(), find=find, gpus=None, state=None, scratch=None, stop=stop, send=lambda event: None)
            found[parent["digest"]] = folder
    with workplace(out, Path(state).resolve() if state else None, config["digest"]) as partial:
        if partial is None:
            return
        with _told_if_full(partial):
            with captured(partial / "log.txt"):
                job = Job(config, partial, found, find, stop, _teller(partial, send), torch.get_num_threads(), gpus, scratch)
                last = _work(job, began)
            publish(partial, out, config["digest"])
    send(last)


@contextmanager
def _told_if_full(partial: Path) -> Iterator[None]:
    """While open, a full disk is told as such; half-written files, which keep it full, are removed."""
    try:
        yield
    except Exception as error:
        full = cannot_write(partial, error)
        for file in filter(Path.is_file, partial.glob(".*")):
            file.unlink()
        if full is None:
            raise
        raise full from error


def _work(job: Job, began: float) -> dict[str, Any]:
    """All but the rename; returns the last event, which is told when the folder stands."""
    quieten()
    write_atomic(job.partial / "stage.yaml", yaml.dump(job.config, Dumper=Dumper, sort_keys=False, allow_unicode=True))
    job.event({"event": "started"})
    try:
        if job.config["kind"] in ("fit", "evaluate"):
            check_precision(job)
        read = {parent["digest"]: job.parents[parent["digest"]] for parent in job.config["parents"] if parent["role"] == "data"}
        with copies(job.scratch, read, job.warn) as local, compiling(job):
            job.parents |= local
            results = _KINDS[job.config["kind"]](job)
    except Exception as error:
        traceback.print_exc()
        record(job.partial, {"event": "failed", "message": str(error) or type(error).__name__})
        raise
    identity = {"format": FORMAT, "digest": job.config["digest"], "name": job.config["name"], "kind": job.config["kind"]}
    write_json(job.partial / "results.json", {**identity, "seed": job.config["seed"], **results})
    write_json(job.partial / "environment.json", environment(began, threads=job.threads, **job.notes))
    last = {"event": "finished", "metrics": results.get("metrics", {})}
    record(job.partial, last)
    return last


def _teller(partial: Path, send: Emit) -> Emit:
    def tell(event: dict[str, Any]) -> None:
        record(partial, event)
        send(event)

    return tell


def _parents(config: Config, folders: Sequence[Path], out: Path) -> dict[str, Path]:
    """The folder of each parent by digest: those given, then siblings of `out`."""
    given = {}
    for folder in folders:
        try:
            given[str(yaml.safe_load((folder / "stage.yaml").read_text(encoding="utf-8"))["digest"])] = folder.resolve()
        except (OSError, KeyError, TypeError, yaml.YAMLError):
            raise InputError(
                f"--parent {folder}: no finished stage (its stage.yaml cannot be read)", "give the result folder of a stage"
            ) from None
    found: dict[str, Path] = {}
    for parent in config["parents"]:
        digest = str(parent["digest"])
        sibling = out.parent / digest
        if digest in given:
            found[digest] = given[digest]
        elif sibling.is_dir() and is_done(sibling, digest):
            found[digest] = sibling
        elif parent["role"] != "data":
            others = f" (given: {', '.join(given)})" if given else ""
            raise InputError(
                f"the weights of stage '{parent['name']}' ({digest}) are needed{others}",
                "run that stage first and give its result folder: --parent FOLDER",
            )
    return found


def _dataset(found: Datasets, name: str) -> Dataset:
    if name not in found:
        raise InputError(f"no data set '{name}' in {', '.join(map(str, found.sources)) or 'any datasets.yaml'}", did_you_mean(name, found))
    return found[name]


def _prepare_config(config: Config, parent: Config, dataset: Dataset) -> Config:
    """The stage that prepares a data set for another stage."""
    loading = getattr(component_class("data", config["data"]), "LOADING", ())
    return {
        "tlimb": FORMAT,
        "kind": "prepare",
        "name": dataset.name,
        "digest": str(parent["digest"]),
        "seed": 0,
        "parents": [],
        "dataset": {"name": dataset.name, "fingerprint": dataset.listing().fingerprint},
        "data": {
            "class_path": config["data"]["class_path"],
            "init_args": {key: value for key, value in arguments_of(config["data"]).items() if key not in loading},
        },
    }


def _prepare(job: Job) -> dict[str, Any]:
    """Kind prepare: images of a data set into one array."""
    wanted = job.config["dataset"]
    dataset = _dataset(job.datasets(), str(wanted["name"]))
    now = dataset.listing().fingerprint
    if wanted.get("fingerprint") not in (None, now):
        raise InputError(
            f"the data set {dataset.name} is not what this stage was planned for: files, labels or libraries have changed",
            "plan again (tlimb run, plan or desugar), so that nothing old is mixed with new data",
        )
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told >= _EVERY_S:
            told = time.monotonic()
            job.event({"event": "epoch", "epoch": done, "epochs": total, "metrics": {}})

    document = prepare(
        dataset,
        job.partial,
        module_class=component_class("data", job.config["data"]),
        arguments=arguments_of(job.config["data"]),
        emit=progress,
        threads=job.threads,
    )
    return {
        "subjects": {
            "participants": len(document["participants"]),
            "bad": len(document["bad"]),
            "without_image": document["without_image"],
        },
        "shape": [document["channels"], *document["shape"]],
    }


_KINDS = {"prepare": _prepare, "weights": adopt, "fit": fit, "evaluate": evaluate}
