"""``dfrestore train`` and ``finetune`` on a base: ``--base``, what the run remembers, and mistakes."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import partly
import pytest
import torch
from conftest import Answer, tiny_spec
from partly import ANEW, OWN, save_prior, save_small

from dfrestore.methods import METHODS
from dfrestore.weights import Base, load_checkpoint, read_spec, save_checkpoint
from dfrestore.weights.checkpoint import sha256_of

Run = Callable[..., Answer]
PLAIN = tiny_spec(network={**partly.NETWORK, "stem": 2}, default_steps=1)  # of a method that trains all of it
QUICK = [
    *("--set", "data.validation_size=32", "--set", "data.validation=1", "--set", "optim.precision=fp32", "--quiet"),
    *("--set", "stages.last.iterations=2", "--set", "stages.last.patches=[32]", "--set", "stages.last.batches=[2]"),
]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder, empty; the folder of the test is the current one."""
    monkeypatch.setitem(METHODS, "partly", partly.METHOD)
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


@pytest.fixture
def pairs(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    for i in range(3):
        make_photo(tmp_path / "pairs" / "target" / f"{i}.png", i, (64, 64))
        make_photo(tmp_path / "pairs" / "input" / f"{i}.png", 3 + i, (64, 64))
    return tmp_path / "pairs"


@pytest.fixture
def prior(tmp_path: Path) -> Path:
    save_prior(tmp_path / "apart" / "prior.safetensors")
    return tmp_path / "apart" / "prior.safetensors"


@pytest.fixture
def plain_prior(tmp_path: Path) -> Path:
    save_prior(tmp_path / "apart" / "plain.safetensors", PLAIN)
    return tmp_path / "apart" / "plain.safetensors"


def model_table(run: Path) -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((run / "config.toml").read_text())["model"]
    return table


def test_a_run_on_a_base_remembers_it_and_its_model_names_it(
    dfrestore: Run, pairs: Path, plain_prior: Path, tmp_path: Path
) -> None:
    digest = sha256_of(plain_prior)
    given = ["--data", pairs, "--base", "apart/plain.safetensors", "--run", "run", *QUICK]
    answer = dfrestore("train", "derain", "--preset", "smoke", "--set", "stages.coarse.iterations=1", *given)
    assert (answer.code, answer.err) == (0, "")
    table = model_table(tmp_path / "run")
    assert (table["base"], table["base_sha256"], table["base_file"]) == ("plain", digest, str(plain_prior))
    assert table["network"]["dim"] == 8  # type: ignore[index]
    assert read_spec(tmp_path / "run" / "model.safetensors").base == Base("plain", digest)

    longer = ["--set", "stages.fine.iterations=3"]
    plain_prior.rename("moved.safetensors")
    missing = dfrestore("train", "--resume", "run", *longer)
    assert missing.code == 3
    assert "run/config.toml: builds on 'plain', sha256 " in missing.err
    assert len(missing.err.splitlines()) == 1
    resumed = dfrestore("train", "--resume", "run", "--base", "moved.safetensors", *longer)
    assert (resumed.code, resumed.paths) == (0, ["run/model.safetensors"])
    assert f"it needs its base: --base {tmp_path / 'moved.safetensors'}, or that file beside it\n" in resumed.err


def test_a_registered_base_is_called_by_its_name(dfrestore: Run, pairs: Path, plain_prior: Path, config: Path) -> None:
    (config / "weights.toml").write_text(
        f'[models."texture/prior"]\ntask = "texture"\nmethod = "c2f-dft"\nsource = "{plain_prior}"\n'
        f'sha256 = "{sha256_of(plain_prior)}"\n'
    )
    for base in ("texture/prior", plain_prior):
        answer = dfrestore("train", "--preset", "smoke", "--data", pairs, "--base", base, "--print-config")
        assert tomllib.loads(answer.out)["model"]["base"] == "texture/prior"


def test_a_run_from_a_model_with_a_base_builds_on_that_base(
    dfrestore: Run, pairs: Path, prior: Path, tmp_path: Path
) -> None:
    save_small(tmp_path / "apart" / "small.safetensors", sha256_of(prior))
    given = ["--init-from", "apart/small.safetensors", "--data", pairs, "--run", "run", *QUICK]
    assert dfrestore("train", "derain", "--preset", "finetune", *given).code == 0
    tensors, spec = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert tensors.keys() == {OWN, ANEW}
    assert spec.base == Base("texture/prior", sha256_of(prior))
    first = torch.load(tmp_path / "run" / "checkpoints" / "00000000.pt", weights_only=True)["network"]
    assert torch.equal(first[ANEW], load_checkpoint(prior)[0][ANEW].float())


def test_a_run_without_a_base_may_start_from_a_model_with_one(
    dfrestore: Run, pairs: Path, prior: Path, tmp_path: Path
) -> None:
    save_small(tmp_path / "apart" / "small.safetensors", sha256_of(prior))
    given = ["--init-from", "apart/small.safetensors", "--data", pairs, "--run", "run", *QUICK]
    assert dfrestore("train", "derain", "--preset", "finetune", *given, "--set", 'model.base=""').code == 0
    tensors, spec = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert spec.base is None
    assert tensors.keys() == partly.tensors_of().keys()


def test_a_model_with_a_base_is_finetuned_on_it(dfrestore: Run, pairs: Path, prior: Path, tmp_path: Path) -> None:
    save_small(tmp_path / "small.safetensors", sha256_of(prior))
    given = ["--model", "small.safetensors", "--data", pairs, "--run", "run", *QUICK]
    missing = dfrestore("finetune", "derain", *given)
    assert (missing.code, missing.err.count("\n")) == (3, 1)
    assert "small.safetensors: builds on 'texture/prior', sha256 " in missing.err
    assert dfrestore("finetune", "derain", *given, "--base", prior).code == 0
    tensors, spec = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert tensors.keys() in ({OWN, ANEW}, {OWN})  # a better model, or the one that it started from
    assert spec.base == Base("texture/prior", sha256_of(prior))


def refused(answer: Answer, code: int, said: str) -> None:
    assert answer.code == code
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1


def test_mistakes_are_one_line(dfrestore: Run, pairs: Path, prior: Path, tmp_path: Path) -> None:
    new = ["train", "derain", "--preset", "smoke", "--data", pairs, "--run", "run"]
    refused(dfrestore(*new, "--base", "nosuch.safetensors"), 2, "nosuch.safetensors: no such file")
    refused(dfrestore(*new, "--base", "texture/nosuch"), 2, "unknown model 'texture/nosuch'")
    refused(dfrestore(*new, "--base", prior), 2, "is a partly file, so it is no base for c2f-dft")
    refused(dfrestore(*new, "--init-from", prior), 2, "is a base for other models; name it with --base")
    other = replace(PLAIN, task="texture", network={**partly.NETWORK, "dim": 16})
    save_checkpoint(tmp_path / "wide.safetensors", {"a": torch.ones(1)}, other)
    dim = ["--set", "model.network.dim=8"]
    refused(dfrestore(*new, "--base", "wide.safetensors", *dim), 2, "model.network.dim is 8, but 16 in the base")
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_the_base_that_it_was_begun_on(dfrestore: Run, prior: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text('task = "derain"\n')
    refused(dfrestore("train", "--resume", "run", "--set", "model.base=x"), 2, "a run keeps the base")
    refused(dfrestore("train", "--resume", "run", "--base", prior), 2, "this run builds on no other file")


def test_finetuning_takes_no_base_that_its_model_does_not_name(
    dfrestore: Run, pairs: Path, prior: Path, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "whole.safetensors", partly.tensors_of(), partly.SPEC)
    given = ["finetune", "--model", "whole.safetensors", "--data", pairs, "--run", "run"]
    refused(dfrestore(*given, "--base", prior), 2, "whole.safetensors builds on no other file; leave out --base")
    refused(dfrestore(*given, "--set", f"model.base={prior}"), 2, "finetune builds on what its model builds on")
