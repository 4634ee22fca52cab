"""What ``--name`` may say, and what results are called by it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfrestore.errors import UsageError
from dfrestore.restore import plan_files
from dfrestore.restore.name_template import FIELDS, NameTemplate, checked_template, model_word

MakePhoto = Callable[..., Path]
VALUES = {"task": "derain", "model": "compact", "steps": "4", "seed": "7"}


def template(text: str) -> NameTemplate:
    return NameTemplate(checked_template(text), lambda: VALUES)


def outputs(root: Path, *inputs: Path, name: str, **options: object) -> list[str]:
    plan = plan_files(inputs, options.pop("out", None), "derain", template=template(name), **options)  # type: ignore[arg-type]
    return [str(job.output.relative_to(root)) for job in plan.jobs]


def test_fields_stand_for_what_is_known_before_a_photo_is_read() -> None:
    assert template("{stem}_{task}-{model}_{steps}x_{seed}").of("a") == "a_derain-compact_4x_7"
    assert template("{{{stem}}}").of("a") == "{a}"


@given(st.text(min_size=1).filter(lambda text: "/" not in text))
def test_what_a_photo_is_called_is_never_read_as_a_template(stem: str) -> None:
    assert template("{stem}_{task}").of(stem) == f"{stem}_derain"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{name}", r"unknown field 'name' \(known: \{stem\}, \{task\}, \{model\}, \{steps\}, \{seed\}\)"),
        ("{tsk}", "did you mean 'task'"),
        ("{n}", "unknown field 'n'"),
        ("{}", "unknown field ''"),
        ("{0}", "unknown field '0'"),
        ("{stem.__class__}", "unknown field"),
        ("{stem", "a brace stands alone"),
        ("stem}", "a brace stands alone"),
        ("{seed:04}", "without ':' and '!'"),
        ("{stem!r}", "without ':' and '!'"),
        (f"..{os.sep}{{stem}}", "cannot name a folder"),
        (f"{{stem}}{os.sep}a", "cannot name a folder"),
        (".{stem}", "would be hidden"),
        ("..", "would be hidden"),
        ("{stem}.png", "leave the ending out"),
        ("{stem}.JPEG", "--format JPEG"),
    ],
)
def test_anything_else_is_wrong_usage(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked_template(text)


def test_all_fields_are_accepted() -> None:
    for field in FIELDS:
        checked_template(f"{{{field}}}")


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("derain/compact", "compact"),
        ("runs/try/model.safetensors", "model"),
        (r"C:\runs\mine.safetensors", "mine"),
        ("hf://org/repo/derain.v2.safetensors@1234", "derain.v2"),
    ],
)
def test_a_model_is_named_without_what_leads_to_it(label: str, word: str) -> None:
    assert model_word(label) == word


def test_the_ending_follows_from_format_or_the_input(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "a.jpeg")
    assert outputs(tmp_path, photo, name="{stem}-dry") == ["a-dry.jpeg"]
    assert outputs(tmp_path, photo, name="{stem}-dry", fmt="PNG") == ["a-dry.png"]
    assert outputs(tmp_path, photo, name="v1.5_{stem}", fmt="PNG") == ["v1.5_a.png"]


def test_names_hold_in_folders_and_the_tree_is_mirrored(tmp_path: Path, photo_folder: Path) -> None:
    found = outputs(tmp_path, photo_folder, name="{stem}_{seed}", out=tmp_path / "out")
    assert found == ["out/a_7.png", "out/b_7.jpg", "out/sub/a_7.png", "out/sub/deep/c_7.tif"]


def test_two_photos_of_one_name_are_found_before_the_first_is_touched(tmp_path: Path, photo_folder: Path) -> None:
    photos = [photo_copy(photo_folder, name) for name in ("c1.png", "c2.png")]
    with pytest.raises(UsageError, match=r"both .*c1\.png and .*c2\.png would be written here.* different --name"):
        outputs(tmp_path, *photos, name="{task}", out=tmp_path / "o")


def photo_copy(folder: Path, name: str) -> Path:
    (folder / name).write_bytes((folder / "a.png").read_bytes())
    return folder / name


def test_a_result_never_replaces_its_input(tmp_path: Path, make_photo: MakePhoto) -> None:
    with pytest.raises(UsageError, match="would replace an input; choose another --name"):
        outputs(tmp_path, make_photo(tmp_path / "a.png"), name="{stem}")


def test_a_name_and_an_output_file_contradict(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "a.png")
    with pytest.raises(UsageError, match="names the result, and so does --name"):
        outputs(tmp_path, photo, name="{stem}-dry", out=tmp_path / "b.png")
    assert outputs(tmp_path, photo, name="{stem}-dry", out=f"{tmp_path}/new/") == ["new/a-dry.png"]


def test_results_beside_their_inputs_are_not_taken_again(tmp_path: Path, make_photo: MakePhoto) -> None:
    for name in ("a.png", "a-dry.png", "b.png", "lonely-dry.png"):
        make_photo(tmp_path / name)
    assert outputs(tmp_path, tmp_path, name="{stem}-dry") == ["a-dry.png", "b-dry.png", "lonely-dry-dry.png"]


def test_values_are_asked_for_after_the_inputs_were_looked_at(tmp_path: Path) -> None:
    def values() -> dict[str, str]:
        raise AssertionError("a model would be fetched")

    with pytest.raises(UsageError, match="no such file"):
        plan_files([tmp_path / "none.png"], None, "derain", template=NameTemplate("{model}", values))
