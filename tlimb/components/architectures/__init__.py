"""Architectures: encoders, and the heads that stand on them."""

from tlimb.components.architectures.heads import CategoryHead, NumberHead, SoftLabels, SoftNumberHead
from tlimb.components.architectures.resnet import ResNet
from tlimb.components.architectures.sfcn import SFCN
from tlimb.components.architectures.swin import Swin
from tlimb.components.architectures.vit import ViT

__all__ = ["SFCN", "CategoryHead", "NumberHead", "ResNet", "SoftLabels", "SoftNumberHead", "Swin", "ViT"]
