from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, Hub

from dfrestore.errors import UsageError, WeightsError
from dfrestore.weights import ModelSpec, load_checkpoint, resolve, save_checkpoint
from dfrestore.weights.fetch import fetch
from dfrestore.weights.hub import HubAddress, parse_address

PINNED = HubAddress("org/repo", "m.safetensors", COMMIT)
TAGGED = HubAddress("org/repo", "m.safetensors", "v1")
MOVING = HubAddress("org/repo", "m.safetensors")


@pytest.fixture
def content(checkpoint: Path, hub: Hub) -> bytes:
    """The file that the hub serves as m.safetensors."""
    hub.files["m.safetensors"] = checkpoint.read_bytes()
    return hub.files["m.safetensors"]


@pytest.fixture(autouse=True)
def no_minutes_of_retries() -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 10


def refusal(address: HubAddress, **arguments: object) -> str:
    with pytest.raises(WeightsError) as error:
        fetch(address, **arguments)  # type: ignore[arg-type]
    assert str(address) in str(error.value) or "cache" in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def cached_files(tmp_path: Path) -> list[Path]:
    """Weights in the cache, whole or in part; locks, references and marks of the client left out."""
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and "refs" not in path.parts]
    return [path for path in files if path.suffix in ("", ".safetensors", ".incomplete")]


def test_a_file_is_fetched_whole(content: bytes, hub: Hub) -> None:
    assert fetch(PINNED, sha256=hashlib.sha256(content).hexdigest()).path.read_bytes() == content


@pytest.mark.parametrize("address", [PINNED, TAGGED])
def test_a_second_run_makes_no_request(address: HubAddress, content: bytes, hub: Hub) -> None:
    fetch(address)
    hub.requests.clear()
    assert fetch(address).path.read_bytes() == content
    assert hub.requests == []


def test_without_a_revision_the_hub_is_asked_again_and_a_pin_is_advised(content: bytes, hub: Hub) -> None:
    first = fetch(MOVING)
    assert [f"pin it with @{COMMIT}" in line for line in first.warnings] == [True]
    hub.files["m.safetensors"] = content[:-8] + b"\0" * 8
    hub.revisions["main"] = "f" * 40
    assert fetch(MOVING).path.read_bytes() == hub.files["m.safetensors"]


def test_a_pinned_file_warns_of_nothing(content: bytes, hub: Hub) -> None:
    assert fetch(PINNED).warnings == ()


def test_an_address_resolves_to_a_checkpoint_that_loads(content: bytes, hub: Hub) -> None:
    found = resolve(str(PINNED), task="derain")
    assert found.label == str(PINNED)
    load_checkpoint(found.path, sha256=found.sha256)
    with pytest.raises(UsageError, match="is a model for derain, not for denoise"):
        resolve(str(PINNED), task="denoise")


def test_a_registered_download_is_fetched_and_checked(content: bytes, hub: Hub, config: Path) -> None:
    text = f'[models."derain/far"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "{PINNED}"\nsize = {len(content)}\n'
    digest = hashlib.sha256(content).hexdigest()
    (config / "weights.toml").write_text(f'{text}sha256 = "{digest}"\n')
    assert resolve("far", task="derain").path.read_bytes() == content


def test_another_file_than_the_registry_names_is_refused_after_one_download(content: bytes, hub: Hub) -> None:
    assert "another file than the registry names" in refusal(PINNED, sha256="0" * 64)
    assert len([r for r in hub.requests if r.startswith("GET")]) == 1


def test_another_size_than_the_registry_names_is_refused_before_the_download(content: bytes, hub: Hub) -> None:
    assert f"{len(content)} bytes" in refusal(PINNED, size=1)
    assert not [r for r in hub.requests if r.startswith("GET")]


def test_a_repository_a_file_and_a_revision_that_are_not_there_are_told_apart(content: bytes, hub: Hub) -> None:
    assert "no repository org/none" in refusal(HubAddress("org/none", "m.safetensors", "v1"))
    assert "no file 'none.safetensors' in org/repo" in refusal(HubAddress("org/repo", "none.safetensors", "v1"))
    assert "no revision 'v9' in org/repo" in refusal(HubAddress("org/repo", "m.safetensors", "v9"))


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_hub_that_answers_with_an_error_is_named(status: int, content: bytes, hub: Hub) -> None:
    hub.status = status
    message = refusal(PINNED)
    assert hub.url in message
    assert str(status) in message


def test_a_hub_that_is_down_is_one_line_soon(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert "check the connection" in refusal(PINNED)


def test_when_the_hub_is_down_the_cached_file_of_a_moving_revision_is_used(
    content: bytes, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(MOVING)
    hub.status = 503
    found = fetch(MOVING)
    assert found.path.read_bytes() == content
    assert "the copy in the cache is used" in " ".join(found.warnings)


@pytest.fixture
def large(tmp_path: Path, spec: ModelSpec, hub: Hub) -> bytes:
    """A file of more than one piece of the client's (10 MiB): it keeps only whole pieces when a transfer breaks off."""
    save_checkpoint(tmp_path / "large.safetensors", {"a": torch.ones(3_000_000)}, spec)
    hub.files["m.safetensors"] = (tmp_path / "large.safetensors").read_bytes()
    return hub.files["m.safetensors"]


def test_a_transfer_that_breaks_off_resumes_where_it_was(large: bytes, hub: Hub) -> None:
    hub.breaks = [11_000_000]
    assert fetch(PINNED).path.read_bytes() == large
    assert hub.ranges == [None, f"bytes={10 * 1024**2}-"]


def test_a_transfer_begins_anew_when_the_server_cannot_resume(large: bytes, hub: Hub) -> None:
    hub.breaks, hub.honour_ranges = [11_000_000], False
    assert fetch(PINNED).path.read_bytes() == large


@pytest.mark.parametrize("after", [100, 11_000_000])
def test_a_transfer_that_always_breaks_off_ends_and_leaves_no_file(
    after: int, tmp_path: Path, large: bytes, hub: Hub
) -> None:
    hub.breaks, hub.honour_ranges = [after] * 100, False
    assert "no incomplete file is kept" in refusal(PINNED)
    assert cached_files(tmp_path) == []
    hub.breaks = []
    assert fetch(PINNED).path.read_bytes() == large


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_file_in_the_cache_is_named_and_fetched_again(
    damage: str, known: bool, content: bytes, hub: Hub
) -> None:
    digest = hashlib.sha256(content).hexdigest() if known else None
    path = fetch(PINNED, sha256=digest).path
    bad = {"truncated": content[:-10], "changed": content[:-1] + b"\x01", "empty": b""}[damage]
    path.resolve().write_bytes(bad)
    again = fetch(PINNED, sha256=digest)
    assert again.path.read_bytes() == content
    assert any(str(path) in line and "damaged" in line for line in again.warnings)


def test_a_damaged_copy_in_the_cache_is_found_without_symbolic_links(content: bytes, hub: Hub) -> None:
    path = fetch(PINNED).path
    path.unlink()
    path.write_bytes(content[:-10])  # as on a file system without links
    assert fetch(PINNED).path.read_bytes() == content


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_offline_uses_the_cache_or_says_so_without_a_request(
    by: str, content: bytes, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = by == "argument"
    assert "not in the cache, and offline" in refusal(MOVING, offline=offline)
    assert hub.requests == []
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    fetch(MOVING)
    if by == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()
    found = fetch(MOVING, offline=offline)
    assert found.path.read_bytes() == content
    assert hub.requests == []
    found.path.resolve().write_bytes(b"")
    assert "damaged in the cache, and offline" in refusal(MOVING, offline=offline)


def test_nothing_but_the_one_line_is_printed(content: bytes, hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.breaks = [100]
    fetch(PINNED)
    hub.status = 503
    refusal(TAGGED)
    assert capfd.readouterr() == ("", "")


def test_the_client_is_quiet_from_its_first_import_on() -> None:
    code = (
        "import logging; from dfrestore.weights.fetch import quiet_client\n"
        "with quiet_client():\n"
        "    import huggingface_hub.hf_api\n"
        "    logging.getLogger('huggingface_hub.hf_api').warning('Retrying in 1s')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://a/b/c.safetensors", HubAddress("a/b", "c.safetensors")),
        ("hf://a/b/d/c.safetensors@v1.0", HubAddress("a/b", "d/c.safetensors", "v1.0")),
        ("hf://a/b/c.safetensors@refs/pr/1", HubAddress("a/b", "c.safetensors", "refs/pr/1")),
    ],
)
def test_an_address_is_taken_apart_and_put_together(text: str, address: HubAddress) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "hf://a/b",
        "hf://a/b/../c.safetensors",
        "hf://a/b//c.safetensors",
        "hf://a/b/c.pth",
        "hf://a/b/c.safetensors@",
        "hf://a/b/c.safetensors@../x",
        "hf://a/b/c.safetensors@x y",
        "https://a/b/c.safetensors",
    ],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)
