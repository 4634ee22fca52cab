"""What an evaluation of DiffIR costs, in work and in memory, as far as it follows from the configuration."""

from __future__ import annotations

from dfrestore.methods.diffir.config import TAIL_SCALE, DiffIRConfig
from dfrestore.nn import LEVELS


def values_kept(config: DiffIRConfig) -> float:
    """At a position of level 1, at the peak: the last stages' features, and what their attention keeps of them."""
    return 4 * config.dim


def widest_map(config: DiffIRConfig) -> float:
    """Values at a position of level 1: of attention, of the feed-forward, or of the last doubling."""
    wide = 2 * config.dim
    tail = wide * TAIL_SCALE**2 if config.tail else 3 * (config.stem * config.scale) ** 2
    return max(wide * max(3.0, 2 * config.ffn_factor), tail)


def prior_share(config: DiffIRConfig) -> float:
    """The part of the multiplications of a restoration that CPEN takes."""
    prior, rest = prior_products(config), restoring_products(config)
    return prior / (prior + rest)


def prior_products(config: DiffIRConfig) -> float:
    """Multiplications for an input pixel in CPEN."""
    width = config.prior_features
    first = config.planes * config.prior_stem**2 * width
    return 9 * (first + (2 * config.prior_blocks + 2 + 4 + 8) * width**2) / config.prior_stem**2


def restoring_products(config: DiffIRConfig) -> float:
    """Multiplications for an input pixel in G."""
    dim, factor = config.dim, config.ffn_factor
    total = 9.0 * dim * config.planes * config.stem**2
    for name, level in LEVELS.items():
        last = name in ("decoder_level1", "refinement")
        width = 2 * dim if last else dim << (level - 1)
        count = config.refinement if name == "refinement" else config.blocks[level - 1]
        heads = config.heads[level - 1]
        block = width**2 * (4 + 2 / heads + 3 * factor) + 9 * width * (3 + 2 * factor)
        total += count * block / 4 ** (level - 1)
    total += dim**2 * (3 * (9 / 2 + 18) + 2 * 2)  # down and up, the same at each of three levels; two reductions
    wide = 2 * dim
    tail = 9 * (4 * wide**2 * (1 + 4) + 3 * 16 * wide) if config.tail else 27 * wide * (config.stem * config.scale) ** 2
    return (total + tail) / config.stem**2
