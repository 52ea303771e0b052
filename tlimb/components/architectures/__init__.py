"""Architectures: encoders, and the heads that stand on them."""

from tlimb.components.architectures.heads import CategoryHead, NumberHead
from tlimb.components.architectures.resnet import ResNet

__all__ = ["CategoryHead", "NumberHead", "ResNet"]
