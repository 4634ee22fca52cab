"""``--report`` of the commands that restore files."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.cli.page import Page, count, how, lead, made, most, versions
from dfrestore.cli.report import duration
from dfrestore.tasks import AUTO, DETECT

if TYPE_CHECKING:
    from dfrestore.cli.report import Report
    from dfrestore.evaluation.html import About
    from dfrestore.evaluation.shots import Role
    from dfrestore.restore import FilePlan, FileResult, Settings
    from dfrestore.restore.auto import AnyRestorer
    from dfrestore.restore.results import AnySettings
    from dfrestore.weights import Resolved


class RunPage(Page):
    """Of the commands that restore files. Photos done in an earlier run are read and shown too, after the work."""

    def __init__(
        self,
        path: Path,
        report: Report,
        plan: FilePlan,
        settings: AnySettings,
        models: Sequence[Resolved],
        *,
        overwrite: bool,
        max_pixels: int | None,
    ) -> None:
        super().__init__(path, overwrite, report.say, report.complain)
        self._settings = settings
        self._models = [model.label for model in models]
        self._max_pixels = max_pixels
        self._numbers = {(job.input, job.output): number for number, job in enumerate(plan.jobs, 1)}
        self._root = _common([job.input for job in plan.jobs])
        self._inputs = report.inputs
        self._counts: Counter[str] = Counter()
        self._plans: Counter[str] = Counter()
        self._restorer: AnyRestorer | None = None
        self._failures: list[tuple[str, str]] = []
        self._left: dict[str, list[str]] = {}
        self._before: list[FileResult] = []

    def uses(self, restorer: AnyRestorer) -> None:
        """What does the work, for the settings."""
        self._restorer = restorer

    def result(self, result: FileResult) -> None:
        """One input is settled; pictures are read from its files, so the page shows what is there."""
        self._counts[result.status] += 1
        if result.status == "failed":
            self._failures.append((self._name(result.input), str(result.error)))
        elif result.status == "left":
            self._left.setdefault(str(result.error), []).append(self._name(result.input))
        elif result.status == "clean":
            self._left.setdefault("nothing is wrong with it", []).append(self._name(result.input))
        elif result.status == "skipped":
            self._before.append(result)
        else:
            self._plans[str(result.plan)] += 1
            self._show(result)

    def _rest(self) -> None:
        if self._before:
            self._say(f"report: reading {count(len(self._before))} done before")
        while self._before:
            self._show(self._before[0])
            del self._before[0]

    def _show(self, result: FileResult) -> None:
        from dfrestore import photo
        from dfrestore.evaluation.html import Entry
        from dfrestore.evaluation.shots import bytes_each, shots_of_files
        from dfrestore.restore.remedies import result_in_words

        output = result.output
        if self.failed or output is None:
            return
        files: dict[Role, Path] = {"before": result.input, "after": output}
        new = result.status == "done"
        repair = result_in_words(result.repair) if result.repair is not None else ()
        facts = (
            (*repair, duration(result.seconds), str(result.plan), *self._change(result)) if new else ("done before",)
        )
        budget = bytes_each(len(self._numbers))
        most = photo.MAX_PIXELS if self._max_pixels is None else self._max_pixels
        resize = self._settings.enlarges
        shots, why = self._look(lambda: shots_of_files(files, budget, max_pixels=most, resize=resize))
        number = self._numbers[result.input, output]
        self._put(Entry(number, self._name(result.input), shots, facts, (*result.warnings, *why)))

    def _change(self, result: FileResult) -> Iterator[str]:
        from dfrestore.restore.change import in_words, nothing_found

        if result.change is not None:
            yield in_words(result.change, self._settings.task)
            if result.change.hardly:
                yield nothing_found(self._settings.task)

    def _name(self, path: Path) -> str:
        try:
            return path.relative_to(self._root).as_posix() if path != self._root else path.name
        except ValueError:
            return str(path)

    def _about(self, ending: str | None) -> About:
        from dfrestore.evaluation.html import About

        words = {
            "done": "done",
            "clean": "need nothing",
            "skipped": "skipped (done before)",
            "left": "left as found",
            "failed": "failed",
        }
        counts = [f"{self._counts[key]} {word}" for key, word in words.items() if self._counts[key]]
        missing = self._inputs - self._counts.total()
        counts += [f"{missing} not done"] if ending and missing > 0 else []
        parts = [", ".join(counts) or "nothing to do", duration(time.perf_counter() - self._begin)]
        if self._chooses:
            parts += [f"chosen by {DETECT} from {self._tasks()}"]
        else:
            parts += (how(model, part.steps, part.seed) for model, part in self._steps())
        restored = self._counts["done"] + self._counts["skipped"]
        lists = [(f"Left as found: {why}", names) for why, names in self._left.items()]
        lists.append(("Done before, not shown", [self._name(result.input) for result in self._before]))
        return About(
            title=f"{count(restored)} restored" if restored else "Nothing restored",
            lead=lead(ending, *parts),
            over=f"dfrestore {self._command()}",
            settings=tuple(self._described()),
            failures=self._failures,
            lists=lists,
            footer=made(),
        )

    def _steps(self) -> Iterator[tuple[str, Settings]]:
        """Each task's model and settings."""
        yield from zip(self._models, self._settings.parts, strict=True)

    def _command(self) -> str:
        """``derain``, ``run derain,denoise``, ``auto``."""
        task = self._settings.task
        return task if self._chooses else " ".join(dict.fromkeys((task, self._tasks())))

    @property
    def _chooses(self) -> bool:
        """Whether each photo has tasks of its own."""
        return self._settings.task == AUTO

    def _tasks(self) -> str:
        return ",".join(part.task for part in self._settings.parts)

    def _described(self) -> Iterator[tuple[str, str]]:
        settings, restorer = self._settings, self._restorer
        for number, (model, part) in enumerate(self._steps()):
            yield "Task", part.task
            yield "Model", model
            yield "Steps", str(part.steps)
            yield "Seed", str(part.seed)
            if number == 0:
                yield from _where(restorer)
                if self._plans:
                    yield "Plan", most(self._plans)
            yield from _of_task(part)
        if settings.masking.regions:
            yield "Regions", "; ".join(map(str, settings.masking.regions))
        for name in ("format", "quality"):
            if getattr(settings, name) is not None:
                yield name.capitalize(), str(getattr(settings, name))
        yield "Versions", versions()


def _where(restorer: AnyRestorer | None) -> Iterator[tuple[str, str]]:
    if restorer is None:
        yield "Device", "none: all was done before"
    else:
        yield "Device", f"{restorer.device.name} ({restorer.device.reason})"
        yield "Precision", f"{restorer.precision.name} ({restorer.precision.reason})"


def _of_task(settings: Settings) -> Iterator[tuple[str, str]]:
    """What was set for one task."""
    if settings.strength != 1:
        yield "Strength", f"{settings.strength:g}"
    if settings.ensemble != 1:
        yield "Ensemble", f"mean of {settings.ensemble}"
    if settings.keep_color:
        yield "Colour", "as in the input"
    if settings.finish.changed:
        yield "Finish", settings.finish.describe()
    if settings.enlarges:
        yield "Size", settings.size.describe().replace("native", "as many times larger as the model makes it")
    masking = settings.masking
    if masking.invert:
        yield "Mask", "inverted"
    for name in ("dilate", "feather"):
        if getattr(masking, name):
            yield name.capitalize(), f"{getattr(masking, name)} pixels"
    for name in ("tile", "window"):
        if getattr(settings, name) is not None:
            yield name.capitalize(), str(getattr(settings, name))


def _common(paths: Sequence[Path]) -> Path:
    """The folder that all lie in, so that names in the page tell nothing of where the photos are kept."""
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # none, or of several drives
        return Path()
