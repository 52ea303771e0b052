"""Train-time augmentations: random changes of whole batches (B, C, *S), where the batch lies."""

from tlimb.components.augmentations.artefacts import Ghosting, Motion, Spike
from tlimb.components.augmentations.base import Augmentation
from tlimb.components.augmentations.intensity import BiasField, Cutout, Gamma, Noise
from tlimb.components.augmentations.spatial import Affine, ElasticDeformation, Flip, ResizedCrop

__all__ = [
    "Affine",
    "Augmentation",
    "BiasField",
    "Cutout",
    "ElasticDeformation",
    "Flip",
    "Gamma",
    "Ghosting",
    "Motion",
    "Noise",
    "ResizedCrop",
    "Spike",
]
