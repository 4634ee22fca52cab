"""What is set before torch is loaded: how its threads wait, and how many kernels are kept."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dfrestore.processes import KERNELS, SPINS, keep_few_kernels, let_waiting_threads_sleep


@pytest.mark.parametrize(
    ("system", "expected"),
    [("linux", {"GOMP_SPINCOUNT": SPINS}), ("darwin", {"KMP_BLOCKTIME": "1"}), ("win32", {"KMP_BLOCKTIME": "1"})],
)
def test_each_system_has_its_own_setting(system: str, expected: dict[str, str]) -> None:
    environment: dict[str, str] = {}
    let_waiting_threads_sleep(environment, system)
    assert environment == expected


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_has_set_stays(name: str) -> None:
    environment = {name: "active"}
    let_waiting_threads_sleep(environment, "linux")
    assert environment == {name: "active"}


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP runtime")
def test_the_command_sets_it_before_torch_is_loaded() -> None:
    code = (
        "import os, sys; from dfrestore.cli import main; main(['--version']); "
        "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(path for path in sys.path if path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean)
    assert found.stdout.splitlines()[-1] == f"{SPINS} False"


def test_few_kernels_are_kept_unless_the_user_has_set_how_many() -> None:
    environment = {"LRU_CACHE_CAPACITY": "1024"}
    keep_few_kernels(environment)
    assert environment == {"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": KERNELS}


@pytest.mark.parametrize("command", [["derain"], ["run", "derain,denoise"], ["evaluate", "--task", "derain", "--data"]])
def test_commands_that_restore_set_it_before_torch_is_loaded(command: list[str]) -> None:
    code = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': print(os.environ.get('LRU_CACHE_CAPACITY'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"from dfrestore.cli import main; main({[*command, 'nothing_here']}); import torch"
    )
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(path for path in sys.path if path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean)
    assert found.stdout.splitlines()[0] == KERNELS, found
