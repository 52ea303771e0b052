"""`SelfSupervised`: learn an encoder from images alone."""

from torch import Tensor

from tlimb.components.contracts import Batch, Pass, Step
from tlimb.components.scenarios.supervised import Supervised


class SelfSupervised(Supervised):
    """Learn an encoder from images without labels; the terms say how. The best epoch has the smallest loss on validation images."""

    def observe(self, batch: Batch) -> Step:
        """Run the encoder on each view, unless the terms do so themselves."""
        runs = not all(getattr(term, "encodes", False) for term in self.terms.values())
        views = batch.get("views", (batch["image"],))
        return self._seen(batch, None, tuple(self.pass_of(view) if runs else Pass(view, view.new_empty(0), {}) for view in views))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the loss."""
        step = self.observe(batch)
        losses: list[Tensor] = [term(step) for term in self.terms.values()]
        self._count(sum(losses, losses[0].new_zeros(())), batch)
