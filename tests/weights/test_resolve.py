from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from dfrestore.errors import DfrestoreError, UsageError, WeightsError
from dfrestore.weights import ModelSpec, Registry, load_checkpoint, load_registry, resolve, save_checkpoint
from dfrestore.weights.registry_file import parse_registry


@pytest.fixture
def registry(tmp_path: Path, checkpoint: Path, tensors: dict, spec: ModelSpec) -> Registry:
    """A package's: derain/compact (bundled, the default), derain/large, denoise/compact, and the true originals."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    text = '[defaults]\nderain = "compact"\ndenoise = "compact"\ndeblur = "compact"\n'
    for task, name in (("derain", "compact"), ("derain", "large"), ("denoise", "compact")):
        path = folder / f"{task}-{name}.safetensors"
        digest = save_checkpoint(path, tensors, replace(spec, task=task))
        text += f'[models."{task}/{name}"]\ntask = "{task}"\nmethod = "c2f-dft"\nsource = "bundled:{path.name}"\n'
        text += f'size = {path.stat().st_size}\nsha256 = "{digest}"\n'
    (tmp_path / "weights.toml").write_text(text)
    packaged = load_registry(user=False)
    found = parse_registry(tmp_path / "weights.toml", packaged=True, folder=folder)
    return replace(found, originals=packaged.originals, aliases=packaged.aliases)


def refusal(
    name: str | Path | None,
    registry: Registry,
    task: str | None = "derain",
    kind: type[DfrestoreError] = UsageError,
) -> str:
    """kind: UsageError for what does not exist at all, WeightsError for a model that is known and not here."""
    with pytest.raises(kind) as error:
        resolve(name, task=task, registry=registry)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", [None, "compact", "derain/compact"])
def test_the_default_a_short_and_a_full_name_mean_the_same_model(name: str | None, registry: Registry) -> None:
    found = resolve(name, task="derain", registry=registry)
    assert found.label == "derain/compact"
    assert found.entry is registry.models["derain/compact"]
    assert found.path.name == "derain-compact.safetensors"
    assert found.warnings == ()
    load_checkpoint(found.path, sha256=found.sha256)


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        *((factor, "derain/compact") for factor in (None, 2.5, 4, 16)),
        *((factor, "derain/x2") for factor in (1, 1.5, 2, Decimal(2))),
    ],
)
def test_the_model_that_enlarges_least_but_enough_stands_in_for_the_default(
    factor: float | None, name: str, registry: Registry
) -> None:
    default = replace(registry.models["derain/compact"], scale=4)
    others = {"derain/x2": replace(default, name="derain/x2", scale=2), "derain/other": replace(default, scale=0)}
    models = {**registry.models, "derain/compact": default, **others}
    known = replace(registry, models=models)
    assert resolve(None, task="derain", registry=known, factor=factor).label == name
    assert resolve("compact", task="derain", registry=known, factor=factor).label == "derain/compact"


def test_a_short_name_is_of_the_task_asked_for(registry: Registry) -> None:
    assert resolve("compact", task="denoise", registry=registry).label == "denoise/compact"


def test_without_a_task_a_short_name_must_be_unique(registry: Registry) -> None:
    assert resolve("large", registry=registry).label == "derain/large"
    assert "could be derain/compact or denoise/compact" in refusal("compact", registry, task=None)


def test_without_a_name_and_a_task_the_models_are_listed(registry: Registry) -> None:
    assert "which model? (there is: denoise/compact, derain/compact, derain/large)" in refusal(None, registry, None)


def test_a_file_is_taken_as_it_is(checkpoint: Path, registry: Registry) -> None:
    for name in (checkpoint, str(checkpoint)):
        found = resolve(name, task="derain", registry=registry)
        assert (found.path, found.entry, found.sha256) == (checkpoint, None, None)


def test_a_registered_name_wins_over_a_file_and_a_dot_means_the_file(
    checkpoint: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    checkpoint.rename("compact")
    assert resolve("compact", task="derain", registry=registry).entry is not None
    assert resolve("./compact", task="derain", registry=registry).path == Path("compact")


def test_a_file_without_a_suffix_is_found(
    checkpoint: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    checkpoint.rename("mine")
    assert resolve("mine", task="derain", registry=registry).path == Path("mine")


def test_a_mistyped_name_gets_the_nearest_and_the_list(registry: Registry) -> None:
    message = refusal("compct", registry)
    assert message.startswith("unknown model 'compct': did you mean 'compact'?")
    assert "(there is: derain/compact, derain/large)" in message
    assert "did you mean 'derain/large'?" in refusal("derain/lage", registry)


def test_a_missing_file_says_so(registry: Registry, tmp_path: Path) -> None:
    assert "no such file" in refusal("none.safetensors", registry)
    assert "no such file" in refusal(str(tmp_path / "none"), registry)


def test_a_model_for_another_task_is_refused_with_both_named(checkpoint: Path, registry: Registry) -> None:
    for name in ("denoise/compact", "derain/compact"):
        other = "denoise" if name.startswith("derain") else "derain"
        message = refusal(name, registry, other)
        assert "derain" in message
        assert "denoise" in message
    assert f"{checkpoint} is a model for derain, not for denoise" in refusal(checkpoint, registry, "denoise")


@pytest.mark.parametrize(
    ("task", "folder"),
    [
        ("derain", "18dVkwv9WUBXMaCLtsuzA4TYURDtW_DxG"),
        ("deblur", "1Xr6SigGj8AdvwSapqxfWWtRDU7KTPMem"),
        ("denoise", "1jIDur6-7gob1pyq247FGRxQcZrdnUlVg"),
    ],
)
def test_the_authors_model_is_not_there_and_the_way_to_it_is_said(task: str, folder: str, registry: Registry) -> None:
    for name in ("full", f"{task}/full", "c2f-dft", f"{task}/c2f-dft"):
        message = refusal(name, registry, task, WeightsError)
        assert message.startswith(f"'{name}' is the authors' own model, which is not shipped")
        assert "https://github.com/wlydlut/C2F-DFT" in message
        assert f"https://drive.google.com/drive/folders/{folder} (linked from " in message
        assert "licence: unknown (the authors state none)" in message
        assert re.search(rf"'dfrestore weights convert net_g_\w+_fine\.pth --task {task}'$", message)


def test_the_authors_model_without_a_task_is_explained_for_all_of_theirs(registry: Registry) -> None:
    message = refusal("full", registry, None, WeightsError)
    assert "https://github.com/wlydlut/C2F-DFT" in message
    assert message.endswith("'dfrestore weights convert FILE.pth --task derain|deblur|denoise'")


@pytest.fixture
def with_theirs(registry: Registry) -> Registry:
    """The registry after the authors' model for rain was converted."""
    entry = replace(registry.models["derain/large"], name="derain/c2f-dft")
    return replace(registry, models={**registry.models, "derain/c2f-dft": entry})


@pytest.mark.parametrize(("name", "task"), [("full", "derain"), ("derain/full", "derain"), ("full", None)])
def test_full_is_another_word_for_the_authors_model(name: str, task: str | None, with_theirs: Registry) -> None:
    assert resolve(name, task=task, registry=with_theirs).label == "derain/c2f-dft"


@pytest.mark.parametrize("name", ["full", "derain/full"])
def test_a_model_that_is_itself_called_full_wins(name: str, with_theirs: Registry) -> None:
    mine = replace(with_theirs.models["derain/large"], name="derain/full")
    models = {**with_theirs.models, "derain/full": mine}
    assert resolve(name, task="derain", registry=replace(with_theirs, models=models)).label == "derain/full"


def test_a_mistyped_name_of_an_original_gets_the_nearest(registry: Registry) -> None:
    assert "did you mean 'c2f-dft'?" in refusal("c2fdft", registry)
    assert "did you mean 'full'?" in refusal("ful", registry)


def test_the_authors_model_of_another_task_is_not_offered(registry: Registry) -> None:
    assert "'denoise/full' is for denoise, not for derain" in refusal("denoise/full", registry, "derain")


def test_a_task_that_the_authors_have_no_model_for_has_no_full_one(registry: Registry) -> None:
    assert refusal("dehaze/full", registry, None).startswith("unknown model 'dehaze/full'")


def test_a_default_that_has_not_shipped_is_said(registry: Registry) -> None:
    assert "there is no model 'deblur/compact' for deblur yet" in refusal(None, registry, "deblur", WeightsError)


def test_an_unknown_task_gets_the_nearest(registry: Registry) -> None:
    assert "unknown task 'deran': did you mean 'derain'?" in refusal(None, registry, "deran")


def test_a_missing_bundled_file_says_reinstall(registry: Registry) -> None:
    path = registry.models["derain/compact"].local_path
    assert path is not None
    path.unlink()
    assert refusal(None, registry, kind=WeightsError).endswith("reinstall dfrestore")


@pytest.mark.parametrize("damage", [b"", b"x"])
def test_a_damaged_bundled_file_says_reinstall(registry: Registry, damage: bytes) -> None:
    path = registry.models["derain/compact"].local_path
    assert path is not None
    content = path.read_bytes()
    path.write_bytes(content[:-1] + damage)
    message = refusal(None, registry, kind=WeightsError)
    assert str(path) in message
    assert message.endswith("reinstall dfrestore")


def test_a_user_s_entry_whose_file_is_gone_names_the_registry(config: Path) -> None:
    (config / "weights.toml").write_text(
        '[models."derain/mine"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "gone.safetensors"\n'
    )
    with pytest.raises(WeightsError, match=r"gone\.safetensors: missing, .*correct 'derain/mine' in .*weights\.toml"):
        resolve("mine", task="derain", registry=load_registry())


def test_an_entry_whose_file_is_for_another_task_is_refused(config: Path, checkpoint: Path) -> None:
    checkpoint.rename(config / "m.safetensors")
    (config / "weights.toml").write_text(
        '[models."deblur/mine"]\ntask = "deblur"\nmethod = "c2f-dft"\nsource = "m.safetensors"\n'
    )
    with pytest.raises(WeightsError, match="is a model for derain, not for deblur"):
        resolve("mine", task="deblur")


def test_names_are_resolved_without_torch(checkpoint: Path) -> None:
    code = (
        "import sys; from dfrestore.weights import resolve; resolve(sys.argv[1]);"
        "print('torch' in sys.modules, 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(checkpoint)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_file_that_only_others_build_on_is_no_model_for_a_command(
    tmp_path: Path, tensors: dict, spec: ModelSpec
) -> None:
    path = tmp_path / "prior.safetensors"
    save_checkpoint(path, tensors, replace(spec, task="texture"))
    with pytest.raises(UsageError, match=r"is a model for texture, not for derain: no command restores pictures"):
        resolve(path, task="derain")


def test_a_file_of_a_stage_that_makes_no_model_is_for_training_alone(
    tmp_path: Path, tensors: dict, spec: ModelSpec
) -> None:
    path = tmp_path / "s1.safetensors"
    save_checkpoint(path, tensors, replace(spec, stage="S1"))
    with pytest.raises(UsageError) as error:
        resolve(path, task="derain")
    assert str(error.value) == (
        f"{path} was made by the training stage 'S1', which makes no model to restore with; continue training "
        f"with 'dfrestore train derain --init-from {path}'"
    )
    assert resolve(path, task="derain", restoring=False).path == path
