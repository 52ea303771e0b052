"""Objectives: what training makes small."""

from tlimb.components.objectives.supervised import ClassificationObjective, MultitaskObjective, RegressionObjective

__all__ = ["ClassificationObjective", "MultitaskObjective", "RegressionObjective"]
