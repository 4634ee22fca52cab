"""Small models for chains."""

from __future__ import annotations

from pathlib import Path

from conftest import save_model, tiny_spec
from diffir_models import save_enlarging, save_filling


def save_one_of_each(folder: Path) -> dict[str, Path]:
    """By task; the first two have random weights."""
    return {
        "derain": save_model(folder / "derain.safetensors", tiny_spec(), 1.0),
        "denoise": save_model(folder / "denoise.safetensors", tiny_spec(task="denoise"), 0.5),
        "upscale": save_enlarging(folder / "upscale.safetensors", 2),
        "inpaint": save_filling(folder / "inpaint.safetensors"),
    }
