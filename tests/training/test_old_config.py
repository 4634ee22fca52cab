"""Settings of earlier versions: runs, scripts and options that name the stages as tables still mean the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tiny_runs import smooth_pairs, tiny

from dfrestore.cli import main
from dfrestore.cli.training_options import parse_shares
from dfrestore.errors import UsageError
from dfrestore.methods.c2f_dft.stages import Fine
from dfrestore.training.budget import all_shares
from dfrestore.training.checkpoints import load_state, save_state
from dfrestore.training.run import read_run
from dfrestore.training.settings import configure, load_preset
from dfrestore.training.trainer import Trainer

# As written by the version before stages had tables of their own (the preset smoke; what follows from it left out).
OLD = """
task = "derain"
seed = 100

[model]
method = "c2f-dft"
prediction = "sample"
default_steps = 1
window = "global"

[model.network]
dim = 8
blocks = [1, 1, 1, 1]
heads = [1, 2, 4, 8]
stem = 2

[coarse]
iterations = 2
lr = 0.001
periods = [0.5, 0.5]
minima = [0.001, 0.0003]
patches = [32]
batches = [4]
steps = [1]
unroll = "all"
loss = "l1"
ssim_weight = 0.84
psnr_level = 30.0

[fine]
iterations = 3
lr = 0.001
periods = [0.5, 0.5]
minima = [0.001, 1e-05]
patches = [32]
batches = [4]
steps = [1, 2]
unroll = "one"
loss = "psnr"
ssim_weight = 0.84
psnr_level = 36.0

[optim]
precision = "fp32"
"""


def test_an_older_run_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(OLD)
    config = read_run(tmp_path)
    assert config.model.sampling == {"prediction": "sample"}
    assert (config.stages["coarse"].iterations, config.stages["fine"].iterations) == (2, 3)
    assert config.stages["fine"].own == Fine(steps=(1, 2), unroll="one", loss="psnr", psnr_level=36.0)


def test_an_older_run_stands_on_the_defaults_of_its_time(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[fine]\niterations = 3\n")
    config = read_run(tmp_path)
    assert config.model.sampling == {"prediction": "sample"}
    assert config.stages["coarse"].iterations == 1000
    assert config.stages["fine"].own == Fine(steps=(1,))


def test_an_older_run_takes_overrides_under_both_names(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(OLD)
    assert read_run(tmp_path, {"fine": {"lr": 2.0}}).stages["fine"].lr == 2.0
    assert read_run(tmp_path, {"stages": {"fine": {"lr": 2.0}}}).stages["fine"].lr == 2.0
    assert read_run(tmp_path, {"stages": {"last": {"lr": 2.0}}}).stages["fine"].lr == 2.0


def test_an_older_checkpoint_with_averages_of_everything_is_loaded(tmp_path: Path) -> None:
    trainer = Trainer(tiny(2, 2), smooth_pairs(), None)
    list(trainer.run())
    state = trainer.state_dict()
    del state["optimizer_stage"]
    state["ema"] = {name: tensor + 1 for name, tensor in trainer.network.state_dict().items()}
    again = Trainer(tiny(2, 2), smooth_pairs(), None)
    again.load_state_dict(state)
    assert all((again.ema.state_dict()[name] == tensor).all() for name, tensor in state["ema"].items())
    save_state(again, tmp_path)
    assert load_state(Trainer(tiny(2, 2), smooth_pairs(), None), tmp_path) == []


@pytest.mark.parametrize(
    ("older", "today"),
    [
        ({"coarse": {"lr": 2.0}}, {"stages": {"coarse": {"lr": 2.0}}}),
        ({"fine": {"lr": 2.0, "steps": [4]}}, {"stages": {"fine": {"lr": 2.0, "steps": [4]}}}),
        ({"coarse": {"steps": [4], "loss": "ssim"}}, {}),
        ({"model": {"prediction": "epsilon"}}, {"model": {"sampling": {"prediction": "epsilon"}}}),
    ],
)
def test_older_names_mean_what_todays_do(older: dict[str, object], today: dict[str, object]) -> None:
    assert load_preset("smoke", None, older) == load_preset("smoke", None, today)


def test_where_both_names_are_given_todays_stand() -> None:
    both = {"fine": {"lr": 1.0, "warmup": 3}, "stages": {"fine": {"lr": 2.0}}}
    stage = configure("settings", both).stages["fine"]
    assert (stage.lr, stage.warmup) == (2.0, 3)


@pytest.mark.parametrize(
    ("older", "said"),
    [
        ({"fine": 3}, "stages.fine is a table, not 3"),
        ({"fine": {"lrr": 3}}, "did you mean 'lr'"),
        ({"model": {"prediction": "noise"}}, "'noise' is not one of epsilon, sample"),
    ],
)
def test_mistakes_under_older_names_are_told(older: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        configure("settings", older)


def test_set_takes_the_older_names(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "fine.lr=0.5", "--set", "coarse.iterations=7", "--set", "model.prediction=epsilon"]
    assert main(["train", "--preset", "smoke", *settings, "--print-config"]) == 0
    config = tomllib.loads(capsys.readouterr().out)
    assert config["stages"]["fine"]["lr"] == 0.5
    assert config["stages"]["coarse"]["iterations"] == 7
    assert config["model"]["sampling"]["prediction"] == "epsilon"


def test_the_coarse_share_is_a_share_of_a_stage() -> None:
    older, today = parse_shares([], 0.2, 1.0), parse_shares(["coarse=0.2"], None, 1.0)
    config = load_preset("compact")
    assert all_shares(config, older) == all_shares(config, today) == pytest.approx({"coarse": 0.2, "fine": 0.8})
