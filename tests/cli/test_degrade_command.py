"""``dfrestore degrade``: the pairs it makes, what it refuses, and what it leaves out."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from PIL import Image

from dfrestore.degrade import KINDS
from dfrestore.photo.pairs import find_pairs

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]
ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.array(image)


def manifest(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def clean(tmp_path: Path, make_photo: MakePhoto) -> Path:
    """``photos/`` with b.png, c.jpg, sub/a.tif, in this order of names."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(("b.png", "c.jpg", "sub/a.tif")):
        make_photo(folder / name, seed, size=(40, 30))
    return folder


# -- pairs


def test_a_folder_becomes_pairs_in_the_same_tree(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    answer = dfrestore("degrade", "rain", clean, "-o", out, "--preset", "storm", "--seed", "5")
    assert answer.code == 0
    assert answer.paths == [str(out / "input" / name) for name in ("b.png", "c.png", "sub/a.png")]
    assert names(out) == sorted(
        [
            "manifest.jsonl",
            *(f"{side}/{name}" for side in ("input", "target") for name in ("b.png", "c.png", "sub/a.png")),
        ]
    )
    assert [pair.name for pair in find_pairs(out).pairs] == ["b", "c", "sub/a"]


@pytest.mark.parametrize(("kind", "preset"), [("rain", "rain"), ("noise", "gaussian25"), ("blur", "shake")])
def test_targets_are_the_sources_and_inputs_follow_from_the_seed(
    dfrestore: Run, clean: Path, tmp_path: Path, kind: str, preset: str
) -> None:
    out = tmp_path / "pairs"
    dfrestore("degrade", kind, clean, "-o", out, "--preset", preset, "--seed", "5")
    for i, name in enumerate(("b.png", "c.jpg", "sub/a.tif")):
        source = pixels(clean / name)
        assert np.array_equal(pixels((out / "target" / name).with_suffix(".png")), source)
        wanted = np.round(KINDS[kind].apply(source / np.float32(255), preset, 5 + i) * 255)
        assert np.array_equal(pixels((out / "input" / name).with_suffix(".png")), wanted)


def test_the_manifest_tells_how_each_pair_was_made(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    dfrestore("degrade", "noise", clean, "-o", tmp_path / "pairs", "--preset", "sensor", "--seed", "5")
    lines = manifest(tmp_path / "pairs")
    assert [line["file"] for line in lines] == ["b.png", "c.png", "sub/a.png"]
    assert [line["seed"] for line in lines] == [5, 6, 7]
    assert {(line["kind"], line["preset"]) for line in lines} == {("noise", "sensor")}
    assert lines[0]["sha256"] == hashlib.sha256((clean / "b.png").read_bytes()).hexdigest()


def test_a_run_can_be_repeated_byte_for_byte(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        dfrestore("degrade", "blur", clean, "-o", tmp_path / out)
    one, two = ([(tmp_path / out / name).read_bytes() for name in names(tmp_path / out)] for out in ("one", "two"))
    assert one == two


def test_a_single_photo_becomes_a_pair(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    answer = dfrestore("degrade", "noise", clean / "b.png", "-o", tmp_path / "new" / "pairs")
    assert answer.code == 0
    assert names(tmp_path / "new") == ["pairs/input/b.png", "pairs/manifest.jsonl", "pairs/target/b.png"]


@pytest.mark.parametrize(("name", "ending", "format"), [("jpg", ".jpg", "JPEG"), ("webp", ".webp", "WEBP")])
def test_pairs_can_have_another_format(
    dfrestore: Run, clean: Path, tmp_path: Path, name: str, ending: str, format: str
) -> None:
    dfrestore("degrade", "noise", clean / "b.png", "-o", tmp_path / "pairs", "--format", name)
    for side in ("input", "target"):
        with Image.open(tmp_path / "pairs" / side / f"b{ending}") as image:
            assert image.format == format


def test_grey_and_transparent_photos_become_rgb(dfrestore: Run, tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 24), 99, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((20, 24, 4), 99, np.uint8)).save(tmp_path / "alpha.png")
    answer = dfrestore("degrade", "rain", tmp_path / "grey.png", tmp_path / "alpha.png", "-o", tmp_path / "pairs")
    assert answer.code == 0
    assert "alpha.png: alpha dropped" in answer.err
    for name in ("grey.png", "alpha.png"):
        assert (pixels(tmp_path / "pairs" / "target" / name) == 99).all()
        assert pixels(tmp_path / "pairs" / "input" / name).shape == (20, 24, 3)


def test_json_is_an_object_a_file_and_totals(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    answer = dfrestore("degrade", "blur", clean, "-o", tmp_path / "pairs", "--json", "--seed", "3")
    items = [json.loads(line) for line in answer.paths]
    assert [item.get("seed") for item in items] == [3, 4, 5, None]
    assert items[0]["size"] == [40, 30]
    assert items[-1]["totals"]["done"] == 3


# -- what goes wrong


def test_a_broken_photo_is_one_line_and_the_rest_goes_on(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    (clean / "a.png").write_bytes((clean / "b.png").read_bytes()[:200])
    answer = dfrestore("degrade", "noise", clean, "-o", tmp_path / "pairs", "--seed", "7", "-q")
    assert answer.code == 1
    assert len(answer.err.splitlines()) == 1
    assert str(clean / "a.png") in answer.err
    assert [line["seed"] for line in manifest(tmp_path / "pairs")] == [8, 9, 10]  # as if it were whole
    assert not (tmp_path / "pairs" / "input" / "a.png").exists()


def test_existing_pairs_are_refused_before_any_work(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    (out / "target" / "sub").mkdir(parents=True)
    (out / "target" / "sub" / "a.png").write_bytes(b"mine")
    answer = dfrestore("degrade", "noise", clean, "-o", out)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"dfrestore: {out / 'target' / 'sub' / 'a.png'}: exists already; --overwrite replaces it\n"
    assert names(out) == ["target/sub/a.png"]


def test_a_folder_that_takes_no_files_is_one_line_for_all_photos(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = dfrestore("degrade", "rain", clean, "-o", tmp_path / "file" / "out")
    assert (answer.code, answer.out) == (3, "")
    (line,) = answer.err.splitlines()
    assert "file/out/input: nothing can be written here (" in line


def test_overwrite_replaces_pairs_and_their_lines(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    dfrestore("degrade", "rain", clean, "-o", out)
    assert dfrestore("degrade", "noise", clean / "c.jpg", "-o", out, "--overwrite").code == 0
    kinds = {line["file"]: line["kind"] for line in manifest(out)}
    assert kinds == {"b.png": "rain", "c.png": "noise", "sub/a.png": "rain"}


def test_more_photos_can_be_added(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    dfrestore("degrade", "rain", clean / "b.png", "-o", out)
    assert dfrestore("degrade", "rain", clean / "c.jpg", "-o", out, "--seed", "1").code == 0
    assert [(line["file"], line["seed"]) for line in manifest(out)] == [("b.png", 0), ("c.png", 1)]


@pytest.mark.parametrize("line", ["[" * 9999, '{"file": {}}', '{"file": ["c.png"]}', "7", '{"file": "../c.png"}'])
def test_a_line_of_the_manifest_that_is_not_understood_is_kept(
    dfrestore: Run, clean: Path, tmp_path: Path, line: str
) -> None:
    out = tmp_path / "pairs"
    out.mkdir()
    (out / "manifest.jsonl").write_text(line + "\n")
    assert dfrestore("degrade", "rain", clean / "c.jpg", "-o", out).code == 0
    assert (out / "manifest.jsonl").read_text().splitlines()[0] == line
    assert names(out)[-1] == "target/c.png"


def test_pairs_below_the_photos_are_not_taken_again(dfrestore: Run, clean: Path) -> None:
    for _ in range(2):
        answer = dfrestore("degrade", "noise", clean, "-o", clean / "pairs", "--overwrite")
        assert answer.code == 0
        assert len(answer.paths) == 3


def test_the_targets_cannot_be_an_input(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    dfrestore("degrade", "rain", clean, "-o", out)
    before = (out / "target" / "b.png").read_bytes()
    assert dfrestore("degrade", "rain", out / "target", "-o", out, "--overwrite").code == 2
    assert (out / "target" / "b.png").read_bytes() == before


def test_two_photos_of_one_name_are_refused_before_any_work(
    dfrestore: Run, clean: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    make_photo(clean / "b.jpg")
    answer = dfrestore("degrade", "rain", clean, "-o", tmp_path / "pairs")
    assert answer.code == 2
    assert "b.jpg" in answer.err
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["blurr", "photos", "-o", "x"], "did you mean 'blur'"),
        (["rain", "photos", "-o", "x", "--preset", "stormy"], "did you mean 'storm'"),
        (["noise", "photos", "-o", "x", "--preset", "storm"], "gaussian15, gaussian25"),
        (["rain", "nowhere", "-o", "x"], "nowhere"),
        (["rain", "photos"], "--out"),
        (["rain", "photos", "-o", ""], "-o"),
        (["rain", "photos", "-o", "x", "--format", "gif"], "--format"),
        (["rain", "photos", "-o", "x", "--seed", str(2**63 - 1)], "--seed"),
        (["rain", "photos", "-o", "photos/b.png"], "is a file"),
    ],
)
def test_wrong_usage_of_degrade_is_one_line_and_two(
    dfrestore: Run, clean: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(clean.parent)
    answer = dfrestore("degrade", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert words in answer.err
    assert not Path("x").exists()


# -- looking first


def test_a_preview_is_one_sheet_and_nothing_else(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    answer = dfrestore("degrade", "rain", clean, "-o", out, "--preset", "storm", "--preview", "2")
    assert (answer.code, answer.paths) == (0, [str(out / "preview.png")])
    assert names(out) == ["preview.png"]
    assert pixels(out / "preview.png").std() > 10
    assert dfrestore("degrade", "rain", clean, "-o", out, "--preview", "2").code == 1
    assert dfrestore("degrade", "rain", clean, "-o", out, "--preview", "2", "--overwrite").code == 0
    assert dfrestore("degrade", "rain", clean, "-o", out, "--preset", "storm").code == 0


def test_a_preview_shows_what_the_run_will_make(dfrestore: Run, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    dfrestore("degrade", "noise", clean, "-o", out, "--preview", "9")
    dfrestore("degrade", "noise", clean, "-o", out)
    sheet, tile = pixels(out / "preview.png"), pixels(out / "input" / "b.png")
    assert np.array_equal(sheet[24 : 24 + 30, 6 : 6 + 40], tile)


def test_help_and_wrong_names_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from dfrestore.cli import main; "
        "codes = main(['degrade', '--help']), main(['degrade', 'hail', 'a.png', '-o', 'x']); "
        "print(codes, 'torch' in sys.modules, 'numpy' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == "(0, 2) False False"
