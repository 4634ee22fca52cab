"""What is done already: the record of a folder and the verdict on each job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dfrestore.photo.mask_source import RectMask
from dfrestore.photo.region import Region
from dfrestore.restore import Job, Settings
from dfrestore.restore.record import NAME, OwnRecord, Record, Stamp, verdict
from dfrestore.restore.results import Masking

MakePhoto = Callable[..., Path]
SETTINGS = "0123456789abcdef"


@pytest.fixture
def job(tmp_path: Path, make_photo: MakePhoto) -> Job:
    """A job whose output has been made and recorded."""
    source = make_photo(tmp_path / "a.png")
    output = make_photo(tmp_path / "out" / "a.png")
    Record(output.parent).add(output, Stamp.of(source), SETTINGS)
    return Job(source, output, output.parent)


def judge(job: Job, settings: str = SETTINGS) -> str:
    assert job.record is not None
    return verdict(job, Record(job.record), settings)


def test_a_recorded_output_is_done(job: Job) -> None:
    assert judge(job) == "done"


def test_a_missing_output_is_to_do_whatever_the_record_says(job: Job) -> None:
    job.output.unlink()
    assert judge(job) == "todo"


def test_an_output_that_was_recorded_but_never_got_its_name_is_to_do(tmp_path: Path, make_photo: MakePhoto) -> None:
    source, output = make_photo(tmp_path / "a.png"), tmp_path / "out.png"
    Record(tmp_path).add(output, Stamp.of(source), SETTINGS, 42)
    assert judge(Job(source, output, tmp_path)) == "todo"


def test_a_changed_input_is_to_do(job: Job) -> None:
    os.utime(job.input, ns=(1, 1))
    assert judge(job) == "todo"


def test_a_changed_input_whose_output_was_edited_since_is_left(job: Job) -> None:
    os.utime(job.input, ns=(1, 1))
    job.output.write_bytes(b"retouched by hand")
    assert judge(job) == "edited"


def test_other_settings_leave_the_output(job: Job) -> None:
    assert judge(job, "fedcba9876543210") == "other-settings"


def test_a_preview_is_replaced_by_another_one_of_the_photo_as_long_as_it_is_as_it_was_written(
    job: Job, tmp_path: Path, make_photo: MakePhoto
) -> None:
    first, other = (Settings("derain", "s", 1, preview=Region(x, 0, 8, 8)).hash for x in (0, 1))
    assert judge(job, first) == "other-settings"  # a whole result
    Record(job.output.parent).add(job.output, Stamp.of(job.input), first)
    assert [judge(job, settings) for settings in (first, other)] == ["done", "preview"]
    assert judge(job) == "other-settings"  # for a whole result
    elsewhere = make_photo(tmp_path / "other" / "a.png", 7, (32, 32))
    assert judge(Job(elsewhere, job.output, job.record), other) == "other-input"
    make_photo(job.input, 3, (30, 20))
    assert judge(job, first) == "preview"
    job.output.write_bytes(b"retouched by hand")
    assert judge(job, other) == "other-settings"


def test_an_input_that_only_moved_is_the_same(job: Job, tmp_path: Path) -> None:
    moved = job.input.rename(tmp_path / "moved.png")
    assert judge(Job(moved, job.output, job.record)) == "done"


def test_another_input_of_the_same_name_does_not_replace_the_output(
    job: Job, tmp_path: Path, make_photo: MakePhoto
) -> None:
    other = make_photo(tmp_path / "other" / "a.png", 7, (32, 32))
    assert judge(Job(other, job.output, job.record)) == "other-input"


def test_an_output_that_is_not_recorded_is_foreign(tmp_path: Path, make_photo: MakePhoto) -> None:
    source, output = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "out" / "a.png")
    assert judge(Job(source, output, output.parent)) == "foreign"


def test_the_last_word_on_an_output_counts(job: Job) -> None:
    Record(job.output.parent).add(job.output, Stamp.of(job.input), "other")
    assert judge(job) == "other-settings"


@pytest.mark.parametrize(
    "torn",
    [
        b'{"output": "b.png", "inp',
        b"\x00\xff\n",
        b"[]\n",
        b"7\n",
        b'{"output": 3}\n',
        b'{"output": "b", "input": "b", "size": Infinity}\n',
        b"[" * 9999,
    ],
)
def test_torn_and_foreign_lines_are_passed_over(job: Job, torn: bytes) -> None:
    path = job.output.parent / NAME
    path.write_bytes(path.read_bytes() + torn)
    assert judge(job) == "done"


def test_several_processes_append_whole_lines_to_one_record(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from dfrestore.restore.record import Record, Stamp

folder, mine = Path(sys.argv[1]), sys.argv[2]
record, source = Record(folder), folder / (mine * 200)
source.touch()
print("ready", flush=True)
sys.stdin.read(1)
for _ in range(100):
    record.add(source, Stamp.of(source), mine)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [subprocess.Popen([sys.executable, "-c", program, tmp_path, name], **pipes) for name in "abcd"]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:  # all at once
        assert process.stdin is not None
        process.stdin.close()
    for process in running:
        with process:
            assert process.wait() == 0
    written = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert Counter(line["settings"] for line in written) == dict.fromkeys("abcd", 100)
    assert all(line["output"] == line["settings"] * 200 for line in written)


def test_what_another_run_appended_is_known_after_reading_again(job: Job) -> None:
    mine = Record(job.output.parent)
    Record(job.output.parent).add(job.output, Stamp.of(job.input), "other")
    assert verdict(job, mine, SETTINGS) == "done"
    mine.refresh()
    assert verdict(job, mine, SETTINGS) == "other-settings"


def test_a_torn_last_line_does_not_swallow_the_next_one(job: Job, tmp_path: Path, make_photo: MakePhoto) -> None:
    path = job.output.parent / NAME
    path.write_bytes(path.read_bytes()[:-9])
    assert judge(job) == "foreign"
    Record(job.output.parent).add(job.output, Stamp.of(job.input), SETTINGS)
    assert judge(job) == "done"


@pytest.mark.parametrize("name", ["a\nb.png", "ä ö 雨.png", "\udcff.png"])
def test_any_file_name_is_kept(tmp_path: Path, make_photo: MakePhoto, name: str) -> None:
    source = make_photo(tmp_path / "in.png")
    output = tmp_path / name
    output.write_bytes(source.read_bytes())
    Record(tmp_path).add(output, Stamp.of(source), SETTINGS)
    assert judge(Job(source, output, tmp_path)) == "done"


def test_settings_that_change_the_result_change_the_hash() -> None:
    plain = Settings("derain", "sha", 4)
    others = [
        Settings("denoise", "sha", 4),
        Settings("derain", "other", 4),
        Settings("derain", "sha", 5),
        Settings("derain", "sha", 4, seed=1),
        Settings("derain", "sha", 4, strength=0.5),
        Settings("derain", "sha", 4, format="PNG"),
        Settings("derain", "sha", 4, quality=90),
        Settings("derain", "sha", 4, strip_metadata=True),
        Settings("derain", "sha", 4, window="global"),
        Settings("derain", "sha", 4, tile=256),
        Settings("derain", "sha", 4, preview=Region(0, 0, 8, 8)),
        Settings("derain", "sha", 4, preview=Region(0, 1, 8, 8)),
        Settings("derain", "sha", 4, masking=Masking(regions=(Region(0, 0, 8, 8),))),
        Settings("derain", "sha", 4, masking=Masking(regions=(Region(0, 0, 8, 9),))),
        Settings("derain", "sha", 4, masking=Masking(regions=(Region(0, 0, 8, 8), Region(9, 9, 8, 8)))),
    ]
    assert plain.hash == Settings("derain", "sha", 4).hash
    assert len({plain.hash, *(other.hash for other in others)}) == 1 + len(others)


# --- records of version 0.1.0, before masks ---


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        (Settings("derain", "0" * 64, 1), "44bb39498defbcd0"),
        (
            Settings(
                "denoise",
                "ab" * 32,
                4,
                seed=7,
                precision="bf16",
                window="384@2",
                tile=256,
                strength=0.5,
                format="PNG",
                quality=90,
                strip_metadata=True,
            ),
            "e8e29fda02ff89ff",
        ),
        (Settings("deblur", "c" * 64, 2, ensemble=4, keep_color=True, window=384), "df7e58dcb713d969"),
        # before regions
        (
            Settings("inpaint", "d" * 64, 4, masking=Masking((RectMask(1, 2, 3, 4),), dilate=2)),
            "d182be1f8bc986a7",
        ),
    ],
)
def test_settings_have_the_hash_they_always_had(settings: Settings, known: str) -> None:
    assert settings.hash == known


def test_a_folder_finished_by_an_earlier_version_is_done(tmp_path: Path) -> None:
    source, output = tmp_path / "a.png", tmp_path / "out" / "a.png"
    output.parent.mkdir()
    source.write_bytes(b"x" * 1234)
    os.utime(source, ns=(1, 1700000000123456789))
    output.write_bytes(b"y" * 77)
    line = (
        '{"output": "a.png", "input": "/photos/a.png", "size": 1234, "mtime_ns": 1700000000123456789, '
        '"settings": "44bb39498defbcd0", "bytes": 77}\n'
    )
    (output.parent / NAME).write_text(line)
    job = Job(source, output, output.parent)
    assert judge(job, Settings("derain", "0" * 64, 1).hash) == "done"
    assert judge(job, Settings("derain", "0" * 64, 2).hash) == "other-settings"


# -- of files that were named


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, still missing."""
    monkeypatch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_outputs_anywhere_are_recorded_in_the_cache_folder(own: Path, tmp_path: Path, make_photo: MakePhoto) -> None:
    source, output = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "far" / "b.png")
    OwnRecord().add(output, Stamp.of(source), SETTINGS)
    assert verdict(Job(source, output, None), OwnRecord(), SETTINGS) == "done"
    assert verdict(Job(source, tmp_path / "a.png", None), OwnRecord(), SETTINGS) == "foreign"
    assert [path.name for path in own.iterdir()] == ["finished.jsonl"]
    assert [path.name for path in output.parent.iterdir()] == ["b.png"]


def test_another_file_in_the_outputs_place_is_foreign(own: Path, tmp_path: Path, make_photo: MakePhoto) -> None:
    source, output = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png")
    OwnRecord().add(output, Stamp.of(source), SETTINGS)
    output.write_bytes(b"of someone else")
    assert verdict(Job(source, output, None), OwnRecord(), SETTINGS) == "foreign"


def test_the_record_in_the_cache_folder_does_not_grow_for_ever(
    own: Path, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnRecord, "most_bytes", 2000)
    source, output = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png")
    stamp = Stamp.of(source)
    for number in range(40):
        OwnRecord().add(tmp_path / f"{number}.png", stamp, SETTINGS, 1)
    OwnRecord().add(output, stamp, SETTINGS)
    lines = (own / "finished.jsonl").read_bytes().splitlines()
    assert sum(map(len, lines)) < 3000
    assert [json.loads(line)["output"] for line in lines][-2:] == [str(tmp_path / "39.png"), str(output)]
    assert verdict(Job(source, output, None), OwnRecord(), SETTINGS) == "done"
