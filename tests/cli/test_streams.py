"""``-`` in place of a file: a picture from standard input, a result on standard output, and nothing else there."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import pixels
from PIL import Image

from dfrestore.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """Exit code, bytes on standard output, text on standard error."""

    code: int
    out: bytes
    err: str


Run = Callable[..., Answer]


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def derain(identity_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """derain(bytes or a stream, "-", "-o", "-") runs the command with these bytes on standard input."""
    monkeypatch.chdir(tmp_path)

    def run(given: bytes | io.BytesIO, *arguments: object, out: io.BytesIO | None = None) -> Answer:
        out, err = out or io.BytesIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given) if isinstance(given, bytes) else given))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
        monkeypatch.setattr(sys, "stderr", err)
        words = ["derain", *map(str, arguments), "--model", str(identity_model), "--precision", "fp32"]
        code = main(words)
        sys.stdout.detach()  # or closing it would close ``out``
        return Answer(code, out.getvalue(), err.getvalue())

    return run


def picture(format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_picture_goes_through_and_only_its_bytes_come_out(derain: Run, tmp_path: Path) -> None:
    answer = derain(picture(), "-", "-o", "-")
    assert answer.code == 0
    assert opened(answer.out).format == "PNG"
    np.testing.assert_array_equal(np.asarray(opened(answer.out)), pixels())
    assert answer.out.endswith(b"IEND\xaeB`\x82")
    assert "1 done" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_the_format_is_that_of_the_input_or_the_one_asked_for(derain: Run) -> None:
    assert opened(derain(picture("WEBP", lossless=True), "-", "-o", "-").out).format == "WEBP"
    assert opened(derain(picture("JPEG"), "-", "-o", "-", "--format", "tiff").out).format == "TIFF"


def test_what_belongs_to_the_photo_is_kept(derain: Run) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    answer = derain(picture("JPEG", exif=exif.tobytes(), dpi=(300, 300)), "-", "-o", "-")
    assert opened(answer.out).getexif()[0x010F] == "Maker"
    assert opened(answer.out).info["dpi"] == (300, 300)


def test_standard_input_goes_to_a_file(derain: Run, tmp_path: Path) -> None:
    answer = derain(picture(), "-", "-o", "out.jpg")
    assert (answer.code, answer.out) == (0, b"out.jpg\n")
    assert opened((tmp_path / "out.jpg").read_bytes()).format == "JPEG"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jpg"]
    again = derain(picture(), "-", "-o", "out.jpg")
    assert (again.code, again.err) == (1, "dfrestore: out.jpg: exists already; --overwrite replaces it\n")
    assert derain(picture(), "-", "-o", "out.jpg", "--overwrite").code == 0


def test_a_file_goes_to_standard_output(derain: Run, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    answer = derain(b"", "a.png", "-o", "-")
    np.testing.assert_array_equal(np.asarray(opened(answer.out)), pixels())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_file_called_dash_is_reached_by_a_path(derain: Run, tmp_path: Path) -> None:
    (tmp_path / "-").write_bytes(picture())
    assert derain(b"", "./-", "-o", "out.png").code == 0
    assert (tmp_path / "out.png").exists()


def test_json_tells_of_a_file_made_from_standard_input(derain: Run) -> None:
    record, _ = derain(picture(), "-", "-o", "out.png", "--json").out.splitlines()
    assert (json.loads(record)["input"], json.loads(record)["output"]) == ("standard input", "out.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "-o", "-", "--json"], "--json and -o -"),
        (["-"], "-o"),
        (["-", "b.png", "-o", "-"], "name one INPUT"),
        (["a.png", "b.png", "-o", "-"], "name one INPUT"),
        ([".", "-o", "-"], "is a folder"),
        (["-", "-o", "."], "is a folder"),
        (["-", "-o", "new/"], "is a folder"),
        (["-", "-o", "out.gif"], "'.gif' is not written"),
        (["-", "-o", "out.png", "--format", "jpg"], "--format says JPEG"),
        (["-", "-o", "-", "--report", "page.html"], "--report"),
        (["-", "-o", "-", "--dry-run"], "--dry-run"),
        (["missing.png", "-o", "-"], "no such file"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    derain: Run, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    answer = derain(picture(), *arguments)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert words in answer.err
    assert "--json" in arguments or answer.out == b""


def test_a_terminal_gets_no_picture_and_is_not_waited_for(derain: Run) -> None:
    answer = derain(picture(), "-", "-o", "-", out=Terminal())
    assert (answer.code, answer.out) == (2, b"")
    assert "which is a terminal" in answer.err
    answer = derain(Terminal(), "-", "-o", "out.png")
    assert answer.code == 2
    assert "< photo.jpg" in answer.err


@pytest.mark.parametrize(
    ("given", "words"),
    [(b"", "the file is empty"), (b"no picture at all", "not a picture"), (picture()[:90], "damaged")],
)
def test_what_is_no_picture_is_one_line_and_nothing_comes_out(derain: Run, given: bytes, words: str) -> None:
    answer = derain(given, "-", "-o", "-")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.splitlines()[-1].startswith("dfrestore: standard input: ")
    assert words in answer.err


def test_a_full_disk_behind_standard_output_is_a_failure(derain: Run) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    answer = derain(picture(), "-", "-o", "-", out=Full())
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "dfrestore: standard output: cannot be written (No space left on device)"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently")
def test_a_reader_who_has_seen_enough_is_no_news(identity_model: Path) -> None:
    command = [sys.executable, "-m", "dfrestore", "derain", "-", "-o", "-", "--model", str(identity_model)]
    process = subprocess.Popen(
        [*command, "--precision", "fp32", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(picture())
    process.stdin.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
