"""Inputs, outputs and models that mean harm, or that meet a disk that does: one line, the right code, nothing half."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Answer, pixels, tiny_spec
from PIL import Image

from dfrestore.photo import png
from dfrestore.weights import load_checkpoint, save_checkpoint
from dfrestore.weights.header import with_metadata

Run = Callable[..., Answer]
MakePhoto = Callable[..., Path]
ROOT = Path(__file__).parents[2]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX behaviour")


def failed(answer: Answer, code: int = 1) -> str:
    """The one line of a run that gave nothing (the start line aside)."""
    lines = [line for line in answer.err.splitlines() if ": model " not in line and " failed" not in line]
    assert (answer.code, answer.out) == (code, ""), answer
    assert len(lines) == 1, answer.err
    assert "Traceback" not in answer.err
    assert "DFRESTORE_DEBUG" not in answer.err
    return lines[0]


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory of this size; the test is skipped where it may not be mounted."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("mounting needs the superuser")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


linux = pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")


# -- inputs


def bomb(path: Path, side: int = 100_000) -> Path:
    """A picture of a few bytes that says it is ten gigapixels."""
    header = png.chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(png.SIGNATURE + header + png.chunk(b"IDAT", zlib.compress(bytes(9))) + png.chunk(b"IEND", b""))
    return path


@posix
@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("bomb", "100000 x 100000 is more than the limit of 250 megapixels"),
        ("empty", "the file is empty"),
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("/dev/full", "not a regular file"),
        ("link to /dev/zero", "not a regular file"),
        ("huge", "not a picture of a known format"),
    ],
)
def test_an_input_that_is_no_picture_is_one_line(restore: Run, tmp_path: Path, kind: str, cause: str) -> None:
    path = Path(kind) if kind.startswith("/dev") else tmp_path / "in.png"
    if kind == "bomb":
        bomb(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind.startswith("link"):
        path.symlink_to("/dev/zero")
    elif not kind.startswith("/dev"):
        path.touch()
        os.truncate(path, 1 << 40 if kind == "huge" else 0)
    assert cause in failed(restore(path, "-o", tmp_path / "out.png"))
    assert not (tmp_path / "out.png").exists()


@posix
def test_links_in_a_circle_cannot_be_reached(restore: Run, tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert "cannot be reached" in failed(restore(tmp_path / "a.png"), 2)


@posix
def test_in_a_folder_pipes_and_links_to_nowhere_are_passed_over(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    os.mkfifo(photo_folder / "pipe.png")
    (photo_folder / "self.png").symlink_to("self.png")
    (photo_folder / "zero.png").symlink_to("/dev/zero")
    answer = restore(photo_folder, "-o", tmp_path / "out")
    assert (answer.code, len(answer.paths)) == (0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(65000, 1), (1, 65000)])
def test_a_strip_of_one_pixel_is_restored(restore: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(pixels(*size)).save(tmp_path / "strip.png")
    assert restore(tmp_path / "strip.png", "-o", tmp_path / "out.png", "--steps", 1).code == 0
    with Image.open(tmp_path / "out.png") as result, Image.open(tmp_path / "strip.png") as source:
        assert np.array_equal(result, source)


# -- models


def test_a_small_file_cannot_ask_for_a_network_of_gigabytes(
    restore: Run, dfrestore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path
) -> None:
    resource = pytest.importorskip("resource")
    spec = tiny_spec(network={**TINY, "dim": 1024, "blocks": (64, 64, 64, 64), "ffn_factor": 16})
    model = tmp_path / "m.safetensors"
    model.write_bytes(with_metadata(identity_model.read_bytes(), spec.to_metadata()))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = restore(make_photo(tmp_path / "a.png"), model=model)
    assert "tensors do not fit the configuration in the header" in failed(answer, 3)
    assert len(answer.err) < 2000
    trained = dfrestore("train", "derain", "--init-from", model, "--clean", tmp_path, "--run", tmp_path / "run")
    assert "tensors do not fit the configuration in the header" in failed(trained, 3)
    assert not (tmp_path / "run").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 500_000  # KiB


@pytest.mark.parametrize(
    "change",
    [
        {"dim": -8}, {"dim": 10**30}, {"dim": 8.5}, {"dim": "8"}, {"dim": None}, {"blocks": [10**9] * 4},
        {"blocks": [1, 1, 1]}, {"blocks": "1111"}, {"heads": [0, 0, 0, 0]}, {"ffn_factor": float("nan")},
        {"ffn_factor": float("inf")}, {"norm": ["WithBias"]}, {"norm": {}}, {"stem": True}, {"timesteps": [4]},
        {"timesteps": {"2": [0, 999]}}, {"timesteps": {"2": 5}}, {"schedule": []}, {"schedule": {"timesteps": 10**9}},
        {"schedule": {"timesteps": 1000, "betas": [float("nan")] * 2}}, {"window": 0}, {"window": [64]},
        {"default_steps": 0}, {"default_steps": 10**9}, {"patch": -1}, {"method": ["c2f-dft"]}, {"method": "x" * 9999},
        {"prediction": {}}, {"x" * 9999: 1}, {"dim": json.loads("[" * 500 + "]" * 500)},
    ],
    ids=lambda change: f"{change!s:.40}",
)  # fmt: skip
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_configuration_with_wild_values_cannot_start(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path, change: dict[str, object], version: str
) -> None:
    config = json.loads(tiny_spec().to_metadata()["config"])
    if version == "1":  # one flat map
        sampling = {"prediction": "sample", "schedule": {"timesteps": 1000, "betas": [1e-4, 2e-2]}, "timesteps": {}}
        config = {**config.pop("network"), **sampling, **{k: v for k, v in config.items() if k != "sampling"}, **change}
    else:
        for key, value in change.items():
            places = {"timesteps": "sampling", "schedule": "sampling", "prediction": "sampling"}
            inside = config if key in config else config[places.get(key, "network")]
            inside[key] = value
    model = tmp_path / "m.safetensors"
    header = {"dfrestore": version, "config": json.dumps(config)}
    model.write_bytes(with_metadata(identity_model.read_bytes(), header))
    answer = restore(make_photo(tmp_path / "a.png"), model=model)
    assert str(model) in failed(answer, 3)
    assert len(answer.err) < 5000
    assert not (tmp_path / "a_derain.png").exists()


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_are_never_loaded_in_part(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path, change: str
) -> None:
    tensors, spec = load_checkpoint(identity_model)
    if change == "missing":
        del tensors["output.weight"]
    else:
        tensors["output.more"] = tensors["output.weight"]
    save_checkpoint(tmp_path / "m.safetensors", tensors, spec)
    line = failed(restore(make_photo(tmp_path / "a.png"), model=tmp_path / "m.safetensors"), 3)
    assert line.startswith(f"dfrestore: {tmp_path / 'm.safetensors'}: tensors do not fit")
    assert f"'output.{'weight' if change == 'missing' else 'more'}'" in line
    assert change in line


# -- outputs


@posix
@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_an_input_under_another_name_is_never_the_output(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, link: str
) -> None:
    source = make_photo(tmp_path / "in" / "a.png")
    out = tmp_path / "b.png"
    if link == "symbolic":
        out.symlink_to(source)
    elif link == "hard":
        os.link(source, out)
    else:
        (tmp_path / "same").symlink_to(source.parent)
        out = tmp_path / "same" / "a.png"
    before = source.read_bytes()
    assert "would replace an input" in failed(restore(source, "-o", out, "--overwrite"), 2)
    assert source.read_bytes() == before


@posix
@pytest.mark.parametrize("out", ["/proc/out.png", "file/out.png", "file/below/out.png"])
def test_a_place_that_takes_no_files_is_one_line(restore: Run, tmp_path: Path, make_photo: MakePhoto, out: str) -> None:
    (tmp_path / "file").touch()
    answer = restore(make_photo(tmp_path / "a.png"), "-o", tmp_path / out)
    assert "nothing can be written here" in failed(answer, 3)
    assert "choose another -o" in answer.err


@posix
@pytest.mark.parametrize("out", ["/proc/out", "file/out"])
def test_a_folder_that_takes_no_files_is_one_line_for_all_photos(
    restore: Run, tmp_path: Path, photo_folder: Path, out: str
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / out
    line = failed(restore(photo_folder, "-o", place), 3)
    assert line.startswith(f"dfrestore: {place}: nothing can be written here (")
    (line,) = restore(photo_folder, "-o", tmp_path / "good", "--compare", place).err.splitlines()
    assert line.endswith("choose another --compare")
    assert not (tmp_path / "good").exists()


@posix
@pytest.mark.parametrize("extra", [("--compare", "strip.jpg"), ("--trace", "way.gif"), ("--uncertainty", "map.png")])
def test_an_extra_picture_that_cannot_be_written_is_found_before_any_work(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, extra: tuple[str, str]
) -> None:
    (tmp_path / "file").touch()
    (option, name), source, out = extra, make_photo(tmp_path / "a.png"), tmp_path / "good" / "a.png"
    answer = restore(source, "-o", out, option, tmp_path / "file" / name)
    assert (
        answer.err
        == f"dfrestore: {tmp_path / 'file'}: nothing can be written here (Not a directory); choose another {option}\n"
    )
    assert (answer.code, answer.out, out.parent.exists()) == (3, "", False)


@posix
def test_where_one_folder_takes_extra_pictures_the_other_photos_fail_alone(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    (tmp_path / "strips").mkdir()
    (tmp_path / "strips" / "sub").touch()  # in place of a folder
    answer = restore(photo_folder, "-o", tmp_path / "out", "--compare", tmp_path / "strips")
    assert (answer.code, len(answer.paths)) == (1, 2)
    assert not (tmp_path / "out" / "sub").exists() or not [*(tmp_path / "out" / "sub").rglob("*.*")]


@posix
def test_a_folder_that_takes_no_files_does_no_harm_where_nothing_is_left_to_do(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    assert restore(photo_folder, "-o", tmp_path / "out").code == 0
    before = sorted(tmp_path.rglob("*"))
    assert restore(photo_folder, "-o", tmp_path / "out").code == 0
    assert sorted(tmp_path.rglob("*")) == before


@posix
def test_where_one_folder_takes_files_the_others_fail_alone(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").touch()  # in place of a folder
    answer = restore(photo_folder, "-o", tmp_path / "out")
    assert (answer.code, len(answer.paths)) == (1, 2)


@linux
def test_a_read_only_folder_is_one_line(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png")
    with mounted(tmp_path / "out", "1m") as out:
        subprocess.run(["mount", "-o", "remount,ro", out], check=True)
        line = failed(restore(source, "-o", out / "a.png"), 3)
    assert "out: nothing can be written here (Read-only file system); choose another -o" in line


@linux
def test_a_full_disk_keeps_what_was_done_and_leaves_nothing_half(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    for number in range(4):
        make_photo(tmp_path / "in" / f"{number}.png", number, (200, 200))  # 120 kB each
    with mounted(tmp_path / "out", "300k") as out:
        answer = restore(tmp_path / "in", "-o", out)
        assert answer.code == 1
        assert [Path(path).name for path in answer.paths] == ["0.png", "1.png"]
        lines = [line for line in answer.err.splitlines() if "cannot be written" in line]
        assert len(lines) == 2
        assert "2.png: cannot be written (No space left on device); free some space" in lines[0]
        assert sorted(path.name for path in out.iterdir()) == [".dfrestore.jsonl", "0.png", "1.png"]
        for path in answer.paths:
            with Image.open(path) as image:
                image.load()


@posix
def test_a_record_full_of_lies_touches_nothing_outside_and_stops_nothing(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    lies = [
        {"output": "../outside.png", "input": "/etc/passwd", "size": 1, "mtime_ns": 1, "settings": "x", "bytes": 4},
        {"output": str(outside), "input": "x", "size": 1, "mtime_ns": 1, "settings": "x", "bytes": 4},
        {"output": "a.png", "input": "x", "size": float("inf"), "mtime_ns": 1, "settings": "x", "bytes": 4},
    ]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".dfrestore.jsonl").write_text("\n".join(map(json.dumps, lies)) + "\n" + "[" * 100_000)
    answer = restore(photo_folder, "-o", tmp_path / "out")
    assert (answer.code, len(answer.paths)) == (0, 4)
    assert outside.read_bytes() == b"mine"


@posix
def test_a_pipe_in_the_records_place_is_a_warning(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / ".dfrestore.jsonl")
    answer = restore(photo_folder, "-o", tmp_path / "out")
    assert (answer.code, len(answer.paths)) == (0, 4)
    assert answer.err.count("later runs will not know what is done") == 1


@pytest.mark.slow
def test_two_runs_over_one_folder_share_the_work(tmp_path: Path, make_photo: MakePhoto, identity_model: Path) -> None:
    for number in range(12):
        make_photo(tmp_path / "in" / f"{number}.png", number, (64, 64))
    command = [sys.executable, "-m", "dfrestore", "derain", tmp_path / "in", "-o", tmp_path / "out"]
    options = ["--model", identity_model, "--steps", "20", "--precision", "fp32", "--json"]
    runs = [
        subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    told = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    totals = [json.loads(out.splitlines()[-1])["totals"] for out, _ in told]
    assert all(total["failed"] == 0 and total["done"] + total["skipped"] + total["left"] == 12 for total in totals)
    assert sum(total["done"] for total in totals) == 12
    assert len(list((tmp_path / "out").glob("*.png"))) == 12
    assert not list((tmp_path / "out").glob(".*tmp"))
    for number in range(12):
        with Image.open(tmp_path / "out" / f"{number}.png") as result:
            assert np.array_equal(result, pixels(64, 64, number))


@posix
@pytest.mark.parametrize("name", ["two\nlines", "☔🌧️", "\x1b[31mred", "'quoted' \"twice\""])
def test_folders_of_any_name_print_as_one_line_each(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, name: str
) -> None:
    make_photo(tmp_path / name / f"{name}.png")
    (tmp_path / name / "broken.png").write_bytes(b"x")
    answer = restore(tmp_path / name, "-o", tmp_path / "out" / name)
    assert answer.code == 1
    assert len(answer.paths) == 1
    assert all(line.isprintable() for line in (*answer.paths, *answer.err.splitlines()))
    assert (tmp_path / "out" / name / f"{name}.png").is_file()


# -- folders


@posix
def test_folders_that_link_to_each_other_are_walked_in_a_moment(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    folders = [tmp_path / "in" / f"{number:02}" for number in range(12)]
    for folder in folders:
        make_photo(folder / "a.png")
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    answer = restore(tmp_path / "in", "-o", tmp_path / "out", "--dry-run", "--quiet")
    assert answer.code == 0


@posix
def test_links_that_double_at_every_level_are_walked_in_a_moment(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    for level in range(40):
        folder = tmp_path / "levels" / f"{level}"
        make_photo(folder / "a.png")
        for name in ("left", "right"):
            (folder / name).symlink_to(f"../{level + 1}")
    answer = restore(tmp_path / "levels" / "0", "-o", tmp_path / "out", "--dry-run", "--quiet")
    assert answer.code == 0


@posix
def test_a_tree_deeper_than_pythons_stack_is_walked(restore: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels()).save(tmp_path / "in" / "a.png")
    folder = os.open(tmp_path / "in", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    try:
        answer = restore(tmp_path / "in", "-o", tmp_path / "out")
    finally:
        subprocess.run(["rm", "-r", tmp_path / "in"], check=True)  # what clears up after tests cannot
    assert (answer.code, len(answer.paths)) == (0, 1)


def test_a_disk_error_that_nobody_foresaw_is_one_line(dfrestore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "clean" / "a.png", size=(96, 96))
    (tmp_path / "file").touch()
    answer = dfrestore(
        "train", "derain", "--preset", "smoke", "--clean", tmp_path / "clean", "--run", tmp_path / "file" / "run"
    )
    assert answer.code in (1, 2, 3)
    assert "Traceback" not in answer.err
    assert "DFRESTORE_DEBUG" not in answer.err
