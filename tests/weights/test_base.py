"""The file that a checkpoint builds on: found by its sha256, never by its name alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, Hub

from dfrestore.errors import UsageError, WeightsError
from dfrestore.weights import Base, ModelSpec, load_registry, save_checkpoint
from dfrestore.weights.base import check_entry, find_base, with_base
from dfrestore.weights.fetch import fetch
from dfrestore.weights.hub import HubAddress

PRIOR = {"prior.weight": torch.ones(3)}
OWN = {"own.weight": torch.zeros(2)}


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def prior_spec(spec: ModelSpec) -> ModelSpec:
    return replace(spec, task="texture")


@pytest.fixture
def prior(tmp_path: Path, prior_spec: ModelSpec, config: Path) -> Path:
    """A base, in a folder where it is not looked for."""
    (tmp_path / "elsewhere").mkdir()
    save_checkpoint(tmp_path / "elsewhere" / "prior.safetensors", PRIOR, prior_spec)
    return tmp_path / "elsewhere" / "prior.safetensors"


@pytest.fixture
def small_spec(spec: ModelSpec, prior: Path) -> ModelSpec:
    from dfrestore.weights.checkpoint import sha256_of

    return replace(spec, base=Base("texture/prior", sha256_of(prior)))


@pytest.fixture
def small(tmp_path: Path, small_spec: ModelSpec) -> Path:
    """A checkpoint that builds on ``prior``."""
    (tmp_path / "here").mkdir()
    save_checkpoint(tmp_path / "here" / "small.safetensors", OWN, small_spec)
    return tmp_path / "here" / "small.safetensors"


def registered(config: Path, source: str, sha256: str) -> None:
    (config / "weights.toml").write_text(
        f'[models."texture/prior"]\ntask = "texture"\nmethod = "c2f-dft"\nsource = "{source}"\nsha256 = "{sha256}"\n'
    )


def refusal(spec: ModelSpec, file: Path, **options: Path) -> str:
    with pytest.raises(WeightsError) as error:
        find_base(spec, file, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_base_in_the_same_folder_is_found_under_any_name(small: Path, small_spec: ModelSpec, prior: Path) -> None:
    beside = prior.rename(small.parent / "any name.safetensors")
    assert find_base(small_spec, small) == beside


def test_a_registered_base_is_found(small: Path, small_spec: ModelSpec, prior: Path, config: Path) -> None:
    assert small_spec.base is not None
    registered(config, str(prior), small_spec.base.sha256)
    assert find_base(small_spec, small) == prior


def test_a_given_base_is_taken(small: Path, small_spec: ModelSpec, prior: Path) -> None:
    assert find_base(small_spec, small, base_file=prior) == prior


def test_a_base_in_the_cache_is_found_without_a_request(
    small: Path, small_spec: ModelSpec, prior: Path, config: Path, hub: Hub
) -> None:
    hub.files["p.safetensors"] = prior.read_bytes()
    fetch(HubAddress("org/repo", "p.safetensors", "v1"))
    hub.requests.clear()
    assert find_base(small_spec, small).read_bytes() == prior.read_bytes()
    assert hub.requests == []


def test_a_registered_download_is_fetched_unless_offline(
    small: Path, small_spec: ModelSpec, prior: Path, config: Path, hub: Hub
) -> None:
    assert small_spec.base is not None
    hub.files["p.safetensors"] = prior.read_bytes()
    registered(config, f"hf://org/repo/p.safetensors@{COMMIT}", small_spec.base.sha256)
    with pytest.raises(WeightsError, match="offline"):
        find_base(small_spec, small, offline=True)
    assert hub.requests == []
    assert find_base(small_spec, small).read_bytes() == prior.read_bytes()


def test_a_missing_base_is_named_with_the_way_out(small: Path, small_spec: ModelSpec) -> None:
    message = refusal(small_spec, small)
    assert message.startswith(f"{small}: builds on 'texture/prior', sha256 ")
    assert message.endswith(f"is not on this machine; put that file into {small.parent} or give --base FILE")


def test_a_wrong_given_base_is_refused_though_the_right_one_is_there(
    small: Path, small_spec: ModelSpec, prior: Path
) -> None:
    prior.rename(small.parent / "prior.safetensors")
    message = refusal(small_spec, small, base_file=small)
    assert message.startswith(f"{small}: is not the base of {small} (its sha256 is ")
    assert "needed is 'texture/prior', sha256 " in message
    with pytest.raises(UsageError, match="no such file"):
        find_base(small_spec, small, base_file=prior)


def test_another_file_of_the_same_name_is_not_taken(small: Path, small_spec: ModelSpec, prior_spec: ModelSpec) -> None:
    other = small.parent / "texture-prior.safetensors"
    save_checkpoint(other, {"prior.weight": torch.zeros(3)}, prior_spec)
    assert f"({other} is another file, sha256 " in refusal(small_spec, small)


def test_a_registered_file_of_the_same_name_is_not_taken(
    small: Path, small_spec: ModelSpec, prior: Path, config: Path
) -> None:
    registered(config, str(prior), "0" * 64)
    message = refusal(small_spec, small)
    assert f"('texture/prior' of {config / 'weights.toml'} is another file, sha256 0000000000000000...)" in message


def test_a_damaged_registered_base_is_passed_over(
    small: Path, small_spec: ModelSpec, prior: Path, config: Path
) -> None:
    assert small_spec.base is not None
    registered(config, str(prior), small_spec.base.sha256)
    content = prior.read_bytes()
    beside = small.parent / "whole.safetensors"
    beside.write_bytes(content)
    prior.write_bytes(content[:-1] + b"\x01")
    assert find_base(small_spec, small) == beside


def test_the_tensors_of_both_files_come_together(small: Path, small_spec: ModelSpec, prior: Path) -> None:
    found = with_base(OWN, small_spec, small, base_file=prior)
    assert found.keys() == {"own.weight", "prior.weight"}


def test_of_a_tensor_that_both_hold_the_file_s_own_one_counts(small: Path, small_spec: ModelSpec, prior: Path) -> None:
    own = {**OWN, "prior.weight": torch.full((3,), 2.0)}  # no slip: the base's sha256 says which file was trained on
    found = with_base(own, small_spec, small, base_file=prior)
    assert torch.equal(found["prior.weight"], own["prior.weight"])
    assert found.keys() == {"own.weight", "prior.weight"}


def test_a_base_of_another_method_is_refused(small: Path, small_spec: ModelSpec, prior: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a c2f-dft file, but .*, which builds on it, is another"):
        with_base(OWN, replace(small_spec, method="another"), small, base_file=prior)


def test_a_registry_that_names_another_base_than_the_header_is_refused(
    small_spec: ModelSpec, prior_spec: ModelSpec, prior: Path, config: Path
) -> None:
    assert small_spec.base is not None
    registered(config, str(prior), small_spec.base.sha256)
    entry = '[models."derain/small"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "s.safetensors"\n'
    text = (config / "weights.toml").read_text() + entry + 'base = "texture/prior"\n'
    (config / "weights.toml").write_text(text)
    registry = load_registry()
    check_entry(registry.models["derain/small"], small_spec, registry)
    for spec in (prior_spec, replace(small_spec, base=Base("texture/prior", "1" * 64))):
        with pytest.raises(WeightsError, match=r"says that 'derain/small' builds on 'texture/prior', its file: "):
            check_entry(registry.models["derain/small"], spec, registry)


def test_without_a_cache_of_its_own_the_client_s_is_looked_into(
    small: Path, small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME", raising=False)
    assert "is not on this machine" in refusal(small_spec, small)
