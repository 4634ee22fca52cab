from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfrestore.engine import available_memory
from dfrestore.engine.memory import host_memory

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /proc of a machine with 8 GiB available, and an empty /sys/fs/cgroup beside it."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {16 << 20} kB\nMemAvailable:   {8 << 20} kB\n")
    return tmp_path


def measured(machine: Path) -> int | None:
    return host_memory(machine / "proc", machine / "cgroup")


def write(path: Path, text: str | int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_this_machine_has_some_memory() -> None:
    available = available_memory(torch.device("cpu"))
    assert available is None or available > 1 << 20


def test_without_a_container_it_is_what_the_system_has_available(machine: Path) -> None:
    assert measured(machine) == 8 * GIB


def test_a_containers_limit_counts_where_it_is_tighter(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/box/inner")
    write(machine / "cgroup/box/inner/memory.max", 4 * GIB)
    write(machine / "cgroup/box/inner/memory.current", 3 * GIB)
    assert measured(machine) == 1 * GIB


def test_page_cache_is_free_for_the_taking(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/box")
    write(machine / "cgroup/box/memory.max", 4 * GIB)
    write(machine / "cgroup/box/memory.current", 3 * GIB)
    write(machine / "cgroup/box/memory.stat", f"anon 5\nactive_file 7\ninactive_file {2 * GIB}")
    assert measured(machine) == 3 * GIB


def test_a_limit_on_an_outer_group_counts(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/box/inner")
    write(machine / "cgroup/box/memory.max", 2 * GIB)
    write(machine / "cgroup/box/memory.current", 1 * GIB)
    write(machine / "cgroup/box/inner/memory.max", "max")
    write(machine / "cgroup/box/inner/memory.current", 1 * GIB)
    assert measured(machine) == 1 * GIB


def test_version_1_groups_are_read_too(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/x\n0::/")
    write(machine / "cgroup/memory/docker/x/memory.limit_in_bytes", 3 * GIB)
    write(machine / "cgroup/memory/docker/x/memory.usage_in_bytes", 1 * GIB)
    assert measured(machine) == 2 * GIB


def test_inside_a_container_the_limit_stands_at_the_root(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "4:memory:/docker/x")
    write(machine / "cgroup/memory/memory.limit_in_bytes", 3 * GIB)
    write(machine / "cgroup/memory/memory.usage_in_bytes", 1 * GIB)
    assert measured(machine) == 2 * GIB


def test_a_used_up_limit_is_zero_not_negative(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/")
    write(machine / "cgroup/memory.max", 1 * GIB)
    write(machine / "cgroup/memory.current", 2 * GIB)
    assert measured(machine) == 0
