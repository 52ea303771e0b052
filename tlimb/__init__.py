"""TLIMB: transfer learning for brain images, from one line of recipe to a ranked result."""

__version__ = "0.1.0"
