"""Training: data, coarse and fine stages, losses, schedules, the trainer and its run folder.

Networks and samplers are used as they are in restoration; nothing here is needed to restore a photo.
"""

from dfrestore.training.check import load_data
from dfrestore.training.config import TrainConfig, list_presets, load_preset, to_toml
from dfrestore.training.trainer import Trainer, spec_of

__all__ = ["TrainConfig", "Trainer", "list_presets", "load_data", "load_preset", "spec_of", "to_toml"]
