from __future__ import annotations

import argparse
import io
import os
import pickle
import pickletools
import struct
import warnings
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfrestore.errors import WeightsError
from dfrestore.weights.unpickle import read_pth

PARITY = Path(__file__).parents[1] / "data" / "parity"


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        read_pth(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def with_pickle(path: Path, data: bytes) -> Path:
    """A file of torch.save whose pickle is replaced by ``data``."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name.endswith("data.pkl") else old.read(name))
    return path


class Calls:
    """Something that calls ``function`` when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class _OfTheFirstFormat:
    """Pickled as tensors were before PyTorch 0.4."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> Any:
        storage = torch.storage.TypedStorage(wrap_storage=self.tensor.untyped_storage(), dtype=self.tensor.dtype)
        return torch._utils._rebuild_tensor, (storage, 0, tuple(self.tensor.shape), self.tensor.stride())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_tensors_of_the_first_format_are_read(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).view(2, 3)
    torch.save({"a": _OfTheFirstFormat(tensor)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_pth(tmp_path / "old.pth")["a"], tensor)


@pytest.mark.parametrize("name", ["cfg_a", "cfg_b", "cfg_c", "cfg_d", "cfg_a_ddp", "cfg_d_legacy"])
def test_the_authors_files_are_read(name: str) -> None:
    path = PARITY / f"{name}.pth"
    found, expected = read_pth(path), torch.load(path, weights_only=True)
    assert found.keys() == expected.keys()
    for key, state in expected.items():
        assert list(found[key]) == list(state)
        assert all(torch.equal(found[key][name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("new", [True, False])
def test_usual_types_and_plain_containers_are_read(tmp_path: Path, dtype: torch.dtype, new: bool) -> None:
    state = OrderedDict(a=torch.ones(3, dtype=dtype))
    content = {"params": state, "iter": 5, "lr": 1e-4, "x": [None, True, ("s", {1})]}
    path = saved(tmp_path / "m.pth", content, _use_new_zipfile_serialization=new)
    found = read_pth(path)
    assert found["x"] == [None, True, ("s", {1})]
    assert torch.equal(found["params"]["a"], state["a"])


def test_the_protocol_that_a_file_claims_is_not_warned_of(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"\x80\x02", b"\x80\x0c"))
    with suppress(WeightsError), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(read_pth(path)["a"], torch.ones(2))


def test_parameters_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"w": torch.nn.Parameter(torch.ones(2))})
    assert torch.equal(read_pth(path)["w"], torch.ones(2))


@pytest.mark.parametrize(
    ("name", "wanted"), [("unsafe_print", "builtins.print"), ("unsafe_getcwd_legacy", "posix.getcwd")]
)
def test_an_unsafe_file_is_refused_with_the_name_of_what_it_wants(
    name: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"it wants '{wanted}'" in refusal(PARITY / f"{name}.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False])
def test_nothing_is_executed_in_any_protocol(tmp_path: Path, protocol: int, new: bool) -> None:
    trace = tmp_path / "executed"
    content = {"params": {"a": torch.zeros(1)}, "x": Calls(os.mkdir, str(trace))}
    path = saved(tmp_path / "m.pth", content, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    assert "mkdir" in refusal(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.", "os.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02c__builtin__\neval\n.", "builtins.eval"),
        (b"\x80\x02ctorch.hub\nload\n.", "torch.hub.load"),
        (b"\x80\x02ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes"),
        (b"\x80\x02ctorch\nos.system\n.", "torch.os.system"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"Pabc\n.", "PERSID"),
    ],
)
def test_every_way_to_reach_a_global_is_seen(tmp_path: Path, data: bytes, named: str) -> None:
    assert named in refusal(with_pickle(tmp_path / "m.pth", data))


def test_settings_kept_beside_the_weights_are_refused_with_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth.tar", {"state_dict": {"a": torch.zeros(1)}, "params": argparse.Namespace(lr=1)})
    message = refusal(path)
    assert "argparse.Namespace" in message
    assert "save the state dict alone" in message


def test_a_truncated_file_says_so() -> None:
    assert "truncated" in refusal(PARITY / "truncated.pth")


@pytest.mark.parametrize("name", ["cfg_d.pth", "cfg_d_legacy.pth"])
@pytest.mark.parametrize("part", [0.0, 0.001, 0.01, 0.3, 0.99, 0.99999])
def test_a_file_cut_anywhere_is_refused_in_one_line(tmp_path: Path, name: str, part: float) -> None:
    data = (PARITY / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    refusal(tmp_path / name)


@pytest.mark.parametrize("data", [b"hello", b"<html>sign in</html>", b"\x80", b"\x80\x02}q\x00.", b"PK\x03\x04"])
def test_what_is_not_a_pytorch_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.pth").write_bytes(data)
    refusal(tmp_path / "m.pth")


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(pickle.dumps({"a": 1}))
    assert "torch.save did not write" in refusal(tmp_path / "m.pth")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}.")
        archive.writestr("m/data/0", bytes(50_000_000))
    assert "torch.save did not write" in refusal(tmp_path / "m.pth")


def test_an_archive_that_claims_more_than_it_has_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"a": torch.zeros(1000)})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    refusal(path)


def test_an_archive_with_two_pickles_or_none_is_refused(tmp_path: Path) -> None:
    for names in (["a/data.pkl", "b/data.pkl"], ["a/other"]):
        with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
            for name in names:
                archive.writestr(name, b"\x80\x02}.")
        assert "without one data.pkl" in refusal(tmp_path / "m.pth")


@pytest.mark.parametrize("new", [True, False])
def test_a_small_storage_cannot_pose_as_a_huge_tensor(tmp_path: Path, new: bool) -> None:
    content = {"a": torch.zeros(1).expand(10_000, 10_000, 10_000)}
    path = saved(tmp_path / "m.pth", content, _use_new_zipfile_serialization=new)
    assert "larger than its data" in refusal(path)


def test_a_storage_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"a": torch.zeros(300)}, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    length = struct.pack("<BH", ord("M"), 300)  # BININT2, as pickle writes 300
    assert data.count(length) >= 2
    path.write_bytes(data.replace(length, b"J" + struct.pack("<i", 2**31 - 1)))
    refusal(path)


def test_dicts_that_hold_themselves_end(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": torch.zeros(1)}
    content["self"] = content
    assert torch.equal(read_pth(saved(tmp_path / "m.pth", content))["a"], torch.zeros(1))


def test_the_scan_knows_each_instruction_by_the_name_that_pickletools_gives_it() -> None:
    from dfrestore.weights.unpickle import _PLAIN_OPCODES

    assert {opcode.name for opcode in pickletools.opcodes} >= _PLAIN_OPCODES


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("new", [True, False])
def test_a_mutated_file_is_read_or_refused(tmp_path: Path, new: bool, data: st.DataObject) -> None:
    content = {"params": OrderedDict(a=torch.ones(3), b=torch.zeros(2, 2))}
    path = saved(tmp_path / "m.pth", content, _use_new_zipfile_serialization=new)
    changed = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed)
    with suppress(WeightsError):
        read_pth(path)
