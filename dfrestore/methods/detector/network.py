"""The network: one trunk of plain convolutions over crops and view, what it finds pooled, and a small head.

There is no norm in it, for a norm takes away how strong something is, and that is the question. Each part is pooled
twice: by its mean, for what lies over all of a photo, and by the mean of a high power, which is near the largest value,
for what lies here and there, as drops do. A true maximum would grow with the number of places, and photos have more of
them than the crops of training. Beside what is found stands what can be measured (:mod:`.measures`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dfrestore.methods.detector.config import DetectorConfig
from dfrestore.methods.detector.looks import look
from dfrestore.methods.detector.measures import COUNT, measures
from dfrestore.methods.method import Network
from dfrestore.nn import How, Whole
from dfrestore.nn.whole import cast

POWER = 6.0
SOFT = 2 / 255  # differences that are much larger count alike, so that small ones beside them are seen
FINE = 8.0  # of what differs from the mean of its neighbours, which is small in photos and all that tells of noise


class Block(nn.Module):
    """x + two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(_convolved(x, self.first))
        return functional.relu(x + _convolved(inner, self.second))


class Detector(Network):
    """Severities from looks: ``network(crops, views)`` takes crops (B, n, 3, c, c') and views (B, 3, v, v') in [0, 1],
    as :meth:`look` cuts them from pictures, and returns (B, kinds) from 0 to 1, in the order of
    ``network.config.kinds``.
    """

    multiple = 1
    steps: Sequence[int] = (1,)
    default_steps = 1
    levels: Sequence[int] = ()

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        first = config.widths[0]
        # crops and view differ in all that is fine, so each has its own first layer
        self.of_crops, self.of_view = (nn.Conv2d(9, first, 5, stride=2, padding=2) for _ in range(2))
        layers: list[nn.Module] = []
        for index, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            if index:
                layers.append(nn.Conv2d(config.widths[index - 1], width, 3, stride=2, padding=1))
            layers += [Block(width) for _ in range(count)]
        self.trunk = nn.ModuleList(layers)
        self.hidden = nn.Linear(4 * config.widths[-1] + COUNT, config.hidden)
        self.severities = nn.Linear(config.hidden, len(config.kinds))
        self._begin()

    def _begin(self) -> None:
        """Without a norm the features must begin as strong as they are to stay, by layer (He et al., ICCV 2015)."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        with torch.no_grad():
            for block in self.trunk:
                if isinstance(block, Block):
                    block.second.weight.mul_(0.1)
            self.severities.weight.mul_(0.1)
            self.severities.bias.fill_(-2.0)  # most photos lack most kinds

    def look(self, pictures: Tensor, view: int | None = None) -> tuple[Tensor, Tensor]:
        """(crops, views) of pictures (B, 3, H, W) in [0, 1]; see :func:`.looks.look`. view: in place of the usual."""
        config = self.config
        return look(pictures, crop=config.crop, crops=config.crops, view=view or config.view)

    def forward(self, crops: Tensor, views: Tensor) -> Tensor:
        return self.walk(Whole(torch.float32), crops, views).sigmoid()

    def walk(self, how: How, crops: Tensor, views: Tensor) -> Tensor:
        """Before the sigmoid: (B, kinds) float32."""
        batch = len(crops)
        found = self._features(crops.flatten(0, 1), self.of_crops, how.dtype)
        together = found.view(batch, -1, *found.shape[1:]).transpose(1, 2)  # places of all crops of a picture
        pooled = [*_pooled(together)]
        pooled += _pooled(self._features(views, self.of_view, how.dtype))
        pooled.append(measures(crops, views))
        logits: Tensor = self.severities(functional.relu(self.hidden(torch.cat(pooled, dim=1))))
        return logits

    def _features(self, pictures: Tensor, stem: nn.Conv2d, dtype: torch.dtype) -> Tensor:
        fine = pictures - functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
        seen = torch.cat([pictures * 2 - 1, fine * FINE, fine / (fine.abs() + SOFT)], dim=1)
        x = functional.relu(_convolved(seen.to(dtype, memory_format=torch.channels_last), stem))
        for layer in self.trunk:
            x = layer(x) if isinstance(layer, Block) else functional.relu(_convolved(x, layer))
        return x.float()

    def ends(self) -> tuple[nn.Module, ...]:
        return self.of_crops, self.of_view, self.severities


def _convolved(x: Tensor, conv: nn.Module) -> Tensor:
    """In the type of x."""
    assert isinstance(conv, nn.Conv2d)
    weight, bias = cast(conv, x.dtype)
    return functional.conv2d(x, weight, bias, conv.stride, conv.padding)


def _pooled(x: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, near the largest), each (B, C), of what is not negative, (B, C, ...)."""
    flat = x.flatten(2)
    return flat.mean(2), flat.clamp(min=1e-3).pow(POWER).mean(2).pow(1 / POWER)
