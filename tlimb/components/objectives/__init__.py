"""Objectives: what training makes small, and the auxiliary terms that can be added."""

from tlimb.components.objectives.consistency import Consistency, PseudoLabels
from tlimb.components.objectives.contrastive import Contrastive
from tlimb.components.objectives.domain import Coral, DomainAdversarial, Mmd
from tlimb.components.objectives.elastic import ElasticPenalty
from tlimb.components.objectives.masked import MaskedAutoencoder, MaskedImageModelling
from tlimb.components.objectives.supervised import ClassificationObjective, MultitaskObjective, RegressionObjective
from tlimb.components.objectives.terms import AuxiliaryTerm
from tlimb.components.objectives.uncertainty import UncertaintyObjective

__all__ = [
    "AuxiliaryTerm",
    "ClassificationObjective",
    "Consistency",
    "Contrastive",
    "Coral",
    "DomainAdversarial",
    "ElasticPenalty",
    "MaskedAutoencoder",
    "MaskedImageModelling",
    "Mmd",
    "MultitaskObjective",
    "PseudoLabels",
    "RegressionObjective",
    "UncertaintyObjective",
]
