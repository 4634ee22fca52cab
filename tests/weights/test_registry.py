from __future__ import annotations

from pathlib import Path

import pytest

from dfrestore.errors import WeightsError
from dfrestore.weights import load_registry, read_spec
from dfrestore.weights.base import check_entry
from dfrestore.weights.registry import config_folder, packaged_registry
from dfrestore.weights.registry_file import parse_registry
from dfrestore.weights.user_registry import register, source_for

DIGEST = "a" * 64
BUNDLED = f"""
[models."derain/compact"]
task = "derain"
method = "c2f-dft"
source = "bundled:derain-compact.safetensors"
sha256 = "{DIGEST}"
"""
MINE = """
[models."derain/mine"]
task = "derain"
method = "c2f-dft"
source = "models/mine.safetensors"
"""


def parse(tmp_path: Path, text: str, *, packaged: bool = False) -> Path:
    path = tmp_path / "weights.toml"
    path.write_text(text, "utf-8")
    parse_registry(path, packaged=packaged)
    return path


def refusal(tmp_path: Path, text: str, *, packaged: bool = False) -> str:
    with pytest.raises(WeightsError) as error:
        parse(tmp_path, text, packaged=packaged)
    message = str(error.value)
    assert str(tmp_path / "weights.toml") in message
    return message


def test_the_packaged_registry_is_valid_and_names_a_default_for_each_task() -> None:
    registry = parse_registry(packaged_registry(), packaged=True)
    assert set(registry.defaults) >= {"derain", "denoise", "deblur"}


def test_the_packaged_registry_names_the_base_that_is_in_a_model_s_header() -> None:
    registry = load_registry(user=False)
    for entry in registry.models.values():
        if entry.local_path is not None:
            spec = read_spec(entry.local_path)
            check_entry(entry, spec, registry)
            assert entry.base == (spec.base.name if spec.base else "")


def test_the_packaged_registry_says_where_the_authors_files_are_got() -> None:
    registry = parse_registry(packaged_registry(), packaged=True)
    assert set(registry.originals) >= {"derain/c2f-dft", "denoise/c2f-dft", "deblur/c2f-dft"}
    assert registry.aliases["full"] == "c2f-dft"
    rain = registry.originals["derain/c2f-dft"]
    assert (rain.task, rain.short_name, rain.file) == ("derain", "c2f-dft", "net_g_derain_fine.pth")


ORIGINAL = """
[originals."derain/one"]
file = "net.pth"
url = "https://example.org/folder"
project = "https://example.org"
licence = "MIT"
"""


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('file = "net.pth"\n', "", "original 'derain/one' lacks 'file'"),
        ('"MIT"', "3", "lacks 'licence', or it is not text"),
        (
            "https://example.org/folder",
            "ftp://example.org",
            "line 4: original 'derain/one': url 'ftp://example.org' is",
        ),
        ("url =", "urls =", "line 4: unknown key 'urls' in original 'derain/one': did you mean 'url'?"),
        ("derain/one", "one", "original 'one' is not TASK/METHOD"),
    ],
)
def test_what_is_wrong_with_an_original_is_said(tmp_path: Path, old: str, new: str, cause: str) -> None:
    parse(tmp_path, ORIGINAL)
    assert cause in refusal(tmp_path, ORIGINAL.replace(old, new))


@pytest.mark.parametrize("line", ['full = "derain/one"', "full = 3", '"a/b" = "one"'])
def test_an_alias_is_one_short_name_for_another(tmp_path: Path, line: str) -> None:
    assert "is not one short name for another" in refusal(tmp_path, f"[aliases]\n{line}\n")


def test_the_user_s_originals_and_aliases_are_merged(config: Path) -> None:
    (config / "weights.toml").write_text(f'{ORIGINAL}\n[aliases]\nbest = "one"\n')
    registry = load_registry()
    assert {"derain/one", "derain/c2f-dft"} <= set(registry.originals)
    assert {"best", "full"} <= set(registry.aliases)


def test_an_empty_file_is_an_empty_registry(tmp_path: Path) -> None:
    path = parse(tmp_path, "")
    assert parse_registry(path).models == {}


def test_an_entry_keeps_everything_that_is_written(tmp_path: Path) -> None:
    text = f"""
    [defaults]
    derain = "compact"
    [models."derain/compact"]
    task = "derain"
    method = "c2f-dft"
    source = "bundled:derain-compact.safetensors"
    size = 123
    sha256 = "{DIGEST.upper()}"
    licence = "Apache-2.0"
    data = "photos"
    note = "small"
    minutes = 60
    command = "dfrestore train derain"
    [models."derain/compact".scores."Rain100L"]
    psnr_y = 30.5
    command = "dfrestore evaluate"
    [[models."derain/compact".scores."Test100"]]
    psnr_y = 28
    command = "one"
    [[models."derain/compact".scores."Test100"]]
    psnr_y = 29
    command = "two"
    """
    registry = parse_registry(parse(tmp_path, text, packaged=True), packaged=True, folder=tmp_path / "bundled")
    entry = registry.models["derain/compact"]
    assert registry.defaults == {"derain": "derain/compact"}
    assert (entry.size, entry.sha256, entry.licence, entry.minutes) == (123, DIGEST, "Apache-2.0", 60)
    assert entry.local_path == tmp_path / "bundled" / "derain-compact.safetensors"
    assert entry.short_name == "compact"
    assert entry.scores["Rain100L"][0]["psnr_y"] == 30.5
    assert [row["command"] for row in entry.scores["Test100"]] == ["one", "two"]


def test_an_entry_may_name_the_model_that_it_builds_on(config: Path) -> None:
    (config / "weights.toml").write_text(f'{MINE}base = "derain/compact"\n')
    assert load_registry().models["derain/mine"].base == "derain/compact"


def test_a_base_that_no_registry_names_is_refused(config: Path) -> None:
    (config / "weights.toml").write_text(f'{MINE}base = "texture/nosuch"\n')
    with pytest.raises(WeightsError) as error:
        load_registry()
    expected = f"{config / 'weights.toml'}: 'derain/mine' builds on 'texture/nosuch', which has no table"
    assert str(error.value).startswith(expected)


def test_an_unknown_key_is_refused_with_the_line_and_the_nearest_name(tmp_path: Path) -> None:
    message = refusal(tmp_path, MINE + 'licens = "CC0"\n')
    assert "line 6" in message
    assert "unknown key 'licens' in model 'derain/mine': did you mean 'licence'?" in message
    assert "unknown key 'model': did you mean 'models'?" in refusal(tmp_path, "[model]\n")


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    assert "line 2" in refusal(tmp_path, "[models]\nx = = 1\n")


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match="not UTF-8"):
        parse_registry(tmp_path / "weights.toml")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('models = "x"', "models is not a table"),
        ('[models]\n"derain/x" = 1', "is not a table"),
        ('[models."Derain"]', "is not TASK/NAME"),
        ('[models."derain/x"]\ntask = "derain"', "lacks 'method'"),
        (MINE.replace('task = "derain"', 'task = "denoise"'), "has the task 'denoise'"),
        (MINE + "size = 1.5", "'size' is not a number of bytes"),
        (MINE + "size = true", "'size' is not a number of bytes"),
        (MINE + "size = " + "9" * 5000, "not valid TOML"),
        (MINE + "size = " + "[" * 5000, "not valid TOML"),
        (MINE + "minutes = nan", "'minutes' is not a number"),
        (MINE + 'sha256 = "abc"', "not 64 hexadecimal digits"),
        (MINE + 'base = "compact"', "'base' is not the full name of a model"),
        (MINE + "licence = 1", "'licence' is not text"),
        (MINE + "minutes = -1", "'minutes' is not a number"),
        (MINE + "[models.'derain/mine'.scores.Rain]\npsnr_y = 1", "lack the command"),
        (MINE + "[models.'derain/mine'.scores.Rain]\nx = [1]", "not a table of numbers"),
        (MINE.replace("models/mine", "../mine"), "holds '..'"),
        (MINE.replace("models/mine", "models/../../mine"), "holds '..'"),
        (MINE.replace("models/mine", "models\\\\..\\\\mine"), "holds '..'"),
        (BUNDLED, "'bundled:' is for the package's own registry"),
        (MINE.replace("models/mine.safetensors", "hf://org/repo/m.safetensors"), "needs '@REVISION'"),
        (MINE.replace("models/mine.safetensors", "hf://org/m.safetensors"), "is not hf://"),
        ('[defaults]\nderain = "denoise/compact"', "not the name of a model for derain"),
        ("[defaults]\nderain = 1", "not the name of a model"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    assert cause in refusal(tmp_path, text)


@pytest.mark.parametrize("name", ["../x.safetensors", "a/x.safetensors", ".x.safetensors", "/x.safetensors", "x.pth"])
def test_a_bundled_file_is_a_plain_file_name(tmp_path: Path, name: str) -> None:
    text = BUNDLED.replace("derain-compact.safetensors", name)
    assert "is not a plain file name" in refusal(tmp_path, text, packaged=True)


def test_the_packaged_registry_names_no_paths_and_needs_hashes(tmp_path: Path) -> None:
    assert "neither bundled:FILE nor hf://" in refusal(tmp_path, MINE, packaged=True)
    assert "needs a sha256" in refusal(tmp_path, BUNDLED.replace("sha256", "note"), packaged=True)


def test_the_configuration_folder_is_the_platform_s_unless_the_environment_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DFRESTORE_CONFIG_DIR", raising=False)
    assert config_folder().name == "dfrestore"
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path))
    assert config_folder() == tmp_path


def test_the_user_s_registry_is_merged_over_the_packaged_one(config: Path) -> None:
    (config / "weights.toml").write_text(f'{MINE}\n[defaults]\nderain = "mine"\n', "utf-8")
    registry = load_registry()
    assert registry.defaults["derain"] == "derain/mine"
    assert registry.defaults["denoise"] == "denoise/compact"
    assert registry.models["derain/mine"].local_path == config / "models" / "mine.safetensors"
    assert "derain/mine" not in load_registry(user=False).models


def test_a_broken_user_registry_is_named(config: Path) -> None:
    (config / "weights.toml").write_text("[models\n", "utf-8")
    with pytest.raises(WeightsError, match=r"config.weights\.toml: not valid TOML.*line 1"):
        load_registry()


def test_registering_adds_an_entry_and_leaves_the_rest_as_written(config: Path) -> None:
    path = config / "weights.toml"
    path.write_text(f"# mine\n{MINE}\n# the end\n", "utf-8")
    fields = {"task": "derain", "method": "c2f-dft", "source": "full.safetensors", "note": 'say "é\\\n\x7f"'}
    entry = register("derain/full", fields)
    assert entry.note == fields["note"]
    text = path.read_text("utf-8")
    assert text.startswith(f"# mine\n{MINE}\n# the end\n")
    assert set(load_registry().models) >= {"derain/mine", "derain/full"}


def test_registering_again_replaces_the_entry_with_all_its_tables(config: Path) -> None:
    path = config / "weights.toml"
    scores = '[models."derain/mine".scores.Rain]\npsnr_y = 1\ncommand = "x"\n[defaults]\nderain = "mine"\n'
    path.write_text(MINE + scores, "utf-8")
    register("derain/mine", {"task": "derain", "method": "c2f-dft", "source": "new.safetensors"})
    registry = load_registry()
    assert registry.models["derain/mine"].source == "new.safetensors"
    assert not registry.models["derain/mine"].scores
    assert registry.defaults["derain"] == "derain/mine"


def test_registering_makes_the_folder_and_its_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "a" / "b"))
    register("derain/mine", {"task": "derain", "method": "c2f-dft", "source": "m.safetensors"})
    assert (tmp_path / "a" / "b" / "weights.toml").is_file()


def test_a_broken_user_registry_is_not_overwritten(config: Path) -> None:
    (config / "weights.toml").write_text("[models\n", "utf-8")
    with pytest.raises(WeightsError, match="not valid TOML"):
        register("derain/mine", {"task": "derain", "method": "c2f-dft", "source": "m.safetensors"})
    assert (config / "weights.toml").read_text("utf-8") == "[models\n"


def test_an_entry_in_a_form_that_cannot_be_edited_is_left_to_the_user(config: Path) -> None:
    text = 'models = {"derain/mine" = {task = "derain", method = "c2f-dft", source = "m.safetensors"}}\n'
    (config / "weights.toml").write_text(text, "utf-8")
    with pytest.raises(WeightsError, match="by hand"):
        register("derain/mine", {"task": "derain", "method": "c2f-dft", "source": "new.safetensors"})
    assert (config / "weights.toml").read_text("utf-8") == text


def test_a_file_below_the_configuration_folder_is_written_as_a_relative_path(config: Path, tmp_path: Path) -> None:
    assert source_for(config / "m.safetensors") == "m.safetensors"
    assert source_for(tmp_path / "m.safetensors") == str((tmp_path / "m.safetensors").resolve())
