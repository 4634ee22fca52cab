"""``--base`` of the commands that run a model: restoring, evaluate, and the Restorer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Answer, pixels, tiny_spec

from dfrestore.errors import UsageError
from dfrestore.restore import Restorer
from dfrestore.weights import Base, load_checkpoint, save_checkpoint

Run = Callable[..., Answer]
OWN = "output.weight"
PLAIN = ("--precision", "fp32")


@pytest.fixture(autouse=True)
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    for folder in ("apart", "models"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)


def split(whole: Path, base: Path, small: Path, brighter: float = 0) -> Path:
    """``whole`` as a base and a small model on it; returns the small one. brighter: added to the base's tensors."""
    tensors = load_checkpoint(whole)[0]
    below = {name: tensor + brighter for name, tensor in tensors.items() if name != OWN}
    digest = save_checkpoint(base, below, tiny_spec(task="texture"))
    save_checkpoint(small, {OWN: tensors[OWN]}, replace(tiny_spec(), base=Base("texture/prior", digest)))
    return small


@pytest.fixture
def prior(tmp_path: Path) -> Path:
    return tmp_path / "apart" / "prior.safetensors"


@pytest.fixture
def small(random_model: Path, prior: Path, tmp_path: Path) -> Path:
    return split(random_model, prior, tmp_path / "models" / "small.safetensors")


@pytest.fixture
def photo(make_photo: Callable[..., Path], tmp_path: Path) -> Path:
    return make_photo(tmp_path / "photo.png")


def refused(answer: Answer, code: int, said: str) -> None:
    assert answer.code == code
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not Path("out.png").exists()


def test_a_model_on_its_base_restores_like_the_whole_one(
    dfrestore: Run, photo: Path, small: Path, prior: Path, random_model: Path
) -> None:
    assert dfrestore("derain", photo, "-o", "whole.png", "--model", random_model, *PLAIN).code == 0
    assert dfrestore("derain", photo, "-o", "given.png", "--model", small, "--base", prior, *PLAIN).code == 0
    prior.rename(small.with_name("any name.safetensors"))
    assert dfrestore("derain", photo, "-o", "found.png", "--model", small, *PLAIN).code == 0
    assert Path("given.png").read_bytes() == Path("found.png").read_bytes() == Path("whole.png").read_bytes()


def test_a_base_that_is_missing_wrong_or_not_needed_is_refused_in_one_line(
    dfrestore: Run, photo: Path, small: Path, prior: Path, random_model: Path
) -> None:
    given = ("derain", photo, "-o", "out.png", "--model")
    refused(dfrestore(*given, small), 3, "builds on 'texture/prior', sha256 ")
    refused(dfrestore(*given, small, "--base", "nosuch.safetensors"), 2, "nosuch.safetensors: no such file")
    refused(dfrestore(*given, small, "--base", random_model), 3, "random.safetensors: is not the base of ")
    refused(dfrestore(*given, random_model, "--base", prior), 2, "builds on no other file; leave out --base")


def test_a_base_alone_restores_nothing(dfrestore: Run, photo: Path, small: Path, prior: Path) -> None:
    answer = dfrestore("derain", photo, "-o", "out.png", "--model", prior)
    refused(answer, 2, "prior.safetensors is a model for texture, not for derain: no command restores pictures with it")


def test_photos_of_a_folder_that_were_made_on_another_base_are_told_apart(
    dfrestore: Run, photo_folder: Path, small: Path, prior: Path, random_model: Path
) -> None:
    given = ("derain", photo_folder, "-o", "out", *PLAIN, "--steps", "1", "--model")
    assert dfrestore(*given, small, "--base", prior).code == 0
    again = dfrestore(*given, small, "--base", prior)
    assert "made with other settings" not in again.err
    other = split(random_model, Path("other.safetensors"), Path("on-other.safetensors"), brighter=0.5)
    assert "4 outputs left as found (made with other settings)" in dfrestore(*given, other).err


def test_evaluate_takes_a_base(
    dfrestore: Run, make_photo: Callable[..., Path], small: Path, prior: Path, tmp_path: Path
) -> None:
    for folder in ("input", "target"):
        make_photo(tmp_path / "pairs" / folder / "a.png")
    given = ("evaluate", "derain", "--data", "pairs", "--model", small, *PLAIN, "--quiet")
    assert dfrestore(*given).code == 3
    assert dfrestore(*given, "--base", prior).code == 0
    refused(
        dfrestore("evaluate", "pairs/input", "pairs/target", "--base", prior), 2, "leave out --data, --model, --base"
    )


def test_the_restorer_takes_a_base(small: Path, prior: Path, random_model: Path) -> None:
    picture = pixels()
    on_base = Restorer.from_pretrained("derain", small, base=prior, precision="fp32")
    whole = Restorer.from_pretrained("derain", random_model, precision="fp32")
    assert np.array_equal(on_base(picture), whole(picture))
    assert torch.equal(on_base.network.output.weight, whole.network.output.weight)  # type: ignore[arg-type, union-attr]
    with pytest.raises(UsageError, match="builds on no other file"):
        Restorer.from_pretrained("derain", random_model, base=prior)
