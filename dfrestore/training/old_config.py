"""Settings under their earlier names, which older runs and scripts hold: the tables ``[coarse]`` and ``[fine]``,
``model.prediction``, and the option ``--coarse-share``. The only file of training that names stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfrestore.training.toml import merge

METHOD = "c2f-dft"  # the only one that there was
STAGES = ("coarse", "fine")
# Written for both stages, though only the fine one ever read them.
_OF_FINE = ("steps", "unroll", "loss", "ssim_weight", "psnr_level")


def modern(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings under today's names; where both are given, today's stand."""
    out = dict(values)
    older = {name: out.pop(name) for name in STAGES if name in out}
    coarse = older.get("coarse")
    if isinstance(coarse, Mapping):
        older["coarse"] = {key: value for key, value in coarse.items() if key not in _OF_FINE}
    stages = out.get("stages", {})
    if older and isinstance(stages, Mapping):
        out["stages"] = merge(older, stages)
    model = out.get("model")
    if isinstance(model, Mapping) and "prediction" in model:
        model = dict(model)
        prediction = {"prediction": model.pop("prediction")}
        sampling = model.get("sampling", {})
        out["model"] = {**model, "sampling": merge(prediction, sampling) if isinstance(sampling, Mapping) else sampling}
    return out


def modern_run(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run's ``config.toml``; an older file stood on the defaults of its time."""
    if "stages" in values or not any(name in values for name in STAGES):
        return modern(values)
    defaults = {"model": {"method": METHOD, "prediction": "sample"}, "coarse": {}, "fine": {"steps": [1]}}
    return modern(merge(defaults, values))


def shares_of(coarse_share: float) -> dict[str, float]:
    """``--coarse-share 0.2`` as the parts of ``--share coarse=0.2``."""
    return {"coarse": coarse_share}
