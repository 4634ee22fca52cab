"""A result that can be trusted: in smaller pieces where memory runs out, in fp32 where half precision fails."""

from __future__ import annotations

import gc
from collections.abc import Generator
from dataclasses import dataclass

import torch

from dfrestore.engine import (
    Device,
    Plan,
    Precision,
    Progress,
    choose_precision,
    give_back,
    restore_array,
    smaller_plan,
    with_precision,
)
from dfrestore.errors import BadResultError, OutOfMemoryFailure
from dfrestore.methods import Network
from dfrestore.restore.checks import fault
from dfrestore.restore.images import Rgb
from dfrestore.restore.work import Work
from dfrestore.windows import Windows


@dataclass(frozen=True)
class Making:
    """What makes results: a network on a device, with its windows."""

    network: Network
    device: Device
    windows: Windows | None

    def sound(
        self, work: Work, plan: Plan, precision: Precision
    ) -> Generator[Progress, None, tuple[Rgb, Plan, Precision]]:
        """A result that has been checked, and what made it; what was done twice is among the work's warnings.

        Raises BadResultError, and OutOfMemoryFailure where no smaller plan is left.
        """
        result, plan = yield from self._fitting(work, plan, precision)
        wrong = fault(work.rgb, result)
        if wrong and precision.name != "fp32":
            work.warnings.append(f"{precision.name} gave {wrong}; redone in fp32")
            precision = choose_precision("fp32", self.device)
            # The same walk, so that fp32 differs in nothing else; where it does not fit, the next one is taken.
            plan = with_precision(plan, precision)
            result, plan = yield from self._fitting(work, plan, precision)
            wrong = fault(work.rgb, result)
        if wrong:
            raise BadResultError(f"the model gave {wrong}; try other --steps or another --model")
        return result, plan, precision

    def _fitting(self, work: Work, plan: Plan, precision: Precision) -> Generator[Progress, None, tuple[Rgb, Plan]]:
        """The result, and the plan that made it: ``plan``, or a smaller one if memory runs out; a set tile stays."""
        height, width = work.rgb.shape[:2]
        while True:
            try:
                return (yield from self._run(work, plan, precision)), plan
            except OutOfMemoryFailure:
                smaller = smaller_plan(plan, height, width, self.network, precision=precision, device=self.device)
                if plan.explicit or smaller is None:
                    raise
            # Outside the except clause: the traceback holds on to the tensors that have to go.
            gc.collect()
            give_back()
            if self.device.torch_device.type == "cuda":
                torch.cuda.empty_cache()
            plan = smaller
            work.warnings.append(f"out of memory; went on with {plan.describe()}")

    def _run(self, work: Work, plan: Plan, precision: Precision) -> Generator[Progress, None, Rgb]:
        result: Rgb | None = None
        for state in restore_array(
            self.network,
            work.rgb,
            mask=work.mask,
            steps=work.steps,
            seed=work.seed,
            plan=plan,
            device=self.device,
            precision=precision,
            windows=self.windows,
            watch=work.watch,
        ):
            result = state.result
            yield state
        assert result is not None
        return result
