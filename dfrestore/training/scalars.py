"""Scalars for TensorBoard, where it is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dfrestore.training.records import StepRecord, Validation, VerdictRecord

Write = Callable[[StepRecord | Validation, int], None]


@contextlib.contextmanager
def open_scalars(folder: Path, done: int) -> Iterator[Write]:
    """A function of a record and the iterations done in all stages so far; without TensorBoard it does nothing.

    done: where a resumed run continues; what an earlier process wrote beyond that is dropped.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        yield lambda record, place: None
        return
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done or None)

    def write(record: StepRecord | Validation, place: int) -> None:
        if isinstance(record, StepRecord):
            values = {"loss": record.loss, "lr": record.lr, "gradient norm": record.grad_norm, **record.parts}
            named = {f"{record.stage}/{name}": value for name, value in values.items()}
        elif isinstance(record, VerdictRecord):
            cells = {f"{row}, {name}": value for row, numbers in record.rows.items() for name, value in numbers.items()}
            named = {f"validation/{name}": value for name, value in {"score": record.score, **cells}.items()}
        else:
            named = {f"validation/PSNR, {n} steps": value for n, value in record.psnr.items()}
        for name, value in named.items():
            writer.add_scalar(name, value, place)

    try:
        yield write
    finally:
        writer.close()
