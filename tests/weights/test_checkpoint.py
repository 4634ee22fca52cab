from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfrestore.errors import WeightsError
from dfrestore.weights import ModelSpec, load_checkpoint, read_spec, save_checkpoint

PARITY = Path(__file__).parents[1] / "data" / "parity"
Tensors = dict[str, torch.Tensor]


def refusal(path: Path) -> str:
    """The message with which the file is refused: one line that names it."""
    with pytest.raises(WeightsError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def write_raw(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_tensors_and_spec_come_back_as_they_were_saved(checkpoint: Path, tensors: Tensors, spec: ModelSpec) -> None:
    found, found_spec = load_checkpoint(checkpoint)
    assert found_spec == spec
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_the_safetensors_library_reads_what_is_saved(checkpoint: Path, tensors: Tensors) -> None:
    found = safetensors.torch.load_file(checkpoint)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_the_same_tensors_and_spec_give_the_same_bytes(tmp_path: Path, tensors: Tensors, spec: ModelSpec) -> None:
    one, two = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_checkpoint(one, tensors, spec)
    save_checkpoint(two, dict(reversed(tensors.items())), spec)
    assert one.read_bytes() == two.read_bytes()


def test_saving_returns_the_sha256_that_loading_accepts(tmp_path: Path, tensors: Tensors, spec: ModelSpec) -> None:
    path = tmp_path / "model.safetensors"
    digest = save_checkpoint(path, tensors, spec)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    load_checkpoint(path, sha256=digest)
    with pytest.raises(WeightsError, match="its sha256 is"):
        load_checkpoint(path, sha256="0" * 64)


def test_non_contiguous_and_shared_tensors_are_saved_by_value(tmp_path: Path, spec: ModelSpec) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    save_checkpoint(tmp_path / "m.safetensors", {"a": base.T, "b": base}, spec)
    found, _ = load_checkpoint(tmp_path / "m.safetensors")
    assert torch.equal(found["a"], base.T)


def test_the_spec_is_read_without_torch(checkpoint: Path) -> None:
    code = (
        "import sys; from dfrestore.weights import read_spec;print(read_spec(sys.argv[1]).task, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(checkpoint)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["derain", "False"]


def test_a_full_disk_leaves_the_previous_file_and_nothing_else(checkpoint: Path, spec: ModelSpec) -> None:
    resource = pytest.importorskip("resource")
    before = checkpoint.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(WeightsError, match="cannot be written"):
            save_checkpoint(checkpoint, {"large": torch.zeros(100_000)}, spec)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.read_bytes() == before
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_follow_the_umask(tmp_path: Path, tensors: Tensors, spec: ModelSpec) -> None:
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path / "m.safetensors", tensors, spec)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path: Path, value: float, spec: ModelSpec) -> None:
    path = tmp_path / "m.safetensors"
    bad = {"fine": torch.zeros(2), "bad": torch.tensor([0.0, value])}
    with pytest.raises(WeightsError, match="'bad' holds values that are not finite"):
        save_checkpoint(path, bad, spec)
    assert not path.exists()
    safetensors.torch.save_file(bad, path, metadata=spec.to_metadata())
    assert "'bad' holds values that are not finite" in refusal(path)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
def test_whole_numbers_and_truth_values_are_kept_as_they_are(
    tmp_path: Path, spec: ModelSpec, tensors: Tensors, dtype: torch.dtype
) -> None:
    buffer = torch.tensor([[0, 1, 100]]).to(dtype)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, {**tensors, "a.buffer": buffer, "a.count": torch.tensor(3).to(dtype)}, spec)
    for found in (load_checkpoint(path)[0], safetensors.torch.load_file(path)):
        assert found["a.buffer"].dtype == dtype
        assert torch.equal(found["a.buffer"], buffer)
        assert found["a.count"].shape == ()


def test_a_file_of_floats_alone_keeps_its_bytes(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    assert hashlib.sha256(tensors).hexdigest() == "ae8cc571dcb52d3d19c6a3f0d8ab7462b6e7bd735abfea31348dc588b3866e4c"


def test_complex_numbers_are_refused(tmp_path: Path, spec: ModelSpec) -> None:
    with pytest.raises(WeightsError, match="complex64, not one of F64"):
        save_checkpoint(tmp_path / "m.safetensors", {"n": torch.tensor([1j])}, spec)
    assert list(tmp_path.iterdir()) == []


def test_a_spec_that_could_not_be_read_back_is_not_written(tmp_path: Path, tensors: Tensors) -> None:
    with pytest.raises(WeightsError, match="default_steps 0"):
        save_checkpoint(tmp_path / "m.safetensors", tensors, ModelSpec("derain", "c2f-dft", {}, default_steps=0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cfg_a.pth", "cfg_d_legacy.pth", "truncated.pth"])
def test_a_pytorch_file_is_told_apart_and_the_way_out_named(name: str) -> None:
    assert "convert it with 'dfrestore weights convert'" in refusal(PARITY / name)


def test_a_safetensors_file_of_another_project_is_told_apart() -> None:
    assert "no dfrestore metadata" in refusal(PARITY / "cfg_a.safetensors")


@pytest.mark.parametrize("length", [640, 896])
def test_a_header_length_that_looks_like_a_pickle_is_still_a_header(
    tmp_path: Path, spec: ModelSpec, length: int
) -> None:
    header = json.dumps({"__metadata__": spec.to_metadata(), "a": entry()}).encode()
    path = write_raw(tmp_path / "m.safetensors", header.ljust(length), b"\0" * 4)
    assert path.read_bytes()[0] == 0x80
    assert read_spec(path) == spec


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path, spec: ModelSpec) -> None:
    metadata = {**spec.to_metadata(), "dfrestore": "99"}
    path = write_raw(tmp_path / "m.safetensors", {"__metadata__": metadata, "a": entry()}, b"\0" * 4)
    assert "upgrade dfrestore" in refusal(path)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").touch()
    assert "empty" in refusal(tmp_path / "m.safetensors")


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.safetensors")
    assert "is a folder" in refusal(tmp_path)


def test_a_training_folder_names_the_file_inside_it(checkpoint: Path) -> None:
    assert f"give {checkpoint}" in refusal(checkpoint.parent)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    assert "not a regular file" in refusal(tmp_path / "m.safetensors")


def test_a_line_break_in_a_file_name_stays_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as error:
        read_spec(tmp_path / "a\nb.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [1, 7, 8, 50, -1])
def test_a_truncated_file_says_so(checkpoint: Path, kept: int) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    assert "truncated" in refusal(checkpoint)


def test_bytes_after_the_tensors_are_refused(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes() + b"x")
    assert "1 bytes too many" in refusal(checkpoint)


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        (b"\xff\xfe", "damaged header"),
        (b"{", "damaged header"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "damaged header"),
        (b"{}", "no tensors"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"__metadata__": {"task": 1}, "a": 2}', "not a map of strings"),
        (b'{"__metadata__": ["task"], "a": 2}', "not a map of strings"),
        ({"a": 1}, "lacks dtype"),
        ({"a": {"dtype": "F32"}}, "lacks dtype"),
        ({"a": entry("F99")}, "type F99"),
        ({"a": entry(dtype=["F32"])}, "type"),
        ({"a": entry(shape=[-1], offsets=[0, -4])}, "impossible shape"),
        ({"a": entry(shape=[True])}, "impossible shape"),
        ({"a": entry(shape=[1.0])}, "impossible shape"),
        ({"a": entry(shape=[1] * 20)}, "impossible shape"),
        ({"a": entry(shape=[2**40])}, "impossible shape"),
        ({"a": entry(shape=[2**32, 2**32])}, "another size"),
        ({"a": entry(offsets=[0, 8])}, "another size"),
        ({"a": entry(offsets=[4, 0])}, "another size"),
        ({"a": entry(offsets=[0])}, "impossible offsets"),
        ({"a": entry(offsets=[4, 8])}, "hole"),
        ({"a": entry(), "b": entry()}, "overlaps"),
    ],
)
def test_a_malformed_header_is_refused_with_its_cause(tmp_path: Path, header: object, cause: str) -> None:
    path = write_raw(tmp_path / "m.safetensors", header, b"\0" * 4)
    assert cause in refusal(path)


def test_an_absurd_header_length_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes((2**63 - 1).to_bytes(8, "little") + b"{}")
    assert "not a safetensors file" in refusal(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_file_loads_or_is_refused(checkpoint: Path, data: st.DataObject) -> None:
    content = bytearray(checkpoint.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    mutated = checkpoint.with_name("mutated.safetensors")
    mutated.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    with suppress(WeightsError):
        load_checkpoint(mutated)
