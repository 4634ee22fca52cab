"""``curves.png``: loss, validation PSNR or score, learning rate over the iterations of all stages, of ``log.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def plot(folder: Path) -> None:
    """Write the run's ``curves.png``; its stages follow each other on one axis."""
    from matplotlib.figure import Figure

    records = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines() if line]
    steps = [r for r in records if r.get("loss") is not None]
    validations = [r["validation"] for r in records if "validation" in r]
    begins = _begins(steps)

    def place(r: dict[str, Any]) -> int:
        return int(r["iteration"]) + begins.get(r["stage"], 0)

    figure = Figure(figsize=(8, 9), layout="constrained")
    loss, psnr, rate = figure.subplots(3, 1, sharex=True)
    loss.plot([place(r) for r in steps], [r["loss"] for r in steps], linewidth=0.7)
    if all(r["loss"] > 0 for r in steps):  # a loss of -PSNR is below zero
        loss.set_yscale("log")
    loss.set_ylabel("loss")
    scored = [v for v in validations if "score" in v]
    validations = [v for v in validations if "psnr" in v]
    psnr.plot([place(v) for v in scored], [v["score"] for v in scored])
    for n in sorted({int(n) for v in validations for n in v["psnr"]}):
        judged = [v for v in validations if v["psnr"].get(str(n)) is not None]  # a resumed run may have other counts
        psnr.plot(
            [place(v) for v in judged], [v["psnr"][str(n)] for v in judged], label=f"{n} step{'s' if n > 1 else ''}"
        )
    if validations:
        psnr.axhline(validations[0]["psnr_input"], color="grey", linestyle=":", label="input")
        psnr.legend()
    psnr.set_ylabel("validation score" if scored else "validation PSNR (dB)")
    rate.plot([place(r) for r in steps], [r["lr"] for r in steps])
    rate.set_ylabel("learning rate")
    rate.set_xlabel(f"iteration ({', then '.join(begins)})" if begins else "iteration")
    figure.savefig(folder / "curves.png", dpi=100)


def _begins(steps: list[dict[str, Any]]) -> dict[str, int]:
    """Where each stage begins on the axis: after the last iteration of those before it."""
    last: dict[str, int] = {}
    for record in steps:
        last[record["stage"]] = max(last.get(record["stage"], 0), int(record["iteration"]))
    begins, place = {}, 0
    for stage, iterations in last.items():
        begins[stage] = place
        place += iterations
    return begins
