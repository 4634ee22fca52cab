"""``dfrestore auto``: what it says, what it writes, and that a photo which needs nothing stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chain_models import save_one_of_each
from conftest import Answer
from larger_and_filled import array_of, changed, names, objects, size_of
from told_damage import RAIN_FALLS, Script, Told, save_detector

from dfrestore import Auto, Restorer
from dfrestore.restore import Detection

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]
Tells = Callable[..., Script]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_one_of_each(tmp_path_factory.mktemp("models"))


@pytest.fixture
def tells(monkeypatch: pytest.MonkeyPatch) -> Tells:
    """tells({"rain": 0.8}, {}) is what detectors tell of the pictures that they are shown from now on, in turn."""

    def tell(*told: Told) -> Script:
        script = Script(told)
        monkeypatch.setattr(Detection, "severities", lambda self, rgb: script.severities(rgb))
        monkeypatch.setattr(Auto, "look", lambda self, rgb: self.detection.severities(rgb))  # no second opinion
        return script

    return tell


@pytest.fixture
def auto(dfrestore: Run, models: dict[str, Path], tmp_path: Path) -> Run:
    """auto(path, ...) chooses from derain and denoise, with small models."""
    detector = save_detector(tmp_path / "detector.safetensors")

    def run(*arguments: object) -> Answer:
        tasks = [] if "--only" in arguments else ["--only", "derain,denoise"]
        own = [f"{task}.model={models[task]}" for task in ("derain", "denoise")]
        return dfrestore("auto", "--detector", detector, "--precision", "fp32", *arguments, *tasks, *own)

    return run


@pytest.fixture
def source(tmp_path: Path, make_photo: MakePhoto) -> Path:
    return make_photo(tmp_path / "a.png")


def derained(models: dict[str, Path], source: Path) -> np.ndarray:
    restorer = Restorer.from_pretrained("derain", models["derain"], device="cpu", precision="fp32")
    return np.asarray(restorer(source))


# -- a photo with damage


def test_it_says_what_it_finds_and_does_that(
    auto: Run, tells: Tells, models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    tells(*RAIN_FALLS)
    answer = auto(source)
    assert (answer.code, answer.paths) == (0, [str(tmp_path / "a_auto.png")])
    assert f"{source}: found: rain 0.80 -> derain; whole image" in answer.err
    assert np.array_equal(array_of(tmp_path / "a_auto.png"), derained(models, source))


def test_a_step_that_does_not_help_is_taken_back_and_said(
    auto: Run, tells: Tells, source: Path, tmp_path: Path
) -> None:
    tells({"rain": 0.8, "noise": 0.7}, {"rain": 0.1, "noise": 0.7}, {"rain": 0.5, "noise": 0.1})
    answer = auto(source, "--json")
    assert answer.code == 0
    item = objects(answer)[0]
    assert [(one["task"], one["result"]) for one in item["tried"]] == [("derain", "kept"), ("denoise", "taken back")]
    assert item["warnings"] == ["denoise was taken back: rain rose (0.10 -> 0.50)"]
    assert f"dfrestore: {source}: denoise was taken back: rain rose (0.10 -> 0.50)" in answer.err
    assert (item["severities"]["rain"], item["severities_after"]["rain"]) == (0.8, 0.1)
    assert item["model"].endswith("derain.safetensors")
    assert [step["task"] for step in item["chain"]] == ["derain", "denoise"]


def test_what_is_only_seen_after_a_step_is_treated_next_and_said(
    auto: Run, tells: Tells, models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    tells({"noise": 0.7}, {"noise": 0.1, "rain": 0.8}, {"noise": 0.1, "rain": 0.1})
    answer = auto(source, "--json")
    assert answer.code == 0
    assert f"{source}: found: noise 0.70 -> denoise; whole image" in answer.err
    item = objects(answer)[0]
    assert [(one["task"], one["result"]) for one in item["tried"]] == [("denoise", "kept"), ("derain", "kept")]
    assert item["warnings"] == ["rain 0.80 was seen only then: derain"]
    assert [one["task"] for one in item["planned"]] == ["denoise", "derain"]
    assert [step["task"] for step in item["chain"]] == ["denoise", "derain"]
    restored = array_of(source)
    for task in ("denoise", "derain"):
        restored = Restorer.from_pretrained(task, models[task], device="cpu", precision="fp32")(restored)
    assert np.abs(array_of(tmp_path / "a_auto.png").astype(int) - restored).max() <= 1  # which is rounded in between


def test_where_all_is_taken_back_the_file_stays_as_it_is(auto: Run, tells: Tells, source: Path, tmp_path: Path) -> None:
    tells({"rain": 0.8})
    answer = auto(source, "--json")
    assert answer.code == 0
    assert (tmp_path / "a_auto.png").read_bytes() == source.read_bytes()
    item = objects(answer)[0]
    assert item["plan"] == "nothing to repair: all was taken back"
    assert item["change"]["mean"] == 0


def test_options_of_a_task_hold_and_its_strength_is_multiplied(
    auto: Run, tells: Tells, models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    tells(*RAIN_FALLS)
    assert auto(source, "derain.strength=0.5", "derain.seed=4").code == 0
    restorer = Restorer.from_pretrained("derain", models["derain"], device="cpu", precision="fp32")
    assert np.array_equal(array_of(tmp_path / "a_auto.png"), np.asarray(restorer(source, strength=0.5, seed=4)))


def test_only_upscale_that_is_named_makes_a_photo_larger(
    dfrestore: Run, tells: Tells, models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    tells({"lowres": 0.8}, {"lowres": 0.1})
    detector = save_detector(tmp_path / "detector.safetensors")
    named = ("--only", "upscale", f"upscale.model={models['upscale']}")
    assert dfrestore("auto", source, *named, "--detector", detector, "-o", tmp_path / "b.png").code == 0
    assert size_of(tmp_path / "b.png") == (48, 32)


def test_a_photo_that_is_large_enough_gets_the_other_tasks(
    dfrestore: Run, tells: Tells, models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    tells({"lowres": 0.8, "noise": 0.8}, {"lowres": 0.8, "noise": 0.1})
    detector = save_detector(tmp_path / "detector.safetensors")
    own = [f"{task}.model={models[task]}" for task in ("denoise", "upscale")]
    named = ("--only", "upscale,denoise", *own, "upscale.min-size=8x8", "--detector", detector)
    answer = dfrestore("auto", source, *named, "-o", tmp_path / "b.png", "--json")
    assert answer.code == 0
    assert size_of(tmp_path / "b.png") == (24, 16)
    assert [(one["task"], one["result"]) for one in objects(answer)[0]["tried"]] == [("denoise", "kept")]


def test_damage_that_no_task_of_the_run_takes_away_is_said(
    auto: Run, tells: Tells, source: Path, tmp_path: Path
) -> None:
    tells({"lowres": 0.8})
    answer = auto(source)
    assert "found: low resolution 0.80 -> nothing that is allowed here helps" in answer.err
    assert (tmp_path / "a_auto.png").read_bytes() == source.read_bytes()


def test_only_the_region_changes(auto: Run, tells: Tells, make_photo: MakePhoto, tmp_path: Path) -> None:
    tells(*RAIN_FALLS)
    photo = make_photo(tmp_path / "b.png", 0, (64, 48))
    assert auto(photo, "--region", "10,8,32,24").code == 0
    there = changed(photo, tmp_path / "b_auto.png")
    region = np.zeros((48, 64), bool)
    region[8:32, 10:42] = True
    assert not there[~region].any()
    assert there[region].mean() > 0.9


# -- a photo without damage


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_photo_that_needs_nothing_is_copied_byte_for_byte(
    auto: Run, tells: Tells, make_photo: MakePhoto, tmp_path: Path, name: str
) -> None:
    tells({})
    photo = make_photo(tmp_path / "in" / name)
    answer = auto(photo, "-o", tmp_path / "out/")
    assert answer.code == 0
    assert (tmp_path / "out" / name).read_bytes() == photo.read_bytes()
    assert answer.err.splitlines()[-1].startswith("1 done (1 of them as they were: nothing to repair) in ")


def test_with_another_format_it_is_written_anew(auto: Run, tells: Tells, source: Path, tmp_path: Path) -> None:
    tells({})
    assert auto(source, "--format", "tiff").code == 0
    assert np.array_equal(array_of(tmp_path / "a_auto.tif"), array_of(source))


def test_with_skip_clean_it_has_no_result(auto: Run, tells: Tells, source: Path, tmp_path: Path) -> None:
    tells({})
    before = names(tmp_path)
    answer = auto(source, "--skip-clean", "--json")
    assert answer.code == 0
    assert names(tmp_path) == before
    item, totals = objects(answer)
    assert (item["status"], item["output"]) == ("clean", None)
    assert (totals["totals"]["clean"], totals["totals"]["done"]) == (1, 0)
    assert answer.err.splitlines()[-1].startswith("1 not written (nothing to repair) in ")


def test_a_preview_is_the_part_even_where_nothing_is_done(
    auto: Run, tells: Tells, source: Path, tmp_path: Path
) -> None:
    tells({})
    assert auto(source, "--preview", "4,2,12,8").code == 0
    assert np.array_equal(array_of(tmp_path / "a_auto_preview.png"), array_of(source)[2:10, 4:16])


# -- folders


def test_each_photo_of_a_folder_has_a_plan_of_its_own(
    auto: Run, tells: Tells, photo_folder: Path, tmp_path: Path
) -> None:
    tells({}, *RAIN_FALLS, {})
    answer = auto(photo_folder, "-o", tmp_path / "out", "--json")
    assert answer.code == 0
    *done, _ = objects(answer)
    assert [bool(item["tried"]) for item in done] == [False, True, *[False] * (len(done) - 2)]
    for item in done:
        same = Path(item["output"]).read_bytes() == Path(item["input"]).read_bytes()
        assert same == (not item["tried"])


def test_what_is_done_is_skipped_until_the_detector_is_another_one(
    auto: Run, tells: Tells, photo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = tells({})
    assert auto(photo_folder, "-o", out).code == 0
    looks = len(script.pictures)
    again = auto(photo_folder, "-o", out)
    assert (len(script.pictures), " skipped (done before) in " in again.err) == (looks, True)
    other = save_detector(tmp_path / "other.safetensors", rain=3.0)
    answer = auto(photo_folder, "-o", out, "--detector", other)
    assert "left as found (made with other settings)" in answer.err


def test_results_are_not_taken_again(auto: Run, tells: Tells, photo_folder: Path) -> None:
    tells({})
    first = auto(photo_folder)
    second = auto(photo_folder)
    assert (first.code, second.code) == (0, 0)
    assert second.paths == []
    assert not list(photo_folder.rglob("*_auto_auto*"))


def test_a_dry_run_looks_and_writes_nothing(auto: Run, tells: Tells, source: Path, tmp_path: Path) -> None:
    tells({"rain": 0.8})
    before = names(tmp_path)
    answer = auto(source, "--dry-run", "--json")
    assert names(tmp_path) == before
    item = objects(answer)[0]
    assert (item["status"], item["planned"][0]["task"]) == ("planned", "derain")
    assert "; found: rain 0.80 -> derain" in answer.err
    tells({})
    assert (
        f"would copy {source} (24x16) to {tmp_path / 'a_auto.png'}; found: nothing to repair"
        in auto(source, "--dry-run").err
    )


def test_a_file_that_is_no_picture_fails_alone(auto: Run, tells: Tells, source: Path, tmp_path: Path) -> None:
    tells({})
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    answer = auto(source, tmp_path / "broken.png", "-o", tmp_path / "out")
    assert answer.code == 1
    assert (tmp_path / "out" / "a.png").is_file()
    assert "broken.png: " in answer.err


def test_the_report_shows_what_was_found_and_what_is_left(
    auto: Run, tells: Tells, source: Path, tmp_path: Path
) -> None:
    tells({"rain": 0.8}, {"rain": 0.2})
    assert auto(source, "--report", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "found: rain 0.80 -&gt; derain" in page
    assert "afterwards: rain 0.20" in page


# -- wrong usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "derian"], "--only derian: 'derian' is no task to choose from: did you mean 'derain'?"),
        (["--only", "inpaint"], "'inpaint' is no task to choose from (known: derain, desnow, "),
        (["--never", "rain"], "--never rain: 'rain' is no task"),
        (["--only", "derain", "--never", "derain"], "--only and --never both name derain"),
        (["--only", "derain", "denoise.steps=2"], "denoise.steps=...: denoise is not among the tasks of this run"),
        (["--only", "derain", "derain.stpes=2"], "derain has no option 'stpes'"),
        (["--only", "derain", "derain.steps=0"], "derain.steps=0: "),
        (["--only", "derain", "--steps", "2"], "--steps is of one task: write TASK.steps=VALUE"),
        (["--only", "derain", "--detector", "derain/compact"], "derain/compact is a model for derain, not for detect"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(
    dfrestore: Run, source: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    before = names(tmp_path)
    answer = dfrestore("auto", source, *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert names(tmp_path) == before


def test_without_input_the_line_says_what_is_missing(dfrestore: Run) -> None:
    answer = dfrestore("auto", "derain.steps=2")
    assert (answer.code, answer.err.strip()) == (2, "dfrestore: no INPUT; name a file or folder behind auto")
