"""What ``dfrestore weights publish`` refuses by itself, before a request, and what it says when the Hub refuses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Answer, save_model, tiny_spec
from publishing_hub import FIRST, TOKEN, PublishingHub, served

from dfrestore.weights import load_registry

Run = Callable[..., Answer]
LICENSED = tiny_spec(licence="CC BY 4.0")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHub]:
    yield from served(tmp_path, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "mine.safetensors", LICENSED, 1.0)


@pytest.fixture
def unlicensed(tmp_path: Path) -> Path:
    return save_model(tmp_path / "bare.safetensors", tiny_spec(), 1.0)


@pytest.fixture
def publish(dfrestore: Run) -> Run:
    """publish(file, ...) publishes it to org/name."""

    def run(file: Path, *arguments: object, repo: str = "org/name") -> Answer:
        return dfrestore("weights", "publish", file, "--repo", repo, *arguments)

    return run


def refused(answer: Answer, code: int = 3) -> str:
    """The one line on standard error that begins with the program's name; nothing is on standard output."""
    assert (answer.code, answer.out) == (code, "")
    lines = [line for line in answer.err.splitlines() if line.startswith("dfrestore: ")]
    assert len(lines) == 1
    assert answer.err.splitlines()[-1] == lines[0]
    assert TOKEN not in answer.err
    return lines[0]


def test_there_is_no_option_for_a_token(publish: Run, model: Path) -> None:
    assert "unknown option" in refused(publish(model, "--token", "hf_x"), code=2)


def test_a_file_without_a_licence_is_refused_and_the_ways_to_one_are_said(
    publish: Run, hub: PublishingHub, unlicensed: Path
) -> None:
    line = refused(publish(unlicensed))
    assert f"{unlicensed}: states no licence" in line
    assert "--licence" in line
    assert "dfrestore train --licence" in line
    assert hub.requests == []


def test_another_licence_than_the_file_s_is_refused(publish: Run, model: Path) -> None:
    assert "is under the licence 'CC BY 4.0', not 'MIT'" in refused(publish(model, "--licence", "MIT"), code=2)
    assert publish(model, "--licence", "CC BY 4.0", "--dry-run").code == 0


def test_the_authors_weights_are_not_passed_on_without_their_leave(publish: Run, tmp_path: Path) -> None:
    stated = load_registry(user=False).originals["derain/c2f-dft"].licence
    path = save_model(tmp_path / "theirs.safetensors", tiny_spec(licence=stated), 1.0)
    assert "may not be passed on" in refused(publish(path))
    assert 'licence = "MIT"\n' in publish(path, "--licence", "MIT", "--dry-run").out


@pytest.mark.parametrize(
    ("repo", "hint"),
    [
        ("name", ""),
        ("org/a/b", ""),
        ("org/na me", ""),
        ("org/..", ""),
        ("-org/name", ""),
        ("org/name.git", ""),
        ("org/a--b", ""),
        ("org/" + "n" * 97, ""),
        ("https://huggingface.co/org/name", "did you mean 'org/name'?"),
        ("hf://org/name", "did you mean 'org/name'?"),
        ("datasets/org/name", "is a repository for datasets"),
    ],
)
def test_what_is_not_the_name_of_a_model_repository_is_wrong_usage(
    repo: str, hint: str, publish: Run, hub: PublishingHub, model: Path
) -> None:
    line = refused(publish(model, repo=repo), code=2)
    assert f"'{repo}'" in line
    assert hint in line
    assert hub.requests == []


@pytest.mark.parametrize("branch", ["", "a b", "../x", "refs/pr/1", "a//b", "0" * 40, "x.lock"])
def test_what_is_not_a_branch_is_wrong_usage(branch: str, publish: Run, hub: PublishingHub, model: Path) -> None:
    assert "branch" in refused(publish(model, "--revision-branch", branch), code=2)
    assert hub.requests == []


def test_only_a_checkpoint_that_loads_is_published(
    publish: Run, hub: PublishingHub, model: Path, tmp_path: Path
) -> None:
    assert "no such file" in refused(publish(tmp_path / "none.safetensors"))
    (tmp_path / "photo.safetensors").write_bytes(b"not a model at all")
    assert "photo.safetensors: " in refused(publish(tmp_path / "photo.safetensors"))
    data = model.read_bytes()
    model.write_bytes(data[:-2] + b"\xff\x7f")  # the last weight is not a number
    assert "not finite" in refused(publish(model))
    assert hub.requests == []


def test_a_file_name_that_has_no_address_is_refused(publish: Run, model: Path) -> None:
    for name in ("mein modell.safetensors", "mine.bin"):
        path = model.rename(model.parent / name)
        assert "rename it" in refused(publish(path), code=2)
        path.rename(model)


def test_a_missing_card_is_named(publish: Run, hub: PublishingHub, model: Path, tmp_path: Path) -> None:
    assert f"{tmp_path / 'none.md'}: no such file" in refused(publish(model, "--card", tmp_path / "none.md"))
    assert hub.requests == []


def test_a_token_that_is_not_accepted_is_said(
    publish: Run, hub: PublishingHub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    line = refused(publish(model))
    assert f"org/name: {hub.url} does not accept this token" in line
    assert "hf auth login" in line
    assert "HF_TOKEN" in line


@pytest.mark.parametrize("exists", [True, False])
def test_a_token_without_the_right_to_write_is_said(
    exists: bool, publish: Run, hub: PublishingHub, model: Path
) -> None:
    if exists:
        hub.create()
    hub.may_write = False
    line = refused(publish(model))
    assert "does not let this token write there" in line
    assert "You don't have" in line
    assert "'org'" in line


def test_private_never_sends_to_a_public_repository(publish: Run, hub: PublishingHub, model: Path) -> None:
    hub.create()
    assert "is public, so nothing was sent" in refused(publish(model, "--private"))
    assert not hub.objects
    assert hub.revisions["main"] == FIRST


def test_a_name_that_belongs_to_another_kind_of_repository_is_said(
    publish: Run, hub: PublishingHub, model: Path
) -> None:
    hub.kind = "dataset"
    assert "org/name: is a dataset" in refused(publish(model))
    assert not hub.objects


def test_a_hub_that_refuses_the_commit_is_quoted(publish: Run, hub: PublishingHub, model: Path) -> None:
    hub.answers["/commit/"] = (413, "You have run out of\nstorage")
    assert f"{hub.url} answered 413 (You have run out of storage); nothing was published" in refused(publish(model))


def test_a_failed_transfer_is_the_hub_s_answer_not_the_client_s(publish: Run, hub: PublishingHub, model: Path) -> None:
    hub.answers["/storage/"] = (403, "expired")
    assert "(expired)" in refused(publish(model))
    assert hub.revisions["main"] == FIRST


def test_a_readme_that_the_hub_refuses_is_said(publish: Run, hub: PublishingHub, model: Path) -> None:
    hub.answers["validate-yaml"] = (400, "license: unknown value")
    assert "not published (Invalid metadata in README.md" in refused(publish(model))
    assert not hub.objects


def test_a_hub_that_is_down_is_one_line(
    publish: Run, hub: PublishingHub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert "check the connection and run again" in refused(publish(model))


def test_a_hub_without_xet_storage_is_one_line_with_the_way_out(
    publish: Run, hub: PublishingHub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    assert "HF_HUB_DISABLE_XET=1 sends without Xet storage" in refused(publish(model))
    assert hub.revisions["main"] == FIRST


def test_offline_nothing_is_published(
    publish: Run, hub: PublishingHub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in refused(publish(model))
    assert hub.requests == []


def test_without_a_token_the_way_to_one_is_said(hub: PublishingHub, model: Path, tmp_path: Path) -> None:
    # A process of its own: the client looks once, when it is imported, where a login would be stored.
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-m", "dfrestore", "weights", "publish", str(model), "--repo", "org/name"],
        env={**variables, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url},
        capture_output=True,
        text=True,
        check=False,
    )
    line = refused(Answer(done.returncode, done.stdout, done.stderr))
    assert "no token" in line
    assert "run 'hf auth login' or set HF_TOKEN" in line
    assert hub.requests == []
