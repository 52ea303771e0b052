"""No evaluation subject may have been seen upstream: in the training or validation set of any stage that led to the weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.splits import Role, select

Person = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """The subjects of one data set that a stage uses: by part (None: all), each with its role in this recipe."""

    dataset: Dataset
    part: str | None
    roles: Mapping[str, Role]

    def people(self, *roles: str) -> set[str]:
        """Participant ids in these roles."""
        return {who for role in roles for who in select(self.roles, self.part, role)}  # type: ignore[arg-type]


def overlap(seen: Use, tested: Use) -> int:
    """How many test subjects of one use are training or validation subjects of another.

    Two entries of `datasets.yaml` hold the same people where they have the same root, or where the participants of the same id also have
    the same labels (an id such as sub-01 alone says nothing).
    """
    shared = seen.people("train", "val") & tested.people("test")
    if not shared or seen.dataset.root == tested.dataset.root:
        return len(shared)
    left, right = _labels(seen.dataset), _labels(tested.dataset)
    numeric = [name for name, label in seen.dataset.labels.items() if label.kind == "number" and name in tested.dataset.labels]
    same = [who for who in shared if any(left[who].get(n) is not None and left[who].get(n) == right[who].get(n) for n in numeric)]
    return len(same) if len(same) >= 3 and 2 * len(same) > len(shared) else 0


def _labels(dataset: Dataset) -> dict[str, Mapping[str, object]]:
    return {scan.participant_id: scan.labels for scan in dataset.listing().scans}
