"""Noise schedules, conversions between predictions, and samplers, as pure functions and generators.

Nothing here knows a network, a picture format or a device plan.
"""

from dfrestore.diffusion.samplers import SAMPLERS, State, advance_, ddim_step, initial_noise, sample, steps_of
from dfrestore.diffusion.schedule import Prediction, linear_alpha_bars, timesteps, to_x0_eps

__all__ = [
    "SAMPLERS",
    "Prediction",
    "State",
    "advance_",
    "ddim_step",
    "initial_noise",
    "linear_alpha_bars",
    "sample",
    "steps_of",
    "timesteps",
    "to_x0_eps",
]
