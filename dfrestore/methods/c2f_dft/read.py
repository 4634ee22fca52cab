"""Reading the authors' C2F-DFT files: recognised from their tensors' names and shapes alone."""

from __future__ import annotations

import torch

from dfrestore.errors import WeightsError
from dfrestore.methods.c2f_dft.config import C2FDFTConfig, Sampling
from dfrestore.methods.c2f_dft.network import C2FDFT
from dfrestore.methods.differences import Shapes, compare_shapes, in_short
from dfrestore.methods.method import Recognised
from dfrestore.methods.shapes import count_of, factor_of
from dfrestore.nn.norm import Norm

PROJECT = "https://github.com/wlydlut/C2F-DFT"
DEFAULT_STEPS = 4
# Every network of this family has them; the other tensors tell which one it is.
_LANDMARKS = ("patch_embed.proj.weight", "encoder_level1.0.attn.temperature", "encoder_level1.0.ffn.project_in.weight")
_FOREIGN = ".attn.kernel."  # DiffIR's modulation, which none of them has
_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
_STEMS = {6 * stem**2: stem for stem in (1, 2, 4)}  # channels of both pictures -> stem


def read(shapes: Shapes, name: str) -> Recognised | None:
    """The network that the tensors of the file ``name`` belong to; None where that is no C2F-DFT network.

    Its tensor names are the authors'. Raises :class:`WeightsError` for a network that is nearly one: it names what is
    missing, or the nearest configuration and the tensors that differ from it.
    """
    if not any(landmark in shapes for landmark in _LANDMARKS) or any(_FOREIGN in key for key in shapes):
        return None
    try:
        config = configuration_of(shapes)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        cause = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise WeightsError(f"{name}: not the weights of a C2F-DFT network ({cause})") from error
    if differences := compare_shapes(shapes, expected_shapes(config)):
        raise WeightsError(
            f"{name}: not a C2F-DFT network; the nearest one ({_describe(config)}) differs in {in_short(differences)}"
        )
    return Recognised(
        network=config.to_mapping(),
        sampling=Sampling(prediction="epsilon").to_mapping(),
        default_steps=DEFAULT_STEPS,
        rename={key: key for key in shapes},
        project=PROJECT,
    )


def expected_shapes(config: C2FDFTConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's parameters, without giving them memory."""
    with torch.device("meta"):
        network = C2FDFT(config)
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def configuration_of(shapes: Shapes) -> C2FDFTConfig:
    """The only configuration that these shapes can have. Raises KeyError, ValueError or IndexError where none can."""
    dim, channels = shapes["patch_embed.proj.weight"][:2]
    if channels not in _STEMS:
        raise ValueError(f"its first convolution takes {channels} channels, not 6")
    norm: Norm = "WithBias" if "encoder_level1.0.norm1.body.bias" in shapes else "BiasFree"
    heads = [shapes[f"{level}.0.attn.temperature"][0] for level in _LEVELS]
    blocks = [count_of(shapes, level) for level in _LEVELS]
    hidden = [(dim << i, shapes[f"{level}.0.ffn.project_in.weight"][0]) for i, level in enumerate(_LEVELS)]
    return C2FDFTConfig(
        dim=dim,
        blocks=(blocks[0], blocks[1], blocks[2], blocks[3]),
        heads=(heads[0], heads[1], heads[2], heads[3]),
        ffn_factor=factor_of(hidden),
        bias="encoder_level1.0.attn.qkv.bias" in shapes,
        norm=norm,
        dual_pixel="skip_conv.weight" in shapes,
        stem=_STEMS[channels],
    )


def _describe(config: C2FDFTConfig) -> str:
    return f"dim {config.dim}, blocks {list(config.blocks)}, heads {list(config.heads)}, {config.norm}"
