"""`Job`: a stage at work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlimb.catalogue.datasets import Datasets
from tlimb.train.config import Config
from tlimb.train.stopping import Stop

Emit = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Job:
    """A stage at work.

    Attributes:
        config: Checked.
        partial: The folder of work.
        parents: Folder of each parent by digest.
        datasets: Looks up the catalogue.
        stop: Whether one should end.
        event: Tells of progress.
        threads: CPU threads.
        gpus: Those of a stage on several devices, as CUDA_VISIBLE_DEVICES takes them; None: all there are.
        scratch: Where copies of prepared data are made; None: nowhere.
        batch: Images in a batch of a device, where the config leaves it open.
        notes: What `environment.json` says beside versions.
        callbacks: Of Lightning, that watch.
    """

    config: Config
    partial: Path
    parents: dict[str, Path]
    datasets: Callable[[], Datasets]
    stop: Stop
    event: Emit
    threads: int
    gpus: str | None = None
    scratch: Path | None = None
    batch: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    callbacks: Sequence[Any] = ()

    def warn(self, message: str) -> None:
        """Tell of something that one may want to change: in the log, and to whoever watches."""
        print(f"warning: {message}")
        self.event({"event": "warning", "message": message})

    def parent(self, role: str) -> dict[str, Path]:
        """Folders of the parents of a role by name."""
        return {parent["name"]: self.parents[parent["digest"]] for parent in self.config["parents"] if parent["role"] == role}
