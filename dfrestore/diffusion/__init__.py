"""Noise schedules, conversions between predictions, and samplers, as pure functions and generators.

Nothing here knows a network, a picture format or a device plan.
"""

from dfrestore.diffusion.ddim import State, ddim, ddim_step, initial_noise
from dfrestore.diffusion.schedule import Prediction, alpha_bars, linear_alpha_bars, timesteps, to_x0_eps

__all__ = [
    "Prediction",
    "State",
    "alpha_bars",
    "ddim",
    "ddim_step",
    "initial_noise",
    "linear_alpha_bars",
    "timesteps",
    "to_x0_eps",
]
