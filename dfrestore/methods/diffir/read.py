"""Reading the authors' DiffIR files: recognised from their tensors' names and shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import torch

from dfrestore.errors import WeightsError
from dfrestore.methods.differences import Shapes, compare_shapes, in_short
from dfrestore.methods.diffir.config import DiffIRConfig, IPRSampling
from dfrestore.methods.method import Recognised
from dfrestore.methods.shapes import count_of, factor_of

PROJECT = "https://github.com/Zj-BinXia/DiffIR"
STAGE_1 = "S1"
# Every network of this family has one of them, its own or inside the whole.
_LANDMARKS = ("attn.kernel.0.weight", "ffn.kernel.0.weight")
_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
_INPUTS = {planes * stem**2: (planes, stem) for planes in (3, 4) for stem in (1, 2, 4)}  # of the first convolution
# The diffusion holds the two other networks once more, and its schedule, which follows from T alone.
_TWICE = {"condition.": "diffusion.condition.", "denoise.": "diffusion.model."}
_SCHEDULE = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)


def read(shapes: Shapes, name: str) -> Recognised | None:
    """What the tensors of these shapes, in the file ``name``, are; None where they are not a DiffIR network's.

    Files of both stages are known; they need not hold the diffusion's copies and schedule. Raises
    :class:`WeightsError` for a network that is nearly one.
    """
    if any(key.startswith(f"encoder_level1.0.{end}") for key in shapes for end in _LANDMARKS):
        raise WeightsError(
            f"{name}: these are weights of DiffIR's G alone, without the network that makes its prior vector; "
            "convert the whole file"
        )
    if not any(key.startswith(f"G.encoder_level1.0.{end}") for key in shapes for end in _LANDMARKS):
        return None
    rename = dict(_renamed(shapes))
    found = {new: shapes[old] for old, new in rename.items()} | {
        key: shapes[key] for key in rename.values() if key in shapes
    }
    stage = STAGE_1 if any(key.startswith("E.") for key in found) else ""
    try:
        config, sampling = configuration_of(found, stage), _sampling(shapes)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        cause = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise WeightsError(f"{name}: not the weights of a DiffIR network ({cause})") from error
    copies = [
        f"'{old}' {list(shapes[old])} instead of {list(found[new])}"
        for old, new in rename.items()
        if shapes[old] != found[new]
    ]
    if differences := copies + compare_shapes(found, expected_shapes(config, stage)):
        raise WeightsError(
            f"{name}: not a DiffIR network; the nearest one ({_describe(config)}) differs in {in_short(differences)}"
        )
    return Recognised(
        network=config.to_mapping(),
        sampling=sampling.to_mapping(),
        default_steps=sampling.timesteps,
        rename=rename,
        project=PROJECT,
        stage=stage,
    )


def _renamed(shapes: Shapes) -> Iterator[tuple[str, str]]:
    """(name in the file, our name), without the schedule; the copies take the name of what they are copies of."""
    for key in shapes:
        if key.removeprefix("diffusion.") in _SCHEDULE:
            continue
        copied = next((own + key.removeprefix(copy) for own, copy in _TWICE.items() if key.startswith(copy)), key)
        yield key, copied


def expected_shapes(config: DiffIRConfig, stage: str = "") -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's parameters, without giving them memory."""
    from dfrestore.methods.diffir.network import DiffIR, DiffIRS1

    with torch.device("meta"):
        network = DiffIRS1(config) if stage else DiffIR(config)
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def configuration_of(shapes: Shapes, stage: str = "") -> DiffIRConfig:
    """The only configuration that these shapes, under our names, can have.

    Raises KeyError, ValueError, IndexError or ZeroDivisionError where none can.
    """
    dim, inputs = shapes["G.patch_embed.proj.weight"][:2]
    if inputs not in _INPUTS:
        raise ValueError(f"its first convolution takes {inputs} channels, not 3, 4, or 4 or 16 times so many")
    planes, stem = _INPUTS[inputs]
    tail = "G.tail.1.weight" in shapes
    scale = 4 // stem if tail else _root(shapes["G.output.weight"][0] / 3, "its last convolution") // stem
    prior = "E.E" if stage else "condition.E"
    features, seen = shapes[f"{prior}.0.weight"][:2]
    heads = [shapes[f"G.{level}.0.attn.temperature"][0] for level in _LEVELS]
    blocks = [count_of(shapes, f"G.{level}") for level in _LEVELS]
    hidden = [(dim << i, shapes[f"G.{level}.0.ffn.project_out.weight"][1]) for i, level in enumerate(_LEVELS)]
    return DiffIRConfig(
        dim=dim,
        blocks=(blocks[0], blocks[1], blocks[2], blocks[3]),
        refinement=count_of(shapes, "G.refinement"),
        heads=(heads[0], heads[1], heads[2], heads[3]),
        ffn_factor=factor_of(hidden),
        bias="G.encoder_level1.0.attn.qkv.bias" in shapes,
        norm="WithBias" if "G.encoder_level1.0.norm1.body.bias" in shapes else "BiasFree",
        mask=planes == 4,
        scale=scale,
        stem=stem,
        tail=tail,
        residual=planes == 3,  # the authors' networks for inpainting add nothing
        prior_stem=_root(seen / (planes + (3 * scale**2 if stage else 0)), "its CPEN"),
        prior_blocks=count_of(shapes, prior, "body."),
        prior_features=features,
        denoiser_layers=1 if stage else count_of(shapes, "denoise.resmlp", "resmlp."),
    )


def _root(square: float, what: str) -> int:
    root = isqrt(int(square))
    if root**2 != square or root < 1:
        raise ValueError(f"the channels of {what} belong to no pixel shuffle")
    return root


def _sampling(shapes: Shapes) -> IPRSampling:
    return IPRSampling(timesteps=shapes.get("diffusion.betas", (4,))[0])


def _describe(config: DiffIRConfig) -> str:
    kind = "inpainting" if config.mask else f"scale {config.scale}"
    return f"{kind}, dim {config.dim}, blocks {list(config.blocks)}, heads {list(config.heads)}, {config.norm}"
