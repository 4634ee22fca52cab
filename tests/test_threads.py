"""What is set before torch is loaded, and work side by side in its threads."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from dfrestore.threads import KERNELS, SPINS, keep_few_kernels, let_waiting_threads_sleep, side_by_side


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


@pytest.mark.usefixtures("four_threads")
def test_works_share_the_threads_and_results_keep_their_order() -> None:
    together = threading.Barrier(2)

    def work(number: int) -> tuple[int, int]:
        together.wait(timeout=20)
        return number, torch.get_num_threads()

    assert side_by_side([lambda: work(1), lambda: work(2)]) == [(1, 2), (2, 2)]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_that_begin_later_have_all_of_them_again() -> None:
    side_by_side([lambda: 0, lambda: 0])
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [4]


@pytest.mark.usefixtures("four_threads")
def test_one_work_and_none_need_no_threads() -> None:
    assert side_by_side([threading.get_ident]) == [threading.get_ident()]
    assert side_by_side([]) == []


@pytest.mark.usefixtures("four_threads")
def test_a_failure_is_raised_once_the_others_have_ended() -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        side_by_side([fail, lambda: done.append(1)])
    assert done == [1]
    assert torch.get_num_threads() == 4
