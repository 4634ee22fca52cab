"""``dfrestore detect``: what is wrong with photos, and how badly; parsing and printing."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore import strict_json
from dfrestore.cli.options import complete_models, parse_pixels
from dfrestore.cli.restoring_options import Device, MaxPixels, Quiet, Recursive, Threads
from dfrestore.errors import FileFailure, one_line
from dfrestore.severities import DAMAGES, NOTICED
from dfrestore.threads import use_threads

if TYPE_CHECKING:
    from dfrestore.restore.detection import Findings

_KINDS = "\n".join(f"  {damage.name:8} {damage.words:20} dfrestore {damage.task}" for damage in DAMAGES.values())
HELP = f"""Tell what is wrong with photos, and how badly. Nothing is written.

Each kind of damage has a severity from 0 to 1, which stands for the PSNR that it costs: 0 for 44 dB or more, 1 for 14
dB or less (haze: 32 and 8). From {NOTICED:g} on it counts as found.

\b
Kinds, and what takes them away:
{_KINDS}

Beside them: the standard deviation of the noise of luma in levels of 255, measured without a model, and the quality
of a JPEG by its tables.

\b
Examples:
  dfrestore detect photo.jpg
  dfrestore detect holiday/ --json > found.jsonl
  dfrestore detect photos/ --model runs/detector/model.safetensors
"""


def detect(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Pictures, and folders of pictures.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Model: a name, a file or an hf:// address.", autocompletion=complete_models
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a photo, and a last one with totals.")
    ] = False,
    recursive: Recursive = True,
    device: Device = "auto",
    threads: Threads = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
) -> None:
    from dfrestore.photo import MAX_PIXELS, read
    from dfrestore.restore.inputs import pictures_of

    limit = parse_pixels(max_pixels) or MAX_PIXELS
    pictures = pictures_of(inputs, recursive=recursive)
    from dfrestore.restore.detection import Detection

    detection = Detection.load(model, device)
    use_threads(threads)
    shown = _Shown(as_json=as_json, quiet=quiet, model=detection.name)
    for note in pictures.notes:
        shown.say(note)
    for path, why in pictures.failures:
        shown.failed(path, why)
    for path in pictures.files:
        try:
            photo = read(path, max_pixels=limit)
            shown.found(path, photo.size, detection.look(photo))
        except FileFailure as error:
            shown.failed(path, str(error))
    shown.end()
    if shown.failures:
        raise typer.Exit(1)


class _Shown:
    """What is printed: a table or objects to standard output, the rest to standard error."""

    def __init__(self, *, as_json: bool, quiet: bool, model: str) -> None:
        self.as_json, self.quiet, self.model = as_json, quiet, model
        self.photos = self.failures = 0
        self.kinds: Counter[str] = Counter()

    def say(self, line: str) -> None:
        if not self.quiet:
            print(f"dfrestore: {one_line(line)}", file=sys.stderr)

    def found(self, path: Path, size: tuple[int, int], findings: Findings) -> None:
        self.photos += 1
        self.kinds.update(findings.found)
        if self.as_json:
            self._print(
                {
                    "input": str(path),
                    "size": [size[1], size[0]],
                    "severities": {name: round(value, 3) for name, value in findings.severities.items()},
                    "found": findings.found,
                    "tasks": findings.tasks,
                    "noise_sigma": round(findings.noise_sigma, 2),
                    "blockiness": round(findings.blockiness, 3),
                    "jpeg_quality": findings.jpeg_quality,
                    "seconds": round(findings.seconds, 3),
                    "model": self.model,
                }
            )
            return
        if self.photos == 1:
            print(" ".join(f"{name:>7}" for name in findings.severities), f"{'sigma':>6} {'quality':>7}  photo")
        told = " ".join(f"{value:7.2f}" for value in findings.severities.values())
        quality = "-" if findings.jpeg_quality is None else str(findings.jpeg_quality)
        print(f"{told} {findings.noise_sigma:6.1f} {quality:>7}  {one_line(path)}", flush=True)

    def failed(self, path: Path, why: str) -> None:
        self.failures += 1
        text = why if why.startswith(str(path)) else f"{path}: {why}"
        if self.as_json:
            self._print({"input": str(path), "error": one_line(why)})
        print(f"dfrestore: {one_line(text)}", file=sys.stderr)

    def end(self) -> None:
        """Totals."""
        if self.as_json:
            self._print({"photos": self.photos, "failed": self.failures, "found": dict(self.kinds)})
        if self.quiet:
            return
        counts = ", ".join(f"{DAMAGES[name].words} in {count}" for name, count in self.kinds.most_common())
        failed = f", {self.failures} failed" if self.failures else ""
        print(f"{self.photos} looked at{failed}; found: {counts or 'nothing'}", file=sys.stderr)

    def _print(self, value: dict[str, Any]) -> None:
        print(strict_json.dumps(value), flush=True)


def help_text() -> str:
    """For the tree of commands."""
    return HELP
