"""A believable store without training: plans and stage folders as docs/formats.md describes them."""

import csv
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .brute import classification, regression

AGE = {"name": "age", "dataset": "ixi", "part": None, "label": "age", "kind": "number", "unit": "years", "classes": None, "weight": 1.0}
SEX = {
    "name": "sex",
    "dataset": "ixi",
    "part": None,
    "label": "sex",
    "kind": "category",
    "unit": None,
    "classes": ["F", "M"],
    "weight": 1.0,
}
PEOPLE = [("val", f"sub-V{i:03d}") for i in range(40)] + [("test", f"sub-T{i:03d}") for i in range(60)]
RECIPE = "pretrain resnet18 on ixi.age\nfinetune freeze layer4 on ixi.sex\nsweep lr in [1e-4, 1e-3, 1e-2]"


def digest_of(*parts: object) -> str:
    """16 hex digits from anything."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:16]


def truth_of(person: str, target: Mapping[str, Any]) -> str:
    """The label of a person: the same in every stage."""
    draw = random.Random(f"{person}{target['label']}")
    return f"{draw.uniform(20, 86):.1f}" if target["kind"] == "number" else draw.choice(target["classes"])


class Lab:
    """Builds a plan and, stage by stage, the store that a run of it would leave."""

    def __init__(self, store: Path, *, recipe: str = "brain-age", text: str = RECIPE, by: str = "val.mae", **about: str) -> None:
        self.store = store
        store.mkdir(parents=True, exist_ok=True)
        self.stages: dict[str, dict[str, Any]] = {}
        self.variants: dict[str, dict[str, Any]] = {}
        self.recipe, self.text, self.by, self.about = recipe, text, by, about
        self.warnings: list[str] = []

    def prepare(self, dataset: str = "ixi", bad: Sequence[Mapping[str, str]] = ()) -> str:
        """A prepared data set."""
        digest = digest_of("prepare", dataset)
        if digest not in self.stages:
            self._plan(digest, dataset, "prepare", [], [], {})
            folder = self._folder(digest, dataset, "prepare")
            people = {person: person for _, person in PEOPLE}
            _json(folder / "results.json", {"format": 1, "digest": digest, "name": dataset, "kind": "prepare", "metrics": {}})
            _json(folder / "prepared.json", {"format": 1, "dataset": dataset, "participants": people, "bad": list(bad), "without_image": 2})
        return digest

    def fit(
        self,
        name: str,
        targets: Sequence[Mapping[str, Any]],
        *,
        settings: Mapping[str, Any] | None = None,
        parent: str | None = None,
        seed: int = 0,
        noise: float = 5.0,
        trainable: int = 8_394_241,
        done: bool = True,
        kind: str = "fit",
        parts: Sequence[str] = ("val", "test"),
        bias: float = 0.0,
    ) -> str:
        """A training (or evaluation) stage; `noise` is the error of its predictions in years, or makes classes alike."""
        digest = digest_of(name, settings, parent, seed, noise, kind)
        data = self.prepare()
        parents = [{"role": "data", "name": "ixi", "digest": data}]
        parents += [{"role": "weights", "name": "pretrain", "digest": parent}] if parent else []
        self._plan(digest, name, kind, parents, targets, {"scenario": {"class_path": "S", "init_args": dict(settings or {})}})
        if not done:
            return digest
        draw = random.Random(digest)
        rows, metrics = [], {}
        for part, person in PEOPLE:
            if part in parts:
                row = {"participant_id": person, "session": "", "part": part}
                for target in targets:
                    row |= _predict(draw, person, target, noise, bias)
                rows.append(row)
        for part in parts:
            for target in targets:
                prefix = f"{part}." if len(targets) == 1 else f"{part}.{target['name']}."
                metrics |= {prefix + metric: value for metric, value in measure([r for r in rows if r["part"] == part], target).items()}
        folder = self._folder(digest, name, kind, parents, targets)
        with (folder / "predictions.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        epochs = 10
        baselines = {
            f"test.{'mae' if targets[0]['kind'] == 'number' else 'balanced_accuracy'}": (
                {"constant": 14.8, "head_size": 14.1} if targets[0]["kind"] == "number" else {"constant": 0.5, "head_size": 0.74}
            )
        }
        document: dict[str, Any] = {"format": 1, "digest": digest, "name": name, "kind": kind, "seed": seed, "metrics": metrics}
        if kind == "fit":
            document |= {"monitor": "val.mae", "best_epoch": 7, "epochs": epochs, "baselines": baselines if len(targets) == 1 else {}}
            document |= {"subjects": {"train": 400, "val": 40, "test": 60, "dropped": {targets[0]["name"]: 4}, "bad": 1}}
            document |= {"parameters": {"trainable": trainable, "frozen": 11_170_753 - trainable}}
            metric = "mae" if targets[0]["kind"] == "number" else "balanced_accuracy"
            with (folder / "history.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["epoch", "lr", "train.loss", "val.loss", f"val.{metric}"])
                for epoch in range(epochs):
                    left = 0.7**epoch + draw.gauss(0, 0.02)
                    value = noise + 10 * left if metric == "mae" else 0.85 - 0.3 * left
                    writer.writerow([epoch, 0.001, 0.2 + left, 0.3 + left * 0.9, value])
        _json(folder / "results.json", document)
        versions = {"python": "3.11.9", "torch": "2.5.0", "lightning": "2.5.0", "monai": "1.5.0", "numpy": "2.0.0", "tlimb": "0.1.0"}
        _json(folder / "environment.json", {"versions": versions, "device": "cpu", "threads": 1, "seconds": 61.5, "host": "secret-host"})
        return digest

    def variant(self, settings: Mapping[str, Any], stages: Mapping[str, str], leaves: Sequence[str], seed: int = 0) -> None:
        """One run of one variant; a second call with the same settings adds a seed."""
        key = json.dumps(settings)
        entry = self.variants.setdefault(key, {"id": f"v{len(self.variants) + 1}", "settings": dict(settings), "runs": [], "stages": []})
        entry["runs"].append({"seed": seed, "stages": dict(stages), "leaves": list(leaves)})
        entry["stages"] = list(dict.fromkeys([*entry["stages"], *stages.values()]))

    def failed(self, digest: str, message: str) -> None:
        """Mark a stage as failed, as the local engine does."""
        folder = self.store / ".partial" / digest
        folder.mkdir(parents=True)
        _json(folder / "failed.json", {"format": 1, "digest": digest, "message": message})

    def plan(self) -> dict[str, Any]:
        """The plan document."""
        direction = "min" if self.by.endswith(("mae", "mse", "rmse", "cross_entropy")) else "max"
        return {
            "format": 1,
            "recipe": self.recipe,
            "text": self.text,
            "about": dict(self.about),
            "rank": {"metric": self.by, "direction": direction},
            "variants": list(self.variants.values()),
            "stages": list(self.stages.values()),
            "warnings": list(self.warnings),
        }

    def folder(self, digest: str) -> Path:
        """Where the finished stage lies."""
        return self.store / digest

    def _plan(self, digest: str, name: str, kind: str, parents: list[Any], targets: Sequence[Any], config: Mapping[str, Any]) -> None:
        self.stages[digest] = {
            "digest": digest,
            "name": name,
            "kind": kind,
            "parents": [parent["digest"] for parent in parents],
            "state": "new",
            "parameters": None,
            "config": {"tlimb": 1, "kind": kind, "name": name, "digest": digest, "parents": parents, "targets": list(targets), **config},
        }

    def _folder(self, digest: str, name: str, kind: str, parents: Sequence[Any] = (), targets: Sequence[Any] = ()) -> Path:
        folder = self.store / digest
        folder.mkdir(exist_ok=True)
        (folder / "log.txt").write_text("/home/someone/secret-path was read\n")
        return folder


def measure(rows: Sequence[Mapping[str, str]], target: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of rows of predictions.csv, by loops."""
    name = target["name"]
    if target["kind"] == "number":
        return regression([float(row[name]) for row in rows], [float(row[f"{name}_pred"]) for row in rows])
    classes = target["classes"]
    return classification([classes.index(row[name]) for row in rows], [[float(row[f"{name}_prob_{c}"]) for c in classes] for row in rows])


def _predict(draw: random.Random, person: str, target: Mapping[str, Any], noise: float, bias: float) -> dict[str, str]:
    name, truth = target["name"], truth_of(person, target)
    # A difficulty of the person's own, common to all stages: what pairing is for.
    shared = random.Random(f"difficulty{person}").gauss(0, 1)
    if target["kind"] == "number":
        value = 50 + 0.85 * (float(truth) - 50) + 3 * shared + draw.gauss(0, noise) + bias
        return {name: truth, f"{name}_pred": repr(value)}
    scores = [
        max(1e-6, (1.0 if c == truth else 0.0) + draw.gauss(0, noise / 10) + 0.3 * shared * (i == 0))
        for i, c in enumerate(target["classes"])
    ]
    total = sum(2.718 ** (3 * score) for score in scores)
    probabilities = [2.718 ** (3 * score) / total for score in scores]
    best = target["classes"][probabilities.index(max(probabilities))]
    return {name: truth, f"{name}_pred": best} | {
        f"{name}_prob_{c}": repr(p) for c, p in zip(target["classes"], probabilities, strict=True)
    }


def _json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))
