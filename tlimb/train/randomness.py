"""Every random number of a stage derives from its seed and what it is for, so no generator's state needs saving."""

import hashlib
import random

import numpy as np
import torch


def reseed(seed: int, *purpose: str | int) -> None:
    """Set all global generators to a state that depends on seed and purpose only."""
    text = ":".join(map(str, (seed, *purpose)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)
