"""What the methods' networks are made of: norms, transposed attention, branches, resampling, two ways to walk.

No whole network, no sampling and no image handling live here. The modules' ``forward`` is the papers' arithmetic on
(B, C, H, W); :mod:`.whole` and :mod:`.strips` walk the same parameters faster on (B, H, W, C).
"""

from dfrestore.nn.adapter import Adapter
from dfrestore.nn.attention import AttentionBranch, TransposedAttention
from dfrestore.nn.branches import Branch, Mixing, Pointwise, Spatial
from dfrestore.nn.chains import ResidualConvs
from dfrestore.nn.how import How, Literal
from dfrestore.nn.levels import LEVELS, PatchEmbed, walk_levels
from dfrestore.nn.naf import NAFBlock
from dfrestore.nn.norm import LayerNorm2d, Norm, Normed, modulated, shifted
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.strips import Strips
from dfrestore.nn.whole import Whole

__all__ = [
    "LEVELS",
    "Adapter",
    "AttentionBranch",
    "Branch",
    "Downsample",
    "How",
    "LayerNorm2d",
    "Literal",
    "Mixing",
    "NAFBlock",
    "Norm",
    "Normed",
    "PatchEmbed",
    "Pointwise",
    "ResidualConvs",
    "Spatial",
    "Strips",
    "TransposedAttention",
    "Upsample",
    "Whole",
    "modulated",
    "shifted",
    "walk_levels",
]
