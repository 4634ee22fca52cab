"""Pictures that are no photos, drawn simply: text, flat shapes, smooth gradients, soft discs of light.

They have what is easily taken for damage: places without texture, hard edges, even noise-free slopes, round blurs.
"""

from __future__ import annotations

import string

import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

from dfrestore.degrade.dice import Dice, throw_dice
from dfrestore.degrade.fields import seeded

Colour = tuple[int, int, int]


def drawing(height: int, width: int, seed: int) -> Tensor:
    """(3, H, W) float32 in [0, 1], in whole levels of 255; the seed decides everything."""
    (dice,) = throw_dice(1, seeded(seed))
    picture = dice.pick(((0.4, _text), (0.35, _shapes), (0.25, _lights)))(height, width, dice)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(height, width, 3)
    return pixels.permute(2, 0, 1).float() / 255


def _text(height: int, width: int, dice: Dice) -> Image.Image:
    """A page: lines of letters, dark on light or light on dark."""
    paper = dice.whole(200, 255)
    ink = dice.whole(0, 90)
    if dice.chance(0.25):
        paper, ink = ink, paper
    page = Image.new("RGB", (width, height), _tinted(paper, dice))
    pen, size = ImageDraw.Draw(page), dice.whole(9, 26)
    font, letters = ImageFont.load_default(size), string.ascii_letters + string.digits + "     .,-"
    order = torch.randint(len(letters), (height // size + 1, 2 * width // size + 1), generator=seeded(dice.seed()))
    margin = dice.whole(2, 24)
    for row, line in enumerate(order.tolist()):
        text = "".join(letters[index] for index in line)
        pen.text((margin, margin + row * size * 1.3), text, fill=(ink, ink, ink), font=font)
    return page


def _shapes(height: int, width: int, dice: Dice) -> Image.Image:
    """Flat shapes on a flat ground, as in a drawing."""
    page = Image.new("RGB", (width, height), _any(dice))
    pen = ImageDraw.Draw(page)
    for _ in range(dice.whole(3, 8)):
        left, top = dice.whole(-20, width), dice.whole(-20, height)
        box = (left, top, left + dice.whole(8, width), top + dice.whole(8, height))
        shape, colour = dice.even(0, 1), _any(dice)
        if shape < 0.4:
            pen.rectangle(box, fill=colour)
        elif shape < 0.7:
            pen.ellipse(box, fill=colour)
        else:
            pen.line(box, fill=colour)
    return page


def _lights(height: int, width: int, dice: Dice) -> Image.Image:
    """A smooth gradient with soft discs before it, as lights behind what is in focus."""
    ramp = Image.linear_gradient("L").rotate(dice.even(0, 360)).crop((38, 38, 218, 218)).resize((width, height))
    page = Image.composite(Image.new("RGB", (width, height), _any(dice)), Image.new("RGB", ramp.size, _any(dice)), ramp)
    for _ in range(dice.whole(0, 5)):
        x, y, radius = dice.whole(0, width), dice.whole(0, height), dice.whole(4, 30)
        mask = Image.new("L", page.size, 0)
        ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=dice.whole(60, 220))
        page.paste(_any(dice), mask=mask.filter(ImageFilter.GaussianBlur(dice.even(0.5, 3.0))))
    return page


def _any(dice: Dice) -> Colour:
    return dice.whole(0, 255), dice.whole(0, 255), dice.whole(0, 255)


def _tinted(level: int, dice: Dice) -> Colour:
    red, green, blue = (max(0, level - dice.whole(0, 12)) for _ in range(3))
    return red, green, blue
