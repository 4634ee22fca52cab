"""``dfrestore weights card``: what is known of a model, as Markdown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Answer, save_model, tiny_spec

from dfrestore.weights import Base, save_checkpoint
from dfrestore.weights.checkpoint import sha256_of

Card = Callable[..., Answer]
BUNDLED = Path(__file__).parents[2] / "dfrestore" / "bundled" / "derain-compact.md"
SPEC = tiny_spec(licence="CC BY 4.0", trained_on="four photos", source="dfrestore train", patch=64, window=96)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder, empty."""
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


@pytest.fixture
def card(dfrestore: Callable[..., Answer]) -> Card:
    return lambda *arguments: dfrestore("weights", "card", *arguments)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "mine.safetensors", SPEC, 1.0)


def rows(text: str) -> dict[str, str]:
    """The card's first table."""
    cells = [
        line.removeprefix("| ").removesuffix(" |").split(" | ") for line in text.splitlines() if line.startswith("| ")
    ]
    return {row[0]: row[1] for row in cells if len(row) == 2}


@pytest.mark.parametrize("name", ["derain/compact", str(BUNDLED.with_suffix(".safetensors"))])
def test_a_bundled_model_s_card_is_the_one_beside_it(name: str, card: Card) -> None:
    assert card(name) == Answer(0, BUNDLED.read_text(encoding="utf-8"), "")


def test_the_card_beside_any_file_is_printed_as_it_is(card: Card, model: Path) -> None:
    model.with_suffix(".md").write_bytes("\ufeff# Mine\r\n\r\n\tFür alle".encode())
    assert card(model) == Answer(0, "# Mine\n\n\tFür alle\n", "")


def test_a_file_without_a_card_is_described_by_its_own_header(card: Card, model: Path) -> None:
    answer = card(model)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("# mine.safetensors\n")
    found = rows(answer.out)
    assert found["task"] == "derain"
    assert found["method"] == "c2f-dft"
    assert found["network"] == "blocks 1, 1, 1, 1; dim 8; heads 1, 1, 2, 2"
    assert found["sampling"] == "prediction sample"
    assert (found["window"], found["training patch"], found["default steps"]) == ("96 pixels", "64 pixels", "2")
    assert (found["licence"], found["trained on"]) == ("CC BY 4.0", "four photos")
    assert found["source"] == "dfrestore train"
    assert found["sha256"] == sha256_of(model)
    assert found["size"] == f"{model.stat().st_size:,} bytes"
    assert f"dfrestore derain photo.jpg --model {model}" in answer.out


def test_parameters_are_those_of_the_network(card: Card, model: Path) -> None:
    from dfrestore import load_network

    count = sum(parameter.numel() for parameter in load_network(model)[0].parameters())
    assert rows(card(model).out)["parameters"] == f"{count:,}, stored as F32"


def test_buffers_do_not_count_as_parameters(card: Card, tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(5), "mean": torch.zeros(2, dtype=torch.int64)}
    save_checkpoint(tmp_path / "m.safetensors", tensors, SPEC)
    assert rows(card(tmp_path / "m.safetensors").out)["parameters"] == "5, stored as F32, I64"


def test_what_a_file_builds_on_and_a_stage_that_makes_no_model_are_said(card: Card, tmp_path: Path) -> None:
    spec = replace(SPEC, stage="S1", base=Base("texture/prior", "0123" * 16))
    answer = card(save_model(tmp_path / "m.safetensors", spec, 1.0))
    found = rows(answer.out)
    assert found["builds on"] == f"texture/prior, sha256 {'0123' * 16}"
    assert found["training stage"] == "S1, which makes no model to restore with"
    assert f"\ndfrestore train derain --init-from {tmp_path / 'm.safetensors'}\n" in answer.out
    assert "--model" not in answer.out


@pytest.mark.parametrize(
    ("source", "known", "option"),
    [
        ("hf://org/repo/p.safetensors@v1", " (hf://org/repo/p.safetensors@v1)", ""),
        ("/home/me/p.safetensors", "", ""),  # nobody else's
        (None, "", " --base FILE"),
    ],
)
def test_where_the_base_is_got_is_said_if_the_registry_knows(
    card: Card, tmp_path: Path, config: Path, source: str | None, known: str, option: str
) -> None:
    if source is not None:
        table = f'task = "texture"\nmethod = "c2f-dft"\nsource = "{source}"\nsha256 = "{"0123" * 16}"\n'
        (config / "weights.toml").write_text(f'[models."texture/prior"]\n{table}')
    small = save_model(tmp_path / "m.safetensors", replace(SPEC, base=Base("texture/prior", "0123" * 16)), 1.0)
    answer = card(small)
    assert rows(answer.out)["builds on"] == f"texture/prior, sha256 {'0123' * 16}{known}"
    assert f"--model {small}{option}\n" in answer.out


def test_no_command_is_named_for_a_file_that_only_others_build_on(card: Card, tmp_path: Path) -> None:
    answer = card(save_model(tmp_path / "prior.safetensors", replace(SPEC, task="texture"), 1.0))
    assert rows(answer.out)["task"] == "texture"
    assert "## Use" not in answer.out


def test_nothing_is_made_up_where_the_header_is_silent(card: Card, tmp_path: Path) -> None:
    found = rows(card(save_model(tmp_path / "bare.safetensors", tiny_spec(), 1.0)).out)
    assert {found[key] for key in ("licence", "trained on", "source", "training patch")} == {"not stated"}


def test_what_the_registry_knows_of_a_model_is_in_its_card(card: Card, model: Path, config: Path) -> None:
    model.rename(config / "m.safetensors")
    (config / "weights.toml").write_text(
        '[models."derain/mine"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "m.safetensors"\n'
        f'sha256 = "{sha256_of(config / "m.safetensors")}"\nnote = "a trial"\nminutes = 7\n'
        '[models."derain/mine".scores."Set | one"]\npsnr_y = 30.5\ncommand = "dfrestore evaluate x"\n'
    )
    by_name, by_file = card("mine", "--task", "derain").out, card(config / "m.safetensors").out
    for text in (by_name, by_file):
        assert text.startswith("# derain/mine\n")
        assert "\na trial\n" in text
        assert "| Set \\| one | psnr_y 30.5 | dfrestore evaluate x |" in text
        assert rows(text)["training time"] == "7 minutes"
    assert "--model mine\n" in by_name


def test_a_header_cannot_break_the_table_or_write_html(card: Card, tmp_path: Path) -> None:
    evil = replace(SPEC, licence="a|b\n| sha256 | 0 |", trained_on="<script>\x1b[2J")
    found = rows(card(save_model(tmp_path / "m.safetensors", evil, 1.0)).out)
    assert found["licence"] == r"a\|b\n\| sha256 \| 0 \|"
    assert found["trained on"] == r"&lt;script>\x1b[2J"


def test_a_card_cannot_steer_the_terminal(card: Card, model: Path) -> None:
    model.with_suffix(".md").write_text("# Mine \x1b[2J\u202e\n")
    assert card(model).out == "# Mine \\x1b[2J\\u202e\n"


@pytest.mark.parametrize(
    ("content", "cause"), [(b"", "empty model card"), (b"\xff\xfe#", "not UTF-8"), (b"#" * (5 << 20), "more than")]
)
def test_a_card_that_is_none_is_one_line(content: bytes, cause: str, card: Card, model: Path) -> None:
    model.with_suffix(".md").write_bytes(content)
    answer = card(model)
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)
    assert f"{model.with_suffix('.md')}: " in answer.err
    assert cause in answer.err


def test_what_is_no_model_has_no_card(card: Card, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"nothing")
    (tmp_path / "m.md").write_text("# A card alone\n")
    assert card(tmp_path / "m.safetensors").code == 3
    assert "did you mean 'compact'?" in card("compct").err


def test_nothing_is_fetched_for_a_card(card: Card, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    answer = card("hf://org/repo/m.safetensors@v1")
    assert (answer.code, answer.out) == (3, "")
    assert "dfrestore weights get" in answer.err


def test_names_are_completed(dfrestore: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DFRESTORE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "dfrestore weights card derain/c")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert dfrestore().out.split() == ["derain/compact"]


@pytest.mark.parametrize("described", [True, False])
def test_a_card_needs_no_torch(described: bool, model: Path) -> None:
    if described:
        model.with_suffix(".md").write_text("# Mine\n")
    code = (
        "import sys; from dfrestore.cli import main; code = main(['weights', 'card', sys.argv[1]]);"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(model)], check=True, capture_output=True)
