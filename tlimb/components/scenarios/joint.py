"""`Joint`: labelled and unlabelled images in one loop."""

import torch

from tlimb.components.contracts import Batch, Pass, Step
from tlimb.components.scenarios.supervised import Supervised


class Joint(Supervised):
    """Learn from labelled and unlabelled images at once: semi-supervised learning and domain adaptation, as the terms say.

    The network sees labelled images and all views of the unlabelled ones in one forward, so that BatchNorm normalises them together.
    Validation and the choice of the best epoch use labelled images only.
    """

    def observe(self, batch: Batch) -> Step:
        """Run the network on labelled and unlabelled images together."""
        unlabelled = batch["unlabelled"]
        images = (batch["image"], *unlabelled.get("views", ()))
        together = self.pass_of(torch.cat(images))
        sizes = [len(image) for image in images]
        outputs = {name: torch.split(output, sizes) for name, output in together.outputs.items()}
        labelled, *others = (
            Pass(image, features, {name: parts[index] for name, parts in outputs.items()})
            for index, (image, features) in enumerate(zip(images, torch.split(together.features, sizes), strict=True))
        )
        return self._seen(batch, labelled, tuple(others))
