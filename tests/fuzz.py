"""Fuzz the readers of pictures, checkpoints, registries, settings, records, sizes and masks.

``python tests/fuzz.py --count 10000``: sound files and texts of every kind are changed at random and read. Only
dfrestore's own errors may come out; no case may take more than 10 s of CPU, hold more than 2 GB, crash the process or
print. The same seed gives the same cases. Files that show something are kept in ``--keep`` with their case's number;
``--only NUMBER`` does one case again, with a traceback.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from fuzzing import seeds  # noqa: E402 (once the path is set)
from fuzzing.workers import Case, Outcome, content_of, do, kind_of, run_cases  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when nothing was found, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="cases given to the readers")
    parser.add_argument("--cli", type=int, default=0, help="cases given to the command line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for files that show something")
    parser.add_argument("--only", type=int, help="do this one case here, with --cli 1 through the command line")
    parser.add_argument("--kinds", nargs="+", choices=seeds.KINDS, default=seeds.KINDS, help="no others")
    given = parser.parse_args(arguments)
    if given.only is not None:
        return _one(Case(given.seed, given.only, "cli" if given.cli else "readers"))
    cases = [
        *_cases(given.seed, "readers", given.count, given.kinds),
        *_cases(given.seed, "cli", given.cli, given.kinds),
    ]
    begin, outcomes = time.monotonic(), []
    for outcome in run_cases(cases, given.jobs):
        outcomes.append(outcome)
        if outcome.accepted is None:
            print(kept(outcome, given.keep), flush=True)
    print("\n".join(table(outcomes)))
    found = sum(outcome.accepted is None for outcome in outcomes)
    print(f"{len(outcomes)} cases in {time.monotonic() - begin:.0f} s with seed {given.seed}: {found} findings")
    return int(found > 0)


def _cases(seed: int, through: str, count: int, kinds: Collection[str]) -> Iterator[Case]:
    """So many cases of these kinds; each has the number that it has among all."""
    numbered = (Case(seed, number, through) for number in itertools.count())
    return itertools.islice((case for case in numbered if kind_of(case) in kinds), count)


def _one(case: Case) -> int:
    data, _ = content_of(case)
    print(f"{kind_of(case)}: {len(data)} bytes, begins {data[:60]!r}")
    with tempfile.TemporaryDirectory() as folder:
        print("accepted" if do(case, Path(folder)) else "refused")
    return 0


def kept(outcome: Outcome, folder: Path) -> str:
    """Keep the file of a finding; the lines that tell of it."""
    case = outcome.case
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.kind}-{case.through}-{case.seed}-{case.number}.bin"
    path.write_bytes(content_of(case)[0])
    again = f"--seed {case.seed} --only {case.number}" + (" --cli 1" if case.through == "cli" else "")
    text = outcome.finding.strip()
    return f"{path} ({again}): {text if len(text) < 2000 else f'{text[:900]} ... {text[-900:]}'}"


def table(outcomes: list[Outcome]) -> list[str]:
    """A row for each kind: how many were accepted and refused, time and memory."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[("cli " if outcome.case.through == "cli" else "") + outcome.kind].append(outcome)
    names = ("cases", "accepted", "refused", "found", "median", "slowest", "memory")
    rows = [f"{'kind':15}" + "".join(f" {name:>8}" for name in names)]
    for kind, group in sorted(groups.items()):
        counts = [sum(o.accepted is value for o in group) for value in (True, False, None)]
        seconds = [outcome.seconds for outcome in group]
        rows.append(
            f"{kind:15} {len(group):8}"
            + "".join(f" {count:8}" for count in counts)
            + f" {statistics.median(seconds) * 1000:5.0f} ms {max(seconds):6.2f} s"
            + f" {max(outcome.megabytes for outcome in group):5.0f} MB"
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
