"""A run over many files: every input gets one result, whatever goes wrong with it."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfrestore import photo
from dfrestore.restore import FileResult, Restorer, Settings, Started, plan_files, run_batch, triage
from dfrestore.restore.results import as_json
from dfrestore.restore.todo import Records, tidy

MakePhoto = Callable[..., Path]


@pytest.fixture(scope="module")
def restorer(identity_model: Path) -> Restorer:
    return Restorer.from_pretrained("derain", identity_model, precision="fp32")


SETTINGS = Settings("derain", "sha", steps=1)


def run(
    restorer: Restorer, source: Path, out: Path, settings: Settings = SETTINGS, **options: bool
) -> list[FileResult]:
    """A whole run over a folder; results in the order of the inputs."""
    records = Records()
    plan = plan_files([source], out, "derain", fmt=settings.format)
    todo, settled = triage(
        plan.jobs, settings, records, overwrite=options.get("overwrite", False), lone=len(plan.jobs) == 1
    )
    events = run_batch(todo, restorer, settings, records)
    results = [*settled, *(event for event in events if isinstance(event, FileResult))]
    return sorted(results, key=lambda result: result.input)


def statuses(results: list[FileResult]) -> list[str]:
    return [result.status for result in results]


def test_every_picture_is_restored_and_told(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    results = run(restorer, photo_folder, tmp_path / "out")
    assert statuses(results) == ["done"] * 4
    first = results[0]
    assert first.output == tmp_path / "out" / "a.png"
    assert (first.size, first.steps, first.seed, first.precision) == ((24, 16), 1, 0, "fp32")
    assert first.seconds > 0
    assert "whole image" in str(first.plan)
    assert np.array_equal(Image.open(first.output), Image.open(first.input))


def test_a_broken_file_is_one_failure_and_the_rest_is_done(
    restorer: Restorer, photo_folder: Path, tmp_path: Path
) -> None:
    (photo_folder / "aa.jpg").write_bytes(b"no picture")
    results = run(restorer, photo_folder, tmp_path / "out")
    assert statuses(results) == ["done", "failed", "done", "done", "done"]
    assert "aa.jpg" in str(results[1].error)
    assert not (tmp_path / "out" / "aa.jpg").exists()


def test_a_second_run_skips_what_is_done(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    run(restorer, photo_folder, tmp_path / "out")
    assert statuses(run(restorer, photo_folder, tmp_path / "out")) == ["skipped"] * 4


def test_a_changed_input_is_redone(
    restorer: Restorer, photo_folder: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    run(restorer, photo_folder, tmp_path / "out")
    make_photo(photo_folder / "a.png", 99)
    assert statuses(run(restorer, photo_folder, tmp_path / "out")) == ["done", "skipped", "skipped", "skipped"]
    assert np.array_equal(Image.open(tmp_path / "out" / "a.png"), Image.open(photo_folder / "a.png"))


def test_outputs_of_other_settings_are_left(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    run(restorer, photo_folder, tmp_path / "out")
    before = (tmp_path / "out" / "a.png").stat()
    results = run(restorer, photo_folder, tmp_path / "out", replace(SETTINGS, steps=2))
    assert statuses(results) == ["left"] * 4
    assert results[0].error == "made with other settings"
    assert (tmp_path / "out" / "a.png").stat() == before


def test_overwrite_redoes_everything(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    run(restorer, photo_folder, tmp_path / "out")
    results = run(restorer, photo_folder, tmp_path / "out", replace(SETTINGS, steps=2), overwrite=True)
    assert statuses(results) == ["done"] * 4
    assert statuses(run(restorer, photo_folder, tmp_path / "out", replace(SETTINGS, steps=2))) == ["skipped"] * 4


def test_a_foreign_output_is_left(
    restorer: Restorer, photo_folder: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    mine = make_photo(tmp_path / "out" / "a.png", 42).read_bytes()
    assert statuses(run(restorer, photo_folder, tmp_path / "out")) == ["left", "done", "done", "done"]
    assert (tmp_path / "out" / "a.png").read_bytes() == mine


def test_an_output_that_appears_during_the_run_is_not_replaced(
    restorer: Restorer, photo_folder: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    records = Records()
    todo, _ = triage(plan_files([photo_folder], tmp_path / "out", "derain").jobs, SETTINGS, records,
                     overwrite=False, lone=False)  # fmt: skip
    mine = make_photo(tmp_path / "out" / "a.png", 42).read_bytes()
    results = [event for event in run_batch(todo, restorer, SETTINGS, records) if isinstance(event, FileResult)]
    assert statuses(results) == ["failed", "done", "done", "done"]
    assert (tmp_path / "out" / "a.png").read_bytes() == mine


def test_two_runs_over_one_folder_at_once_make_each_output_once(
    restorer: Restorer, photo_folder: Path, tmp_path: Path
) -> None:
    plan = plan_files([photo_folder], tmp_path / "out", "derain")
    first, second = (
        run_batch(triage(plan.jobs, SETTINGS, mine, overwrite=False, lone=False)[0], restorer, SETTINGS, mine)
        for mine in (Records(), Records())
    )
    early = [next(first), next(second)]  # both have begun with the same picture
    assert [event.job.input.name for event in early if isinstance(event, Started)] == ["a.png", "a.png"]
    assert statuses([event for event in first if isinstance(event, FileResult)]) == ["done"] * 4
    assert statuses([event for event in second if isinstance(event, FileResult)]) == ["skipped"] * 4
    assert len((tmp_path / "out" / ".dfrestore.jsonl").read_text().splitlines()) == 4


def test_an_output_is_recorded_before_it_has_its_name(
    restorer: Restorer, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "out" / ".dfrestore.jsonl"
    known: list[int] = []
    link = os.link
    monkeypatch.setattr(os, "link", lambda *a: (known.append(len(record.read_text().splitlines())), link(*a)))
    run(restorer, photo_folder, tmp_path / "out")
    assert known == [1, 2, 3, 4]


def test_what_someone_else_names_first_is_theirs(
    restorer: Restorer, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: str, target: Path) -> None:
        if target.name == "b.jpg":
            target.write_bytes(b"mine")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert statuses(run(restorer, photo_folder, tmp_path / "out")) == ["done", "failed", "done", "done"]
    assert (tmp_path / "out" / "b.jpg").read_bytes() == b"mine"


def test_the_format_and_quality_asked_for_are_written(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    run(restorer, photo_folder / "sub", tmp_path / "out", replace(SETTINGS, format="JPEG", quality=50))
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        assert image.format == "JPEG"


def test_a_picture_larger_than_the_limit_is_a_failure(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    records = Records()
    jobs = plan_files([photo_folder / "a.png"], tmp_path / "out.png", "derain").jobs
    (result,) = run_batch(jobs, restorer, SETTINGS, records, max_pixels=100)
    assert isinstance(result, FileResult)
    assert result.status == "failed"
    assert "--max-pixels" in str(result.error)


def test_an_input_that_vanishes_is_a_failure(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    jobs = plan_files([photo_folder], tmp_path / "out", "derain").jobs
    (photo_folder / "a.png").unlink()
    results = [e for e in run_batch(jobs, restorer, SETTINGS, Records()) if isinstance(e, FileResult)]
    assert statuses(results) == ["failed", "done", "done", "done"]


def test_a_folder_that_cannot_be_made_fails_each_of_its_files(
    restorer: Restorer, photo_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_bytes(b"a file in the way")
    assert statuses(run(restorer, photo_folder, tmp_path / "out")) == ["done", "done", "failed", "failed"]


def test_warnings_of_a_photo_are_handed_on(restorer: Restorer, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "two.tif", save_all=True, append_images=frames[1:])
    (result,) = run(restorer, tmp_path / "in", tmp_path / "out")
    assert any("1 of 2" in warning for warning in result.warnings)


def test_closing_the_run_in_the_middle_leaves_whole_files_only(
    restorer: Restorer, photo_folder: Path, tmp_path: Path
) -> None:
    jobs = plan_files([photo_folder], tmp_path / "out", "derain").jobs
    events = run_batch(jobs, restorer, SETTINGS, Records())
    assert isinstance(events, Iterator)
    for event in events:
        if isinstance(event, Started) and event.job.input.name == "b.jpg":
            break
    events.close()  # type: ignore[attr-defined]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".dfrestore.jsonl", "a.png"]
    assert statuses(run(restorer, photo_folder, tmp_path / "out")) == ["skipped", "done", "done", "done"]


def test_temporary_files_of_dead_runs_are_removed(photo_folder: Path, tmp_path: Path) -> None:
    jobs = plan_files([photo_folder], tmp_path / "out", "derain").jobs
    (tmp_path / "out").mkdir()
    photo.atomic_write(tmp_path / "out" / "probe.png", b"x")
    stale = tmp_path / "out" / ".a.png.00000000-1-00000000.dfrestore-tmp"
    stale.write_bytes(b"half a pic")
    tidy(jobs)
    assert not stale.exists()
    assert (tmp_path / "out" / "probe.png").exists()


def test_a_picture_is_let_go_before_the_next_is_read(
    restorer: Restorer, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        make_photo(tmp_path / "in" / f"{number}.png", number)
    alive: list[weakref.ref[np.ndarray]] = []  # type: ignore[type-arg]
    read = photo.read

    def watched(path: Path, **options: int) -> photo.Photo:
        gc.collect()
        assert not any(reference() is not None for reference in alive)
        taken = read(path, **options)
        alive.append(weakref.ref(taken.rgb))
        return taken

    monkeypatch.setattr(photo, "read", watched)
    assert statuses(run(restorer, tmp_path / "in", tmp_path / "out")) == ["done"] * 3
    assert len(alive) == 3


def test_a_record_that_cannot_be_written_is_a_warning(restorer: Restorer, photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / ".dfrestore.jsonl").mkdir(parents=True)
    results = run(restorer, photo_folder, tmp_path / "out")
    assert statuses(results) == ["done"] * 4
    (warning,) = [warning for result in results for warning in result.warnings]  # once, not for each file
    assert "cannot be written" in warning


def test_an_output_whose_name_is_too_long_is_a_failure_of_that_file(
    restorer: Restorer, tmp_path: Path, make_photo: MakePhoto
) -> None:
    make_photo(tmp_path / "in" / "a.png")
    make_photo(tmp_path / "in" / f"{'y' * 250}.png")
    plan = plan_files([tmp_path / "in"], None, "derain")
    todo, _ = triage(plan.jobs, SETTINGS, records := Records(), overwrite=False, lone=False)
    results = [event for event in run_batch(todo, restorer, SETTINGS, records) if isinstance(event, FileResult)]
    assert statuses(results) == ["done", "failed"]
    assert "choose a shorter name" in str(results[1].error)


def test_the_json_object_of_a_result_holds_what_the_contract_names() -> None:
    done = as_json(FileResult("done", Path("a"), Path("b"), (3, 2), 1.23456, "m", 0, 1, "fp32", "whole", ("w",)))
    assert {"input", "output", "size", "seconds", "model", "seed", "plan", "warnings"} <= done.keys()
    assert (done["input"], done["size"], done["warnings"]) == ("a", [3, 2], ["w"])
    assert "error" not in done
    assert as_json(FileResult("failed", Path("a"), error="why"))["error"] == "why"


@pytest.mark.skipif(os.name == "nt", reason="names with line breaks need POSIX")
@pytest.mark.parametrize("name", ["a\nb.png", "雨 ä.png", "-o.png"])
def test_any_file_name_works(restorer: Restorer, tmp_path: Path, make_photo: MakePhoto, name: str) -> None:
    make_photo(tmp_path / "in" / name)
    make_photo(tmp_path / "in" / "other.png")
    assert statuses(run(restorer, tmp_path / "in", tmp_path / "out")) == ["done"] * 2
    assert statuses(run(restorer, tmp_path / "in", tmp_path / "out")) == ["skipped"] * 2
    assert (tmp_path / "out" / name).is_file()


# -- settings


def test_records_of_before_there_were_ensembles_stay_true() -> None:
    """Hashes as the version without ensemble and keep_color wrote them."""
    assert Settings("derain", "sha", steps=1).hash == "27507febd9eaad87"
    assert Settings("derain", "sha", steps=4, seed=3, strength=0.5, tile=0).hash == "7bebaca64f45d54a"


def test_an_ensemble_and_kept_colours_are_other_settings() -> None:
    hashes = {
        replace(SETTINGS, **change).hash for change in ({}, {"ensemble": 2}, {"ensemble": 3}, {"keep_color": True})
    }
    assert len(hashes) == 4
