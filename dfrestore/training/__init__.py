"""Training: data, settings, schedules, optimisers, the trainer and its run folder.

Stages are the methods' and known only through :mod:`dfrestore.methods`; nothing here is needed to restore a photo.
"""

from dfrestore.training.check import load_data
from dfrestore.training.config import TrainConfig, spec_of
from dfrestore.training.settings import list_presets, load_preset
from dfrestore.training.toml import to_toml
from dfrestore.training.trainer import Trainer

__all__ = ["TrainConfig", "Trainer", "list_presets", "load_data", "load_preset", "spec_of", "to_toml"]
