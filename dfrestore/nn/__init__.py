"""Blocks that the methods share: norms, transposed attention, feed-forwards, time embedding, resampling.

No whole network, no sampling and no image handling live here; the modules' ``forward`` is the papers' arithmetic
on (B, C, H, W), and :mod:`dfrestore.nn.channels_last` does the same arithmetic faster on (B, H, W, C).
"""

from dfrestore.nn.blocks import FeedForward, LayerNorm2d, TransformerBlock, TransposedAttention
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.time_embedding import time_embedding

__all__ = [
    "Downsample",
    "FeedForward",
    "LayerNorm2d",
    "TransformerBlock",
    "TransposedAttention",
    "Upsample",
    "time_embedding",
]
