"""Several processes train as one: the same result, one voice, one writer, and an end when one of them is gone."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from several_processes import Result, own_statistics, result, scenarios
from tiny_runs import darken, smooth_photos, write_pairs
from torchrun import child_of_rank, torchrun, wait_for

from dfrestore.cli import main
from dfrestore.errors import UsageError
from dfrestore.processes import launched
from dfrestore.training.checkpoints import load_state
from dfrestore.training.distributed import World, slices
from dfrestore.training.run import read_run
from dfrestore.training.settings import load_preset
from dfrestore.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch is built without them")
SCRIPT = Path(__file__).with_name("several_processes.py")
TINY = [
    *("--preset", "smoke", "--set", "model.network.dim=8", "--set", "stages.coarse.iterations=100000"),
    *("--set", "stages.coarse.patches=[32]", "--set", "stages.fine.patches=[32]", "--set", "stages.coarse.batches=[2]"),
    *("--set", "stages.fine.batches=[2]", "--set", "data.validation=0", "--set", "optim.precision=fp32"),
    *("--set", "log_every=1", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The folder in which two processes left the results of all scenarios; how that ended, the second one failing."""
    folder = tmp_path_factory.mktemp("together")
    with torchrun(SCRIPT, folder) as process:
        _, said = process.communicate(timeout=180)
    return folder, process.returncode, said


@pytest.fixture
def together(ended: tuple[Path, int, str]) -> Path:
    folder, _, said = ended
    assert (folder / "results-1.pt").exists(), said
    return folder


# -- the result -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", scenarios())
def test_two_processes_give_the_result_of_one(name: str, together: Path) -> None:
    losses, norms, scores, weights = result(scenarios()[name])
    theirs: Result = torch.load(together / "results-0.pt", weights_only=True)[name]
    assert theirs[0] == pytest.approx(losses, rel=5e-6)
    assert theirs[1] == pytest.approx(norms, rel=1e-5)
    assert theirs[2] == pytest.approx(scores, abs=1e-3)
    for a, b in zip(weights, theirs[3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=5e-5)  # Adam enlarges what rounding leaves


def test_both_processes_hold_the_same_weights_bit_for_bit(together: Path) -> None:
    first, second = (torch.load(together / f"results-{rank}.pt", weights_only=True) for rank in (0, 1))
    for name in (*scenarios(), *own_statistics()):
        assert first[name][:3] == second[name][:3]
        assert all(torch.equal(a, b) for a, b in zip(first[name][3], second[name][3], strict=True))


def test_a_run_of_two_processes_is_gone_on_with_by_one(together: Path) -> None:
    config = read_run(together / "run-0")
    trainer = Trainer(config, smooth_photos(), darken)
    assert load_state(trainer, together / "run-0") == []
    assert trainer.done == 2
    list(trainer.run())
    weights = result(config)[3]
    own = (*trainer.network.parameters(), *trainer.ema.parameters())
    for a, b in zip(weights, own, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-3, atol=5e-5)


def test_only_the_first_process_writes_a_run_folder(together: Path) -> None:
    assert (together / "run-0" / "config.toml").exists()
    assert not (together / "run-1").exists()


def test_a_batch_in_parts_gives_the_gradients_of_the_whole() -> None:
    config = scenarios()["in parts"]
    assert config.optim.accumulate == 2
    parts, once = result(config), result(replace(config, optim=replace(config.optim, accumulate=1)))
    assert parts[0] == pytest.approx(once[0], rel=5e-6)
    assert parts[1] == pytest.approx(once[1], rel=1e-5)


# -- as commands ----------------------------------------------------------------------------------------------------


def test_a_terminated_run_saves_once_says_so_once_and_one_process_goes_on(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "run" / "log.jsonl"
    # not --run, which torchrun takes for an abbreviation of an option of its own
    arguments = ["train", "derain", "--data", write_pairs(tmp_path / "pairs", 4), "-o", run, *TINY]
    with torchrun("-m", "dfrestore", *arguments) as process:
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) > 2, process)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert said.count("2 processes, cpu") == said.count("saved; continue with") == 1
    assert said.count("dfrestore: terminated") == 1
    steps = [json.loads(line)["iteration"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))
    assert [path.name for path in (run / "checkpoints").glob("*.pt")] == [f"{len(steps):08d}.pt"]
    few = ["--set", f"stages.coarse.iterations={len(steps) + 2}", "--set", "stages.fine.iterations=1"]
    assert main(["train", "--resume", str(run), *few, "--quiet", "--device", "cpu"]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_when_one_process_is_killed_the_run_saves_says_why_and_ends(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "run" / "log.jsonl"
    arguments = ["train", "derain", "--data", write_pairs(tmp_path / "pairs", 4), "-o", run, *TINY]
    with torchrun("-m", "dfrestore", *arguments) as process:
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) > 2, process)
        os.kill(child_of_rank(1, process.pid), signal.SIGKILL)
        started = time.monotonic()
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - started < 20
    assert process.returncode != 0
    assert said.count("dfrestore: another process of this run ended without a word") == 1
    steps = len(log.read_text().splitlines())
    assert [path.name for path in (run / "checkpoints").glob("*.pt")] == [f"{steps:08d}.pt"]


def test_a_process_that_fails_alone_is_the_one_that_says_why(ended: tuple[Path, int, str]) -> None:
    _, code, said = ended
    assert code != 0
    assert said.count("rank 1: as if this one alone ran out") == 1
    assert "rank 0:" not in said
    cause = said.partition("Root Cause")[2]  # torchrun's own report
    assert "rank      : 1 " in cause
    assert "exitcode  : 7 " in cause


# -- the parts ------------------------------------------------------------------------------------------------------


def test_shares_of_a_batch_are_disjoint_complete_and_as_equal_as_can_be() -> None:
    for samples in range(9):
        shares = [World(rank, 3).share(samples) for rank in range(3)]
        assert [i for share in shares for i in range(*share)] == list(range(samples))
        assert max(b - a for a, b in shares) - min(b - a for a, b in shares) <= 1


def test_parts_of_a_share_are_never_empty() -> None:
    assert slices(2, 7, 2) == [slice(2, 4), slice(4, 7)]
    assert slices(2, 3, 4) == [slice(2, 3)]
    assert slices(2, 2, 2) == []


def test_a_process_is_one_of_several_only_where_torchrun_says_so() -> None:
    place = {"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    assert launched({**place, "WORLD_SIZE": "2"})
    assert not launched({**place, "WORLD_SIZE": "1"})
    assert not launched({"WORLD_SIZE": "2"})


def test_a_batch_is_not_split_into_no_parts() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        load_preset("smoke", "derain", {"optim": {"accumulate": 0}})
