"""The discriminators that DiffIR is trained against, on pictures (B, 3, H, W) in [0, 1]; tensor names are the authors'.

Both are initialised as PyTorch does by default, as the authors' are. What is optimised stands in :mod:`.adversarial`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

SLOPE = 0.2  # of every LeakyReLU here
WIDEST = 512  # channels of the patch discriminator


class UNetDiscriminator(nn.Module):
    """Whether each pixel looks real: pictures, H and W multiples of 8 -> logits (B, 1, H, W). (Real-ESRGAN; facts, 5.)

    Spectral norm on all but the first and the last convolution: in training mode every call refines its vectors by one
    step of power iteration, so they belong to the state of a run.
    """

    def __init__(self, features: int = 64) -> None:
        super().__init__()

        def normed(before: int, after: int, kernel: int, stride: int = 1) -> nn.Module:
            module: nn.Module = spectral_norm(nn.Conv2d(before, after, kernel, stride, padding=1, bias=False))
            return module

        self.conv0 = nn.Conv2d(3, features, 3, padding=1)
        self.conv1 = normed(features, 2 * features, 4, 2)
        self.conv2 = normed(2 * features, 4 * features, 4, 2)
        self.conv3 = normed(4 * features, 8 * features, 4, 2)
        self.conv4 = normed(8 * features, 4 * features, 3)
        self.conv5 = normed(4 * features, 2 * features, 3)
        self.conv6 = normed(2 * features, features, 3)
        self.conv7 = normed(features, features, 3)
        self.conv8 = normed(features, features, 3)
        self.conv9 = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Raises ValueError for sides that are no multiples of 8."""
        if any(side % 8 for side in pictures.shape[-2:]):
            raise ValueError(f"the U-Net discriminator needs sides that are multiples of 8, not {list(pictures.shape)}")
        level0 = _leaky(self.conv0(pictures))
        level1 = _leaky(self.conv1(level0))
        level2 = _leaky(self.conv2(level1))
        level3 = _leaky(self.conv3(level2))
        x = _leaky(self.conv4(_doubled(level3))) + level2
        x = _leaky(self.conv5(_doubled(x))) + level1
        x = _leaky(self.conv6(_doubled(x))) + level0
        logits: Tensor = self.conv9(_leaky(self.conv8(_leaky(self.conv7(x)))))
        return logits


class PatchDiscriminator(nn.Module):
    """Whether each patch looks real: pictures -> logits (B, 1, h, w), and the activations before them.

    4 x 4 convolutions, padding 2: ``layers`` of stride 2, two of stride 1; BatchNorm on all but the first and the last.
    (pix2pixHD, as LaMa has it; facts, section 5.) 256 x 256 pixels make 19 x 19 logits.
    """

    def __init__(self, features: int = 64, layers: int = 4) -> None:
        super().__init__()
        widths = [min(features << n, WIDEST) for n in range(layers + 1)]
        self.stages = [f"model{n}" for n in range(layers + 2)]
        self.add_module("model0", nn.Sequential(nn.Conv2d(3, features, 4, 2, padding=2), nn.LeakyReLU(SLOPE)))
        for n in range(1, layers + 1):
            conv = nn.Conv2d(widths[n - 1], widths[n], 4, 2 if n < layers else 1, padding=2)
            self.add_module(f"model{n}", nn.Sequential(conv, nn.BatchNorm2d(widths[n]), nn.LeakyReLU(SLOPE)))
        self.add_module(self.stages[-1], nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, padding=2)))

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        activations = [pictures]
        for name in self.stages:
            activations.append(self.get_submodule(name)(activations[-1]))
        return activations[-1], activations[1:-1]


@contextmanager
def frozen(critic: nn.Module) -> Iterator[None]:
    """Inside, what the critic computes has gradients for its input alone: for the generator's step.

    The gradients may be taken outside.
    """
    trained = [parameter for parameter in critic.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
