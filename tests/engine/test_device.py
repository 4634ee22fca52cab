from __future__ import annotations

import pytest
import torch

from dfrestore.engine import choose_device, choose_precision
from dfrestore.engine.device import decide_precision
from dfrestore.errors import DeviceError, UsageError

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA GPU")
no_gpu = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="needs a machine without a GPU"
)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_cpu_is_always_there() -> None:
    device = choose_device("cpu")
    assert (device.name, device.torch_device) == ("cpu", torch.device("cpu"))
    assert "thread" in device.reason


@no_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_so() -> None:
    device = choose_device("auto")
    assert device.name == "cpu"
    assert "no GPU found" in device.reason


@needs_cuda
def test_auto_takes_the_first_gpu() -> None:
    assert choose_device("auto") == choose_device("cuda") == choose_device("cuda:0")
    assert choose_device("cuda:0").torch_device == torch.device("cuda", 0)


@no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_a_missing_gpu_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(DeviceError, match=f"no device '{name}' here.*there is: cpu"):
        choose_device(name)


@pytest.mark.parametrize(("name", "near"), [("gpu", "cuda"), ("cud", "cuda"), ("cpu:1", "cpu"), ("Auto", "auto")])
def test_an_unknown_device_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown device '{name}': did you mean '{near}'"):
        choose_device(name)


@pytest.mark.parametrize("name", ["", "cuda:", "cuda:-1", "cuda:x", "cuda:99999", "a\nb"])
def test_nonsense_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError) as error:
        choose_device(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "kind", "native", "expected"),
    [
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp32"),
        ("auto", "cpu", True, "bf16"),
        ("auto", "cpu", False, "fp32"),
        ("auto", "mps", False, "fp32"),
        ("fp32", "cuda", True, "fp32"),
        ("fp16", "cuda", False, "fp16"),
        ("bf16", "cpu", True, "bf16"),
    ],
)
def test_the_precision_follows_from_what_the_device_has(name: str, kind: str, native: bool, expected: str) -> None:
    precision = decide_precision(name, kind, native)
    assert precision.name == expected
    assert precision.reason
    assert precision.warning is None


def test_bf16_on_a_cpu_without_it_is_honoured_with_a_warning() -> None:
    precision = decide_precision("bf16", "cpu", False)
    assert precision.dtype == torch.bfloat16
    assert precision.warning is not None
    assert "25 times slower" in precision.warning


@pytest.mark.parametrize(("name", "kind"), [("fp16", "cpu"), ("bf16", "cuda"), ("fp16", "mps"), ("bf16", "mps")])
def test_a_precision_that_is_not_there_is_refused_with_one_that_is(name: str, kind: str) -> None:
    with pytest.raises(DeviceError, match="fp32"):
        decide_precision(name, kind, False)


def test_an_unknown_precision_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"unknown precision 'float' \(known: auto, fp32"):
        decide_precision("float", "cpu", False)


def test_auto_on_this_machines_cpu_gives_a_precision_that_runs() -> None:
    precision = choose_precision("auto", choose_device("cpu"))
    assert precision.dtype in (torch.float32, torch.bfloat16)
    assert torch.ones(2, dtype=precision.dtype).sum().item() == 2
