"""``--report``: which page a run of files or an evaluation leaves, where it may stand, and what stops it."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, pixels
from PIL import Image
from report_pages import files, names, read, settings

from dfrestore.cli.ending import Terminated
from dfrestore.cli.page import Page
from dfrestore.evaluation.html import About, Entry

Run = Callable[..., Answer]
MakePhoto = Callable[..., Path]
ROOT = Path(__file__).parents[2]


# -- runs over files


def test_a_run_over_a_folder_leaves_a_page_of_all_photos(
    restore: Run, tmp_path: Path, photo_folder: Path, identity_model: Path
) -> None:
    answer = restore(photo_folder, "-o", tmp_path / "out", "--seed", 3, "--report", tmp_path / "r" / "a.html")
    assert answer.code == 0
    assert len(answer.paths) == 4  # standard output is for results
    page = tmp_path / "r" / "a.html"
    assert f"report: {page} (4 photos, " in answer.err
    assert names(page) == ["a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    assert read(page).count('class="layer before"') == read(page).count('class="layer after"') == 4
    told = settings(page)
    assert (told["Task"], told["Model"], told["Steps"], told["Seed"]) == ("derain", str(identity_model), "2", "3")
    assert told["Device"].startswith("cpu (")
    assert told["Precision"].startswith("fp32 (")
    assert told["Plan"].startswith("whole image")
    assert {"dfrestore", "PyTorch", "Python"} <= set(told["Versions"].split())
    assert files(tmp_path / "r") == ["a.html"]


def test_the_page_of_one_file_shows_what_was_written(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png", size=(60, 40))
    answer = restore(source, "--report", tmp_path / "a.html", "--strength", 0.5)
    assert answer.code == 0
    assert names(tmp_path / "a.html") == ["a.png"]
    assert "60 &times; 40" in read(tmp_path / "a.html")
    assert settings(tmp_path / "a.html")["Strength"] == "0.5"
    assert "changed by 0 levels of 255 on average, 0 at most" in read(tmp_path / "a.html")
    assert "hardly changed: this model finds no rain here" in read(tmp_path / "a.html")


def test_every_failure_is_in_the_page_with_its_line(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    (photo_folder / "sub" / "x <b>.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    (tmp_path / "empty").mkdir()
    answer = restore(photo_folder, tmp_path / "empty", "-o", tmp_path / "out", "--report", tmp_path / "a.html")
    assert answer.code == 1
    lines = [line.removeprefix("dfrestore: ") for line in answer.err.splitlines() if line.startswith("dfrestore: ")]
    assert len(lines) == 2
    for line in lines:
        assert html.escape(line) in read(tmp_path / "a.html")
    assert "2 failed" in read(tmp_path / "a.html")
    assert len(names(tmp_path / "a.html")) == 4


def test_photos_that_were_done_before_are_shown_in_their_place(
    restore: Run, tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    make_photo(photo_folder / "aa.png", 9)
    answer = restore(photo_folder, "-o", tmp_path / "out", "--report", tmp_path / "a.html")
    assert names(tmp_path / "a.html") == ["a.png", "aa.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    assert read(tmp_path / "a.html").count("done before</span>") == 4
    assert "1 done, 4 skipped (done before)" in read(tmp_path / "a.html")
    assert "reading 4 photos done before" in answer.err
    again = restore(photo_folder, "-o", tmp_path / "out", "--report", tmp_path / "a.html")  # with nothing left to do
    assert again.code == 0
    assert len(names(tmp_path / "a.html")) == 5


def test_a_result_of_before_that_can_no_longer_be_read_is_named_without_pictures(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    (tmp_path / "out" / "a.png").write_bytes(b"spoilt")
    assert restore(photo_folder, "-o", tmp_path / "out", "--report", tmp_path / "a.html").code == 0
    page = read(tmp_path / "a.html")
    assert f"no pictures: {tmp_path / 'out' / 'a.png'}: not a picture" in page
    assert page.count('class="stage"') == 3


def test_outputs_of_other_making_are_listed_not_shown(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    restore(photo_folder, "-o", tmp_path / "out", "--steps", 1)
    restore(photo_folder, "-o", tmp_path / "out", "--steps", 2, "--report", tmp_path / "a.html")
    assert names(tmp_path / "a.html") == []
    assert "Left as found: made with other settings (4)" in read(tmp_path / "a.html")
    assert "sub/deep/c.tif" in read(tmp_path / "a.html")


@pytest.mark.skipif(os.name == "nt", reason="such names need POSIX")
def test_names_of_files_do_no_harm(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    name = "a\"'><script>x<&🌧\n.png"
    make_photo(tmp_path / "in" / name)
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "a.html").code == 0
    assert names(tmp_path / "a.html") == [name.replace("\n", "\\n")]
    assert "<script>x" not in read(tmp_path / "a.html")


def test_quiet_and_json_write_the_page_too(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    assert restore(photo_folder, "-o", tmp_path / "1", "--report", tmp_path / "1.html", "-q") == Answer(0, "", "")
    answer = restore(photo_folder, "-o", tmp_path / "2", "--report", tmp_path / "2.html", "--json")
    assert len([json.loads(line) for line in answer.paths]) == 5
    assert names(tmp_path / "1.html") == names(tmp_path / "2.html")


def test_a_dry_run_writes_no_page(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    assert restore(photo_folder, "-o", tmp_path / "out", "--report", tmp_path / "a.html", "--dry-run").code == 0
    assert files(tmp_path) == sorted(f"photos/{name}" for name in files(photo_folder))


def test_a_run_that_cannot_start_writes_no_page(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    page = tmp_path / "a.html"
    assert restore(photo_folder, "-o", tmp_path / "out", "--report", page, "--device", "cuda:99").code == 3
    assert not page.exists()


# -- where the page may stand


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in.html", "--report", "in.html"], "is an input"),
        (["in.html", "--report", "sub/../in.html", "--overwrite"], "is an input"),
        (["a.png", "--report", "out.html", "-o", "out.html", "--format", "png"], "a result goes there"),
        (["a.png", "sub", "--report", "out.html", "-o", "out.html"], "several results need a folder"),
        (["a.png", "--report", "b.png/page.html", "-o", "b.png"], "a result goes there"),
        (["a.png", "--report", "page.txt"], "ends in .html"),
        (["a.png", "--report", ""], "ends in .html"),
        (["a.png", "--report", "folder.html"], "is not a regular file"),
    ],
)
def test_a_page_in_the_way_is_wrong_usage_before_any_work(
    restore: Run,
    tmp_path: Path,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pixels()).save("in.html", "PNG")
    make_photo(Path("a.png"))
    make_photo(Path("sub/b.png"))
    Path("folder.html").mkdir()
    before = files(tmp_path)
    answer = restore(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1
    assert files(tmp_path) == before


def test_wrong_usage_is_told_without_torch(tmp_path: Path, make_photo: MakePhoto) -> None:
    code = "import sys; from dfrestore.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "derain", str(make_photo(tmp_path / "a.png")), "--report", "page.txt"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout == "2 False\n"


def test_another_file_of_that_name_is_refused_and_a_report_replaced(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    page = tmp_path / "a.html"
    page.write_text("<html>mine</html>")
    answer = restore(photo_folder, "-o", tmp_path / "out", "--report", page)
    assert answer.code == 1
    assert answer.err == f"dfrestore: {page}: exists already, and is no report of dfrestore; choose another --report\n"
    assert page.read_text() == "<html>mine</html>"
    assert not (tmp_path / "out").exists()
    assert restore(photo_folder, "-o", tmp_path / "out", "--report", page, "--overwrite").code == 0
    (photo_folder / "b.jpg").unlink()
    assert restore(photo_folder, "-o", tmp_path / "out", "--report", page).code == 0
    assert len(names(page)) == 3


def test_a_folder_that_cannot_be_made_stops_the_run_before_any_work(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    (tmp_path / "file").write_text("")
    answer = restore(photo_folder, "-o", tmp_path / "out", "--report", tmp_path / "file" / "a.html")
    assert answer.code == 3
    assert "a.html: cannot be written" in answer.err
    assert not (tmp_path / "out").exists()


# -- endings


class SmallPage(Page):
    """A page of nothing but what is put into it."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        super().__init__(path, False, self.said.append, self.said.append)

    def put(self, number: int) -> None:
        self._put(Entry(number, f"{number}.jpg"))

    def make(self, photos: int, end: BaseException) -> None:
        """So many photos, and then this."""
        with self.written():
            for number in range(photos):
                self.put(number)
            raise end

    def _about(self, ending: str | None) -> About:
        return About(f"ended: {ending}")


def test_a_page_that_cannot_be_written_at_the_end_is_a_failure_that_is_said(tmp_path: Path) -> None:
    page = SmallPage(tmp_path / "a.html")
    with page.written():
        page.put(1)
        (tmp_path / "a.html").write_text("mine")  # meanwhile
    assert page.failed
    assert page.said == [f"no report: {tmp_path / 'a.html'}: exists already, and is no report; choose another --report"]
    assert (tmp_path / "a.html").read_text() == "mine"


@pytest.mark.parametrize(("end", "word"), [(KeyboardInterrupt, "interrupted"), (Terminated, "terminated")])
def test_an_interrupt_keeps_a_page_of_what_is_done_if_anything_is(
    tmp_path: Path, end: type[BaseException], word: str
) -> None:
    for name, done in (("none", 0), ("some", 2)):
        with pytest.raises(end):
            SmallPage(tmp_path / f"{name}.html").make(done, end())
    assert files(tmp_path) == ["some.html"]
    assert names(tmp_path / "some.html") == ["0.jpg", "1.jpg"]
    assert f"ended: {word}" in read(tmp_path / "some.html")


def test_an_error_keeps_no_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        SmallPage(tmp_path / "a.html").make(2, ZeroDivisionError())
    assert files(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_run_that_is_interrupted_leaves_a_page_of_what_it_did(
    tmp_path: Path, make_photo: MakePhoto, identity_model: Path
) -> None:
    for number in range(8):
        make_photo(tmp_path / "in" / f"{number}.png", number, (64, 64))
    code = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('dfrestore', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", code, "derain", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    command += ["--steps", "60", "--model", str(identity_model), "--report", str(tmp_path / "a.html")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("0.png\n")
        assert process.stdout.readline().endswith("1.png\n")  # so the first one is in the page
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    shown = names(tmp_path / "a.html")
    assert 1 <= len(shown) < 8
    assert "Interrupted: " in read(tmp_path / "a.html")
    assert f"report: {tmp_path / 'a.html'}" in err
    assert not [name for name in files(tmp_path) if name.endswith("-tmp")]


@pytest.mark.parametrize("command", ["derain", "denoise", "deblur", "evaluate"])
def test_the_help_has_the_option_and_an_example_of_it(dfrestore: Run, command: str) -> None:
    text = dfrestore(command, "--help").out
    assert re.search(r"--report +FILE\.html", text)
    assert re.search(rf"dfrestore {command} .*--report \w+\.html", text)
