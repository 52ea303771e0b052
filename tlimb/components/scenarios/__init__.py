"""Scenarios: how a network learns, whatever its architecture and objective."""

from tlimb.components.scenarios.inference import Inference
from tlimb.components.scenarios.joint import Joint
from tlimb.components.scenarios.mean_teacher import MeanTeacher
from tlimb.components.scenarios.normalisation import AdaptiveBatchNorm
from tlimb.components.scenarios.self_supervised import SelfSupervised
from tlimb.components.scenarios.supervised import Supervised

__all__ = ["AdaptiveBatchNorm", "Inference", "Joint", "MeanTeacher", "SelfSupervised", "Supervised"]
