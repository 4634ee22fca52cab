"""``dfrestore evaluate`` as a user meets it: folders of real files in, tables and JSON out."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from dfrestore.cli import main
from dfrestore.cli.evaluate import evaluate
from dfrestore.errors import StartError, UsageError
from dfrestore.methods import build_network
from dfrestore.metrics import gmsd, psnr_rgb, psnr_y
from dfrestore.metrics.perceptual import ALEX, VGG
from dfrestore.weights import ModelSpec, save_checkpoint

APP = typer.Typer()
APP.command()(evaluate)


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return result


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two pairs of 48 x 32 pixels."""
    rng = np.random.default_rng(5)
    for folder in ("input", "target"):
        (tmp_path / folder).mkdir()
    for name in ("one", "two"):
        clean = rng.integers(60, 190, (32, 48, 3)).astype(np.uint8)
        Image.fromarray(clean).save(tmp_path / "target" / f"{name}.png")
        Image.fromarray(clean + rng.integers(0, 40, clean.shape).astype(np.uint8)).save(
            tmp_path / "input" / f"{name}.png"
        )
    return tmp_path


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A checkpoint of an untrained network."""
    shape = {"dim": 8, "blocks": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "ffn_factor": 1.0}
    spec = ModelSpec(task="derain", method="c2f-dft", network=shape, sampling={"prediction": "sample"}, patch=64)
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, build_network(spec).state_dict(), spec)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def means(data: Path, metric) -> float:
    return float(
        np.mean([metric(*(pixels(data / side / f"{n}.png") for side in ("input", "target"))) for n in ("one", "two")])
    )


def test_two_folders_give_a_table_with_a_mean_and_the_convention(data: Path) -> None:
    lines = run(data / "input", data / "target").stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["picture", "one", "two", "mean"]
    assert f"{means(data, psnr_y):.2f}" in lines[3]
    assert lines[4].startswith("PSNR and SSIM on Y")


def test_json_is_one_object_a_picture_and_one_of_totals(data: Path) -> None:
    records = [json.loads(line) for line in run(data / "input", data / "target", "--json").stdout.splitlines()]
    assert [record["name"] for record in records] == ["one", "two", "mean"]
    assert records[-1]["psnr"] == pytest.approx(means(data, psnr_y))
    assert records[-1]["pictures"] == 2


def test_channel_rgb_measures_all_channels_and_says_so(data: Path) -> None:
    record = json.loads(run(data / "input", data / "target", "--json", "--channel", "rgb").stdout.splitlines()[-1])
    assert record["psnr"] == pytest.approx(means(data, psnr_rgb))
    assert record["convention"].startswith("PSNR and SSIM on RGB")


def test_csv_reads_back(data: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(data / "input", data / "target", "--csv").stdout)))
    assert float(rows[-1]["psnr"]) == pytest.approx(means(data, psnr_y))


def test_limit_measures_the_first_pairs_only(data: Path) -> None:
    records = run(data / "input", data / "target", "--json", "--limit", 1).stdout.splitlines()
    assert json.loads(records[-1])["pictures"] == 1


def test_pictures_without_partner_are_told_on_stderr(data: Path) -> None:
    (data / "input" / "two.png").unlink()
    result = run(data / "input", data / "target")
    assert "no restored or degraded picture for" in result.stderr
    assert "two.png" in result.stderr
    assert "two" not in result.stdout


def test_a_pair_that_cannot_be_measured_ends_in_exit_code_1_with_the_rest_done(data: Path) -> None:
    Image.new("RGB", (20, 20)).save(data / "input" / "one.png")
    result = run(data / "input", data / "target", code=1)
    assert "one: 20x20 pixels against 48x32" in result.stderr
    assert "mean of 1, 1 failed" in result.stdout


def test_folders_with_nothing_in_common_cannot_start(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartError, match="nothing to measure"):
        run(data / "input", tmp_path / "empty")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RESTORED and TARGET"),
        (["input"], "two folders"),
        (["--task", "derain"], "--task with --data"),
        (["input", "target", "--steps", "4"], "leave out"),
        (["input", "target", "--json", "--csv"], "exclude each other"),
        (["input", "target", "--y-rounded", "--channel", "rgb"], "luma"),
        (["input", "target", "--lpips-net", "vgg"], "--lpips"),
        (["input", "nowhere"], "no such folder"),
        (["--task", "derain", "--data", ".", "--window", "wide"], "--window"),
        (["--task", "derian", "--data", "."], "did you mean 'derain'"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(data)
    with pytest.raises(UsageError, match=message):
        run(*arguments)


def test_a_model_is_run_and_its_gain_stands_beside_the_inputs_score(data: Path, tiny_model: Path) -> None:
    lines = run("--task", "derain", "--data", data, "--model", tiny_model, "--steps", 1, "--json").stdout.splitlines()
    one, _, total = (json.loads(line) for line in lines)
    assert total["input_psnr"] == pytest.approx(means(data, psnr_y))
    assert one["gain"] == pytest.approx(one["psnr"] - one["input_psnr"])
    assert total["gain"] == pytest.approx(total["psnr"] - total["input_psnr"])
    assert (total["task"], total["steps"], total["seed"]) == ("derain", 1, 0)
    assert one["seconds"] > 0


def test_tiles_and_windows_can_be_measured(data: Path, tiny_model: Path) -> None:
    arguments = ("--task", "derain", "--data", data, "--model", tiny_model, "--steps", 1, "--json")
    *_, total = run(*arguments, "--tile", 32, "--window", 64).stdout.splitlines()
    assert (json.loads(total)["tile"], json.loads(total)["window"]) == (32, 64)


def test_ensembles_and_kept_colours_can_be_measured(data: Path, tiny_model: Path) -> None:
    arguments = ("--task", "derain", "--data", data, "--model", tiny_model, "--steps", 1, "--json")
    single, ensemble = (
        json.loads(run(*arguments, *more).stdout.splitlines()[-1]) for more in ([], ["--ensemble", 3, "--keep-color"])
    )
    assert (ensemble["ensemble"], ensemble["keep_color"]) == (3, True)
    assert ensemble["psnr"] != single["psnr"]
    assert not {"ensemble", "keep_color"} & single.keys()


def test_the_same_seed_gives_the_same_scores(data: Path, tiny_model: Path) -> None:
    arguments = ("--task", "derain", "--data", data, "--model", tiny_model, "--steps", 2, "--json", "--limit", 1)
    first, second = (json.loads(run(*arguments).stdout.splitlines()[0]) for _ in range(2))
    assert first["psnr"] == second["psnr"]


def test_impossible_steps_are_told_before_the_table_begins(
    data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--task", "derain", "--data", str(data), "--model", str(tiny_model), "--steps", "5000"]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_a_terminal_shows_a_failure_once(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "input" / "one.png").write_bytes(b"broken")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["evaluate", str(data / "input"), str(data / "target")]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    assert "one" in said.out
    assert "failed: " in said.out


@pytest.mark.parametrize("option", ["--lpips", "--dists"])
def test_distances_without_their_extra_end_in_one_line_that_names_it(
    data: Path, option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    assert main(["evaluate", str(data / "input"), str(data / "target"), option]) == 3
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert "pip install torchmetrics" in said.err


def test_lpips_and_dists_stand_in_table_json_csv_and_page(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchmetrics", reason="needs pip install torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(data / "torch"))
    folder = data / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    # random weights: the numbers mean nothing, the way through the command is the same
    for file, shapes in (
        (ALEX.file, {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}),
        (VGG.file, dict(zip((index for stage in VGG.stages for index in stage), vgg_shapes(), strict=True))),
    ):
        weights = {f"features.{i}.weight": torch.randn(o, c, k, k) / 50 for i, (o, c, k) in shapes.items()}
        torch.save(
            weights | {f"features.{i}.bias": torch.zeros(shape[0]) for i, shape in shapes.items()}, folder / file
        )
    asked = (data / "input", data / "target", "--lpips", "--dists")
    table = run(*asked, "--report", data / "page.html").stdout.splitlines()
    assert table[0].split() == ["picture", "PSNR", "SSIM", "LPIPS", "alex", "DISTS"]
    assert "LPIPS alex: version 0.1, AlexNet" in table[-1]
    assert "Mean LPIPS alex" in (data / "page.html").read_text(encoding="utf-8")
    total = json.loads(run(*asked, "--json").stdout.splitlines()[-1])
    assert total["lpips_alex"] > 0
    assert total["dists"] > 0
    *_, mean = csv.DictReader(io.StringIO(run(*asked, "--csv").stdout))
    assert float(mean["lpips_alex"]) == pytest.approx(total["lpips_alex"])
    record = json.loads(run(*asked[:3], "--lpips-net", "vgg", "--json").stdout.splitlines()[-1])
    assert record["lpips_vgg"] > 0


def test_gmsd_stands_in_table_json_csv_and_page_without_any_extra(data: Path) -> None:
    asked = (data / "input", data / "target", "--gmsd")
    table = run(*asked, "--report", data / "page.html").stdout.splitlines()
    assert table[0].split() == ["picture", "PSNR", "SSIM", "GMSD"]
    assert "GMSD: luma of 0 to 255" in table[-1]
    assert "Mean GMSD" in (data / "page.html").read_text(encoding="utf-8")
    one, _, total = (json.loads(line) for line in run(*asked, "--json").stdout.splitlines())
    assert one["gmsd"] == gmsd(pixels(data / "input" / "one.png"), pixels(data / "target" / "one.png"))
    assert total["gmsd"] == pytest.approx(means(data, gmsd))
    *_, mean = csv.DictReader(io.StringIO(run(*asked, "--csv").stdout))
    assert float(mean["gmsd"]) == pytest.approx(total["gmsd"])


def vgg_shapes() -> list[tuple[int, int, int]]:
    sides = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    return [(wide, narrow, 3) for narrow, wide in itertools.pairwise(sides)]
