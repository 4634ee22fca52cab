"""``dfrestore run``: several tasks in turn over files, each with options of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain_models import save_one_of_each
from conftest import Answer, pixels
from larger_and_filled import array_of, changed, names, objects, save_mask, sideways, size_of
from PIL import Image

from dfrestore import photo
from dfrestore.photo.encode import quantise
from dfrestore.photo.enlarged import enlarged

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_one_of_each(tmp_path_factory.mktemp("models"))


@pytest.fixture
def chain(dfrestore: Run, models: dict[str, Path]) -> Run:
    """chain("derain,denoise", path, ...) runs it with small models."""

    def run(tasks: str, *arguments: object) -> Answer:
        own = [f"{task}.model={models[task]}" for task in tasks.split(",")]
        return dfrestore("run", tasks, *arguments, *own, "--precision", "fp32", "--device", "cpu")

    return run


@pytest.fixture
def source(tmp_path: Path, make_photo: MakePhoto) -> Path:
    return make_photo(tmp_path / "a.png")


def sixteen_bit(path: Path, target: Path) -> Path:
    """A photo as TIFF of 16 bit."""
    read = photo.read(path)
    rgb = read.rgb
    photo.write(target, photo.Photo(rgb, origin=photo.Origin("TIFF", bits=16)), rgb)
    return target


# -- what a chain makes


def test_a_chain_makes_what_its_tasks_make_one_after_the_other_in_16_bit(
    chain: Run, dfrestore: Run, models: dict[str, Path], tmp_path: Path, source: Path
) -> None:
    answer = chain("derain,denoise", source, "derain.strength=0.8", "denoise.seed=5", "denoise.steps=3")
    assert (answer.code, answer.paths) == (0, [str(tmp_path / "a_run.png")])
    first, second = tmp_path / "1.tif", tmp_path / "2.tif"
    common = ("--precision", "fp32", "--device", "cpu")
    deep = sixteen_bit(source, tmp_path / "deep.tif")
    dfrestore("derain", deep, "-o", first, "--strength", 0.8, "--model", models["derain"], *common)
    dfrestore("denoise", first, "-o", second, "--seed", 5, "--steps", 3, "--model", models["denoise"], *common)
    expected, made = photo.read(second).rgb * 255, array_of(tmp_path / "a_run.png")
    assert np.abs(made - expected).max() <= 0.55
    assert np.abs(made - array_of(source).astype(float)).max() > 3


def test_upscale_in_a_chain_sets_the_size_and_what_follows_keeps_it(chain: Run, tmp_path: Path, source: Path) -> None:
    answer = chain("upscale,denoise", source, "upscale.scale=3", "-o", tmp_path / "b.png")
    assert answer.code == 0
    assert size_of(tmp_path / "b.png") == (72, 48)
    assert "24x16 -> 72x48; " in answer.err


def test_a_photo_that_is_large_enough_gets_the_other_tasks(chain: Run, tmp_path: Path, source: Path) -> None:
    answer = chain("derain,upscale", source, "upscale.min-size=8x8", "-o", tmp_path / "b.png", "--json")
    assert chain("derain", source, "-o", tmp_path / "c.png").code == 0
    assert np.array_equal(array_of(tmp_path / "b.png"), array_of(tmp_path / "c.png"))
    item = objects(answer)[0]
    assert item["warnings"] == ["large enough as it is; not enlarged"]
    assert [step["task"] for step in item["chain"]] == ["derain"]


def test_a_mask_of_the_photo_serves_wherever_inpaint_stands(chain: Run, tmp_path: Path, source: Path) -> None:
    mask = save_mask(tmp_path / "m.png")
    before = chain("inpaint,upscale", source, f"inpaint.mask={mask}", "-o", tmp_path / "b.png")
    after = chain("upscale,inpaint", source, f"inpaint.mask={mask}", "-o", tmp_path / "c.png", "inpaint.dilate=1")
    assert (before.code, after.code) == (0, 0)
    assert size_of(tmp_path / "b.png") == size_of(tmp_path / "c.png") == (48, 32)
    untouched = array_of(source).repeat(2, axis=0).repeat(2, axis=1)
    # where the photo was enlarged before, its hole's colours have spread around it
    for name, first in (("b.png", 16), ("c.png", 8)):
        there = (array_of(tmp_path / name) != untouched).any(axis=2)
        assert there[12:20, 18:30].mean() > 0.9
        assert not there[:, :first].any()


# -- a part of the photo


def test_only_the_region_changes_and_its_middle_is_that_of_the_whole_result(
    chain: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png", 0, (64, 48))
    part = ("-o", tmp_path / "part.png", "--region", "10,8,32,24", "--json")
    assert chain("derain,denoise", source, "-o", tmp_path / "whole.png").code == 0
    answer = chain("derain,denoise", source, *part)
    assert objects(answer)[0]["regions"] == [[10, 8, 32, 24]]
    assert " inside the region, " in answer.err.splitlines()[-1]
    there = changed(source, tmp_path / "part.png")
    region, middle = np.zeros((48, 64), bool), (slice(14, 26), slice(16, 36))
    region[8:32, 10:42] = True
    assert not there[~region].any()
    assert there[region].mean() > 0.9
    assert np.array_equal(array_of(tmp_path / "part.png")[middle], array_of(tmp_path / "whole.png")[middle])


def test_a_preview_is_a_part_of_the_whole_result(chain: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png", 0, (64, 48))
    assert chain("derain,upscale", source, "-o", tmp_path / "whole.png").code == 0
    answer = chain("derain,upscale", source, "--preview", "20,10,30,16", "--json")
    assert objects(answer)[0]["preview"] == [20, 10, 30, 16]
    part, whole = array_of(tmp_path / "a_run_preview.png"), array_of(tmp_path / "whole.png")
    assert np.array_equal(part, whole[20:52, 40:100])
    again = chain("derain,upscale", source, "--preview", "0,0,8,8")  # one preview may replace another
    assert (again.code, size_of(tmp_path / "a_run_preview.png")) == (0, (16, 16))


def test_a_mask_blends_the_result_of_all_tasks_with_the_photo_once(chain: Run, tmp_path: Path, source: Path) -> None:
    Image.fromarray(np.full((16, 24), 102, np.uint8)).save(tmp_path / "m.png")  # 0.4
    assert chain("derain,denoise", source, "-o", tmp_path / "full.png").code == 0
    assert chain("derain,denoise", source, "-o", tmp_path / "o.png", "--mask", tmp_path / "m.png").code == 0
    before, full, made = (array_of(path).astype(float) for path in (source, tmp_path / "full.png", tmp_path / "o.png"))
    assert np.abs(made - (before + 0.4 * (full - before))).max() <= 1
    assert np.abs(made - before).max() > 3


@pytest.mark.parametrize("tasks", ["derain,upscale", "upscale,derain"])
def test_outside_of_a_region_a_larger_result_is_the_plain_resize(
    chain: Run, tmp_path: Path, make_photo: MakePhoto, tasks: str
) -> None:
    source = make_photo(tmp_path / "a.png", 0, (64, 48))
    assert chain(tasks, source, "-o", tmp_path / "o.png", "--region", "0,0,32,48").code == 0
    made = array_of(tmp_path / "o.png").astype(int)
    plain = quantise(enlarged(photo.read(source), 96, 128).rgb, 8, grey=False).astype(int)
    assert np.array_equal(made[:, 64:], plain[:, 64:])
    assert (made[:, :48] != plain[:, :48]).any(axis=2).mean() > 0.9


def test_a_region_holds_where_nothing_is_enlarged(chain: Run, tmp_path: Path, source: Path) -> None:
    region = ("--region", "0,0,12,16")
    assert chain("derain,upscale", source, "upscale.min-size=8x8", "-o", tmp_path / "b.png", *region).code == 0
    there = changed(source, tmp_path / "b.png")
    assert not there[:, 12:].any()
    assert there[:, :9].mean() > 0.9


def test_another_region_is_another_setting(chain: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "in" / "a.png")
    run = ("derain,denoise", tmp_path / "in", "-o", tmp_path / "out", "--region")
    assert chain(*run, "0,0,9,9").code == 0
    assert "1 skipped (done before)" in chain(*run, "0,0,9,9").err
    assert "1 output left as found (made with other settings)" in chain(*run, "0,0,9,8").err


# -- what is kept, and what is shown beside


def test_alpha_exif_and_depth_are_kept(chain: Run, tmp_path: Path) -> None:
    rgba = np.dstack([pixels(), pixels(seed=1)[..., 0]])
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    camera = sideways(tmp_path / "camera.jpg")
    assert chain("derain,denoise", tmp_path / "alpha.png", camera, "-o", tmp_path / "out").code == 0
    assert np.array_equal(array_of(tmp_path / "out" / "alpha.png")[..., 3], rgba[..., 3])
    with Image.open(tmp_path / "out" / "camera.jpg") as image:
        assert image.size == (16, 24)
        assert image.getexif()[0x010F] == "Maker"


def test_compare_shows_the_photo_and_the_result_of_all(chain: Run, tmp_path: Path, source: Path) -> None:
    strip = tmp_path / "strip.png"
    assert chain("derain,upscale", source, "--compare", strip).code == 0
    with Image.open(strip) as image:
        assert image.width >= 2 * 48


# -- runs over folders


def test_a_folder_is_mirrored_and_a_second_run_skips_what_is_done(
    chain: Run, photo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = chain("derain,denoise", photo_folder, "-o", out, "denoise.strength=0.5")
    assert first.code == 0
    assert names(out) == [".dfrestore.jsonl", "a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    (out / "b.jpg").unlink()
    again = chain("derain,denoise", photo_folder, "-o", out, "denoise.strength=0.5")
    assert again.paths == [str(out / "b.jpg")]
    assert "3 skipped (done before)" in again.err


@pytest.mark.parametrize("other", [("denoise,derain",), ("derain,denoise", "derain.strength=0.5"), ("derain",)])
def test_a_result_of_other_settings_of_any_task_is_left(
    chain: Run, tmp_path: Path, make_photo: MakePhoto, other: tuple[str, ...]
) -> None:
    make_photo(tmp_path / "in" / "a.png")
    chain("derain,denoise", tmp_path / "in", "-o", tmp_path / "out")
    answer = chain(other[0], tmp_path / "in", "-o", tmp_path / "out", *other[1:])
    assert "1 output left as found (made with other settings)" in answer.err


def test_a_result_beside_its_photo_is_not_taken_for_a_photo(chain: Run, tmp_path: Path, source: Path) -> None:
    assert chain("derain,denoise", tmp_path).code == 0
    answer = chain("derain,denoise", tmp_path, "--overwrite")
    assert answer.paths == [str(tmp_path / "a_run.png")]


def test_two_photos_for_one_result_are_found_before_any_work(chain: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    photos = make_photo(tmp_path / "1" / "a.png"), make_photo(tmp_path / "2" / "a.png")
    answer = chain("derain,denoise", *photos, "-o", tmp_path / "out")
    assert answer.code == 2
    assert "would be written here" in answer.err
    assert not (tmp_path / "out").exists()


def test_results_are_named_by_what_the_tasks_share_or_by_that_of_each(
    chain: Run, photo_folder: Path, tmp_path: Path
) -> None:
    template = "{stem} {task} {model} {steps} {seed}"
    arguments = ("derain,denoise", photo_folder, "-o", tmp_path / "out", "--name", template)
    first = chain(*arguments, "denoise.seed=7")
    assert first.code == 0
    assert names(tmp_path / "out")[1:3] == ["a run derain-denoise 2 0-7.png", "b run derain-denoise 2 0-7.jpg"]
    assert "4 skipped (done before)" in chain(*arguments, "denoise.seed=7").err
    other = chain(*arguments, "derain.steps=1", "--dry-run", "--json")
    assert Path(objects(other)[0]["output"]).name == "a run derain-denoise 1-2 0.png"


def test_two_photos_of_one_name_are_refused_before_any_work(chain: Run, photo_folder: Path, tmp_path: Path) -> None:
    (photo_folder / "c.png").write_bytes((photo_folder / "a.png").read_bytes())
    answer = chain("derain,denoise", photo_folder, "-o", tmp_path / "out", "--name", "{task}_{steps}")
    assert answer.code == 2
    assert "run_2.png: both" in answer.err
    assert "with different --name" in answer.err
    assert not (tmp_path / "out").exists()


def test_json_tells_of_each_step(chain: Run, models: dict[str, Path], source: Path) -> None:
    item, totals = objects(chain("derain,denoise", source, "denoise.seed=4", "denoise.steps=1", "--json"))
    assert totals["totals"]["done"] == 1
    assert item["model"] == f"{models['derain']}, {models['denoise']}"
    assert (item["seed"], item["steps"]) == (None, None)
    steps: list[dict[str, Any]] = item["chain"]
    assert [(step["task"], step["steps"], step["seed"]) for step in steps] == [("derain", 2, 0), ("denoise", 1, 4)]
    assert 0 < sum(step["seconds"] for step in steps) <= item["seconds"] + 0.01


def test_a_single_task_tells_nothing_of_a_chain(restore: Run, source: Path) -> None:
    assert "chain" not in objects(restore(source, "--json"))[0]


def test_a_dry_run_says_sizes_and_steps_and_writes_nothing(chain: Run, tmp_path: Path, source: Path) -> None:
    item, _ = objects(chain("upscale,derain", source, "--dry-run", "--json"))
    assert item["status"] == "planned"
    assert item["size"] == [48, 32]
    assert [step["task"] for step in item["chain"]] == ["upscale", "derain"]
    assert names(tmp_path) == ["a.png"]


def test_the_start_line_names_the_chain_and_its_models(chain: Run, models: dict[str, Path], source: Path) -> None:
    line = chain("derain,denoise", source).err.splitlines()[0]
    assert line.startswith("run derain,denoise: models ")
    assert line.index(str(models["derain"])) < line.index(", then ") < line.index(str(models["denoise"]))


def test_a_report_tells_of_all_tasks(chain: Run, tmp_path: Path, source: Path) -> None:
    options = ("derain.strength=0.5", "--region", "1,2,8,9")
    assert chain("derain,upscale", source, "--report", tmp_path / "r.html", *options).code == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "dfrestore run derain,upscale" in text
    assert "<dd>0.5</dd>" in text
    assert text.count("8x9 at 1,2") == 1


# -- what is refused, before anything else


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["derain,denois", "a.png"], "unknown task 'denois': did you mean 'denoise'? (known: derain, "),
        (["derain,", "a.png"], "unknown task ''"),
        (["derain,derain", "a.png"], "derain stands there twice"),
        (["derain", "derain.steps=1"], "no INPUT"),
        (["derain", "a.png", "deran.steps=1"], "unknown task 'deran': did you mean 'derain'?"),
        (["derain", "a.png", "denoise.steps=1"], "denoise is not in this chain, which is derain"),
        (["derain", "a.png", "derain.stepz=1"], "did you mean 'steps'? (known: "),
        (["derain", "a.png", "derain.steps=0"], "derain.steps=0: "),
        (["derain", "a.png", "derain.steps=few"], "derain.steps=few: "),
        (["derain", "a.png", "derain.strength=1.5"], "derain.strength=1.5: "),
        (["derain", "a.png", "derain.keep-color=maybe"], "yes or no is needed"),
        (["derain", "a.png", "derain.steps=1", "derain.steps=2"], "derain.steps is given twice"),
        (["derain", "a.png", "derain.window=5@9"], "derain.window=5@9 is neither"),
        (["derain", "a.png", "derain.trace=a.gif"], "a chain has no --trace"),
        (["derain", "a.png", "--uncertainty", "a.png"], "a chain has no --uncertainty"),
        (["derain", "a.png", "derain.name=b"], "--name holds for the whole chain"),
        (["derain", "a.png", "--name", "{tasks}"], "unknown field 'tasks': did you mean 'task'?"),
        (["derain", "a.png", "-o", "-", "--name", "{stem}"], "--name needs files"),
        (["derain", "a.png", "derain.device=cpu"], "--device holds for the whole chain"),
        (["derain", "a.png", "--steps", "1"], "write TASK.steps=VALUE"),
        (["derain", "a.png", "derain.scale=2"], "derain has no option 'scale'"),
        (["derain,upscale", "a.png", "upscale.scale=99"], "upscale.scale: '99' is not a factor"),
        (["upscale,inpaint", "a.png", "--mask", "a.png"], "a chain with inpaint has none; inpaint.mask=FILE is what"),
        (["derain,inpaint", "a.png", "--region", "1,2,3,4"], "--region: a chain with inpaint has none"),
        (["derain,inpaint", "a.png"], "inpaint needs a mask: inpaint.mask=FILE"),
        (["derain", "missing.png"], "missing.png: no such file or folder"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_would_be_right(
    dfrestore: Run, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = dfrestore("run", *arguments)
    assert answer.code == 2
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1
    assert names(tmp_path) == ["a.png"]


def test_a_photo_whose_name_looks_like_an_option_is_taken(
    chain: Run, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photo(tmp_path / "x.y=1.png")
    assert chain("derain", "x.y=1.png").paths == ["x.y=1_run.png"]


def test_flags_take_yes_and_no(chain: Run, tmp_path: Path, source: Path) -> None:
    for word in ("yes", "no"):
        assert chain("derain", source, f"derain.keep-color={word}", "-o", tmp_path / f"{word}.png").code == 0
    assert not np.array_equal(array_of(tmp_path / "yes.png"), array_of(tmp_path / "no.png"))


def test_the_tasks_that_may_come_next_are_completed() -> None:
    from dfrestore.cli.chain import complete_chain

    assert complete_chain("derain,de") == [
        f"derain,{task}" for task in ("denoise", "deblur", "dejpeg", "dehaze", "desnow", "defocus")
    ]


def test_every_option_of_a_task_is_of_a_chain_or_of_its_steps() -> None:
    from typer.main import get_command

    from dfrestore.cli.commands import build
    from dfrestore.cli.restoring_options import ALONE_OPTIONS, STEP_OPTIONS

    commands: Any = get_command(build())
    commands = commands.commands
    common = {item.name for item in commands["run"].params} | {"inputs"}
    assert common & (STEP_OPTIONS | ALONE_OPTIONS) == {"mask"}  # of the whole result, and of what inpaint fills
    for task in ("derain", "upscale", "inpaint"):
        own = {item.name for item in commands[task].params}
        assert own <= common | STEP_OPTIONS | ALONE_OPTIONS
