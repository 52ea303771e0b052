"""`Inference`: predictions and metrics of a network, without training."""

from collections.abc import Callable, Sequence

import lightning
from torch import Tensor

from tlimb.components.contracts import Batch, Network
from tlimb.components.scenarios.evaluation import Metrics, Table, Units, by_unit, score_all

UnitsOf = Callable[[Sequence[int]], Sequence[tuple[str, str, str]]]
"""(participant_id, session, part) of each of some rows: what a data module's `unit` says."""


class Inference(lightning.LightningModule):
    """Test a network; scenarios add how it learns.

    Args:
        network: Encoder and heads.
        unit: Whom rows belong to.

    Attributes:
        part: The name of the part that a test is of: val or test.
        metrics: Of the last evaluation, by full name.
        units: Predictions of the last evaluation.
    """

    def __init__(self, network: Network, unit: UnitsOf) -> None:
        super().__init__()
        self.network = network
        self.part = "test"
        self.metrics: Metrics = {}
        self.units = Units((), {})
        self._unit = unit
        self._table = Table()

    def on_test_epoch_start(self) -> None:
        """Start collecting."""
        self._table = Table()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect predictions."""
        self.collect(batch, self.network(batch["image"]))

    def on_test_epoch_end(self) -> None:
        """Metrics over the whole epoch."""
        self.evaluate(self.part)

    def collect(self, batch: Batch, outputs: dict[str, Tensor]) -> None:
        """Keep the predictions of a batch."""
        predictions = {name: self.network.head(name).predict(output) for name, output in outputs.items()}
        self._table.add(batch["row"], batch["targets"], predictions)

    def evaluate(self, part: str) -> None:
        """Average what was collected by unit and compute the metrics; what was collected is forgotten."""
        rows, estimates = self._table.gathered()
        self._table = Table()
        self.units = by_unit(self._unit(rows.tolist()), estimates)
        self.metrics = score_all(self.network, part, self.units)
