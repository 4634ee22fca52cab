"""Scalars for TensorBoard, where it is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dfrestore.training.records import StepRecord, ValidationRecord

Write = Callable[[StepRecord | ValidationRecord, int], None]


@contextlib.contextmanager
def open_scalars(folder: Path, done: int) -> Iterator[Write]:
    """A function of a record and the iterations done in all stages so far; without TensorBoard it does nothing.

    ``done``: where a resumed run continues; what it wrote beyond that before is dropped.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        yield lambda record, place: None
        return
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done or None)

    def write(record: StepRecord | ValidationRecord, place: int) -> None:
        if isinstance(record, StepRecord):
            values = {"loss": record.loss, "lr": record.lr, "gradient norm": record.grad_norm, **record.parts}
            named = {f"{record.stage}/{name}": value for name, value in values.items()}
        else:
            named = {f"validation/PSNR, {n} steps": value for n, value in record.psnr.items()}
        for name, value in named.items():
            writer.add_scalar(name, value, place)

    try:
        yield write
    finally:
        writer.close()
