from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, Hub, served
from reference.random_diffir import tiny_diffir_s1
from reference.random_network import random_network

from dfrestore.cli import main
from dfrestore.weights import Base, Registry, load_registry, read_spec, save_checkpoint
from dfrestore.weights.fetch import fetch
from dfrestore.weights.hub import HubAddress

PARITY = Path(__file__).parents[1] / "data" / "parity"
DIFFIR = PARITY.parent / "parity_diffir"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """``dfrestore weights ...`` -> (exit code, stdout, stderr)."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["weights", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from served(Hub(), tmp_path / "cache", monkeypatch)


def test_convert_writes_the_file_and_registers_nothing(run: Run, tmp_path: Path, config: Path) -> None:
    out = tmp_path / "out.safetensors"
    code, printed, _ = run("convert", PARITY / "cfg_a.pth", "-o", out, "--task", "denoise", "--key", "params")
    assert (code, printed.strip()) == (0, str(out))
    assert read_spec(out).task == "denoise"
    assert "[params]" in read_spec(out).source
    assert not config.exists()


def test_convert_without_an_output_registers_the_model_by_its_method(run: Run) -> None:
    code, printed, said = run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    assert code == 0
    assert said == "registered as derain/c2f-dft\n"
    entry = load_registry().models["derain/c2f-dft"]
    assert str(entry.local_path) == printed.strip()
    for name in ("full", "derain/full", "c2f-dft"):
        assert run("path", name, "--task", "derain")[1] == printed
    assert run("verify", "derain/full")[:2] == (0, f"ok: derain/full ({printed.strip()})\n")


def test_a_model_registered_as_full_by_an_earlier_version_stays(run: Run, config: Path) -> None:
    run("convert", PARITY / "cfg_d.pth", "--task", "derain", "-o", config.parent / "m.safetensors")
    config.mkdir()
    old = (config.parent / "m.safetensors").rename(config / "derain-full.safetensors")
    (config / "weights.toml").write_text(
        f'[models."derain/full"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "{old.name}"\n'
    )
    code, printed, said = run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    assert code == 0
    assert "'--model full' still means derain/full, which was registered earlier" in said
    assert run("path", "derain/full")[1].strip() == str(old)
    assert run("path", "derain/c2f-dft")[1] == printed


def test_a_file_of_another_method_is_registered_by_that(run: Run) -> None:
    code, printed, said = run("convert", DIFFIR / "pth_deblur_S2.pth", "--task", "deblur")
    assert (code, said) == (0, "registered as deblur/diffir\n")
    assert load_registry().models["deblur/diffir"].method == "diffir"
    assert run("verify", "deblur/diffir")[:2] == (0, f"ok: deblur/diffir ({printed.strip()})\n")


def test_a_file_of_a_stage_that_makes_no_model_is_written_where_one_says_only(run: Run, tmp_path: Path) -> None:
    torch.save({"params": dict(tiny_diffir_s1().state_dict())}, tmp_path / "s1.pth")
    asked = "convert", tmp_path / "s1.pth", "--task", "deblur"
    code, printed, said = run(*asked)
    assert (code, printed) == (2, "")
    assert "the training stage 'S1', which makes no model to restore with; give -o FILE.safetensors" in said
    assert "deblur/diffir" not in load_registry().models
    assert run(*asked, "-o", tmp_path / "s1.safetensors")[0] == 0
    assert read_spec(tmp_path / "s1.safetensors").stage == "S1"


def test_convert_asks_before_it_replaces(run: Run) -> None:
    run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    code, _, said = run("convert", PARITY / "cfg_d.pth", "--task", "derain")
    assert code == 1
    assert "exists already; give --overwrite" in said
    assert run("convert", PARITY / "cfg_d.pth", "--task", "derain", "--overwrite")[0] == 0
    assert run("verify")[0] == 0


@pytest.mark.parametrize("name", ["truncated", "unsafe_print", "unsafe_getcwd_legacy"])
def test_a_refused_file_is_one_line_and_leaves_nothing(run: Run, name: str, config: Path) -> None:
    code, printed, said = run("convert", PARITY / f"{name}.pth", "--task", "derain")
    assert (code, printed) == (3, "")
    assert said.count("\n") == 1
    assert f"{name}.pth" in said
    assert not list(config.iterdir())


def test_a_broken_user_registry_stops_a_conversion_before_it_writes(run: Run, config: Path) -> None:
    config.mkdir()
    (config / "weights.toml").write_text("[models\n")
    code, _, said = run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    assert code == 3
    assert "weights.toml" in said
    assert [path.name for path in config.iterdir()] == ["weights.toml"]


def test_a_mistyped_task_gets_the_nearest(run: Run) -> None:
    code, _, said = run("convert", PARITY / "cfg_a.pth", "--task", "derian")
    assert code == 2
    assert "unknown task 'derian': did you mean 'derain'?" in said


def test_list_shows_models_with_their_licence(run: Run) -> None:
    run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    code, printed, _ = run("list")
    assert code == 0
    assert "derain/c2f-dft" in printed
    assert "unknown (the authors state none)" in printed
    assert "derain/c2f-dft" not in run("list", "--task", "deblur")[1]


def test_list_as_json_is_one_object_a_model(run: Run) -> None:
    run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    models = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    found = next(model for model in models if model["model"] == "derain/c2f-dft")
    assert found["task"] == "derain"
    assert found["default"] is False
    assert len(found["sha256"]) == 64


def test_verify_names_what_is_damaged_and_goes_on(run: Run, config: Path) -> None:
    run("convert", PARITY / "cfg_a.pth", "--task", "derain")
    run("convert", PARITY / "cfg_d.pth", "--task", "deblur")
    path = config / "derain-c2f-dft.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    code, printed, said = run("verify")
    assert code == 1
    assert "ok: deblur/c2f-dft" in printed
    assert f"failed: {path}: damaged" in said


def test_verify_says_when_there_is_nothing_to_verify(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfrestore.weights.load_registry", lambda: Registry({}, {}))
    assert run("verify") == (0, "", "no model is registered\n")


def test_verify_takes_files(run: Run, tmp_path: Path) -> None:
    run("convert", PARITY / "cfg_a.pth", "-o", tmp_path / "m.safetensors", "--task", "derain")
    assert run("verify", tmp_path / "m.safetensors")[0] == 0
    (tmp_path / "m.safetensors").write_bytes(b"")
    assert run("verify", tmp_path / "m.safetensors")[0] == 1


def test_verify_takes_the_file_that_a_model_builds_on(run: Run, tmp_path: Path) -> None:
    network, spec = random_network()
    tensors = network.state_dict()
    below = {name: tensors.pop(name) for name in list(tensors)[:3]}
    for folder in ("apart", "models"):
        (tmp_path / folder).mkdir()
    base = tmp_path / "apart" / "prior.safetensors"
    digest = save_checkpoint(base, below, spec)
    model = tmp_path / "models" / "small.safetensors"
    save_checkpoint(model, tensors, replace(spec, base=Base("texture/prior", digest)))
    code, printed, said = run("verify", model)
    assert (code, printed, said.count("\n")) == (1, "", 1)
    assert "builds on 'texture/prior'" in said
    assert run("verify", model, "--base", base)[:2] == (0, f"ok: {model} ({model})\n")
    assert run("verify", model, "--base", model)[0] == 1
    base.rename(model.with_name("prior.safetensors"))
    assert run("verify", model)[0] == 0


@pytest.fixture
def built(hub: Hub, config: Path, tmp_path: Path) -> tuple[bytes, bytes]:
    """A model and its base, both to be fetched: derain/small and texture/prior."""
    network, spec = random_network()
    tensors = network.state_dict()
    below = {name: tensors.pop(name) for name in list(tensors)[:3]}
    digest = save_checkpoint(tmp_path / "p.safetensors", below, replace(spec, task="texture"))
    small = replace(spec, task="derain", base=Base("texture/prior", digest))
    own = save_checkpoint(tmp_path / "s.safetensors", tensors, small)
    hub.files |= {name: (tmp_path / name).read_bytes() for name in ("p.safetensors", "s.safetensors")}
    config.mkdir()
    table = '[models."{}"]\ntask = "{}"\nmethod = "c2f-dft"\nsource = "hf://org/repo/{}@{}"\nsha256 = "{}"\n'
    text = table.format("texture/prior", "texture", "p.safetensors", COMMIT, digest)
    text += table.format("derain/small", "derain", "s.safetensors", COMMIT, own) + 'base = "texture/prior"\n'
    (config / "weights.toml").write_text(text)
    return hub.files["s.safetensors"], hub.files["p.safetensors"]


def test_what_a_model_builds_on_is_listed(run: Run, built: tuple[bytes, bytes]) -> None:
    assert "\n    builds on texture/prior\n" in run("list", "--task", "derain")[1]
    records = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    assert {record["model"]: record["base"] for record in records}["derain/small"] == "texture/prior"


def test_a_model_is_got_together_with_its_base(run: Run, built: tuple[bytes, bytes]) -> None:
    assert run("path", "derain/small")[0] == 3
    code, printed, said = run("get", "derain/small")
    base = Path(said.strip().removeprefix("it builds on texture/prior: "))
    assert (code, Path(printed.strip()).read_bytes(), base.read_bytes()) == (0, *built)
    assert run("path", "derain/small")[:2] == (0, printed)
    assert run("verify", "derain/small")[0] == 0


def test_without_its_base_a_model_counts_as_not_fetched(run: Run, hub: Hub, built: tuple[bytes, bytes]) -> None:
    small, _ = built
    fetch(HubAddress("org/repo", "s.safetensors", COMMIT))
    hub.requests.clear()
    assert "not fetched: derain/small\n" in run("verify")[1]
    code, printed, said = run("path", "derain/small")
    assert (code, Path(printed.strip()).read_bytes(), said) == (0, small, "")
    assert run("verify", "derain/small")[0] == 1
    assert hub.requests == []


def test_verify_finds_a_base_that_is_not_the_registry_s(run: Run, config: Path, built: tuple[bytes, bytes]) -> None:
    run("get", "derain/small")
    text = (config / "weights.toml").read_text()
    (config / "weights.toml").write_text(text.replace('base = "texture/prior"', 'base = "derain/compact"'))
    code, _, said = run("verify", "derain/small")
    assert code == 1
    assert "says that 'derain/small' builds on 'derain/compact', its file: 'texture/prior', sha256 " in said


def test_a_file_of_a_stage_that_makes_no_model_is_refused_for_restoring_only(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, spec = random_network()
    save_checkpoint(tmp_path / "s1.safetensors", network.state_dict(), replace(spec, stage="S1"))
    for command in ("verify", "path", "get", "card"):
        assert run(command, tmp_path / "s1.safetensors")[0] == 0
    (tmp_path / "a.png").touch()
    assert main(["derain", str(tmp_path / "a.png"), "--model", str(tmp_path / "s1.safetensors")]) == 2
    said = capsys.readouterr().err
    assert "made by the training stage 'S1'" in said
    assert "--init-from" in said


def test_get_fetches_once_and_path_and_verify_fetch_nothing(run: Run, tmp_path: Path, hub: Hub, config: Path) -> None:
    run("convert", PARITY / "cfg_a.pth", "-o", tmp_path / "m.safetensors", "--task", "derain")
    content = (tmp_path / "m.safetensors").read_bytes()
    hub.files["m.safetensors"] = content
    config.mkdir()
    (config / "weights.toml").write_text(
        f'[models."derain/far"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "hf://org/repo/m.safetensors@{COMMIT}"\n'
        f'size = {len(content)}\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    )
    assert "not fetched: derain/far" in run("verify")[1]
    assert run("path", "derain/far")[0] == 3
    assert hub.requests == []
    code, printed, _ = run("get", "derain/far")
    assert code == 0
    assert Path(printed.strip()).read_bytes() == content
    hub.requests.clear()
    assert run("get", "derain/far")[1] == run("path", "derain/far")[1] == printed
    assert "ok: derain/far" in run("verify")[1]
    assert hub.requests == []


def test_a_download_asks_the_hub_for_the_file_alone(run: Run, tmp_path: Path, hub: Hub) -> None:
    run("convert", PARITY / "cfg_a.pth", "-o", tmp_path / "m.safetensors", "--task", "derain")
    hub.files["m.safetensors"] = (tmp_path / "m.safetensors").read_bytes()
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    environment["HF_HOME"] = str(tmp_path / "home")  # a first use: nothing that the client looked up is cached
    address = f"hf://org/repo/m.safetensors@{COMMIT}"
    command = [sys.executable, "-m", "dfrestore", "weights", "get", address]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert {request.split()[1] for request in hub.requests} == {f"/org/repo/resolve/{COMMIT}/m.safetensors"}


def test_get_without_a_revision_warns_on_standard_error(run: Run, tmp_path: Path, hub: Hub) -> None:
    run("convert", PARITY / "cfg_a.pth", "-o", tmp_path / "m.safetensors", "--task", "derain")
    hub.files["m.safetensors"] = (tmp_path / "m.safetensors").read_bytes()
    code, printed, said = run("get", "hf://org/repo/m.safetensors")
    assert code == 0
    assert printed.count("\n") == 1
    assert f"pin it with @{COMMIT}" in said


def test_the_authors_model_is_explained(run: Run) -> None:
    code, _, said = run("path", "derain/full")
    assert code == 3
    assert "drive.google.com" in said
    assert "dfrestore weights convert" in said


def test_list_does_not_import_torch(config: Path) -> None:
    code = "import sys; from dfrestore.cli import main; main(['weights', 'list']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_example_of_the_help_is_a_command_that_parses(run: Run) -> None:
    examples = re.findall(r"^ +dfrestore weights (.+)$", run("--help")[1], re.MULTILINE)
    assert {shlex.split(line)[0] for line in examples} >= {"list", "card", "convert", "publish"}
    for line in examples:
        assert run(*shlex.split(line), "--help")[0] == 0, line
