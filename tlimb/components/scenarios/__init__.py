"""Scenarios: how a network learns, whatever its architecture and objective."""

from tlimb.components.scenarios.inference import Inference
from tlimb.components.scenarios.supervised import Supervised

__all__ = ["Inference", "Supervised"]
