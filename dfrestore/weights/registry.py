"""The registry of names: ``weights.toml`` of the package, with the user's merged over it.

Both are checked in the same way (see :mod:`.registry_file`).
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from dfrestore.errors import WeightsError, did_you_mean
from dfrestore.weights.entries import ModelEntry, Registry
from dfrestore.weights.registry_file import parse_registry

FILE_NAME = "weights.toml"
_PACKAGE = Path(__file__).resolve().parents[1]


def config_folder() -> Path:
    """The user's configuration folder: ``DFRESTORE_CONFIG_DIR``, else the platform's."""
    override = os.environ.get("DFRESTORE_CONFIG_DIR")
    return Path(override).expanduser() if override else platformdirs.user_config_path("dfrestore")


def user_file() -> Path:
    """The user's own registry, which need not be there."""
    return config_folder() / FILE_NAME


def data_folder() -> Path:
    """Where converted models are kept: beside the user's registry if ``DFRESTORE_CONFIG_DIR`` is set, else the
    platform's data folder (configuration folders are often synchronised or backed up; models are large).
    """
    override = os.environ.get("DFRESTORE_CONFIG_DIR")
    return Path(override).expanduser() if override else platformdirs.user_data_path("dfrestore")


def packaged_registry() -> Path:
    """The registry inside the installed package, or at the top of a source checkout."""
    for path in (_PACKAGE / FILE_NAME, _PACKAGE.parent / FILE_NAME):
        if path.is_file():
            return path
    raise WeightsError(f"{_PACKAGE / FILE_NAME}: missing; reinstall dfrestore")


def load_registry(user: bool = True) -> Registry:
    """The packaged registry, with the user's ``weights.toml`` (if there is one) merged over it.

    Raises :class:`WeightsError` for what is wrong in them, also for a model whose base neither of them names.
    """
    found = parse_registry(packaged_registry(), packaged=True, folder=_PACKAGE / "bundled")
    path = user_file()
    if user and path.is_file():
        found = merge(found, parse_registry(path))
    for entry in found.models.values():
        if entry.base and entry.base not in found.models:
            near = did_you_mean(entry.base, found.models) or "; add its table"
            raise WeightsError(f"{entry.registry}: '{entry.name}' builds on '{entry.base}', which has no table{near}")
    return found


def registered(sha256: str) -> ModelEntry | None:
    """The registered model whose file has this digest."""
    return next(iter(load_registry().of_content(sha256)), None)


def merge(below: Registry, above: Registry) -> Registry:
    """What ``above`` has replaces what has the same name in ``below``."""
    return Registry(
        {**below.models, **above.models},
        {**below.defaults, **above.defaults},
        {**below.originals, **above.originals},
        {**below.aliases, **above.aliases},
    )
