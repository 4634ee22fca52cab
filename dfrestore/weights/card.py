"""Model cards in Markdown: the one that lies beside a checkpoint, or one made from what the file says of itself.

A card of the second kind invents nothing: its rows are the header's fields, the file's size and digest, and what a
registry says of the same file. No torch here.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dfrestore import windows
from dfrestore.errors import WeightsError, one_line
from dfrestore.tasks import restoring_tasks
from dfrestore.weights.checkpoint import sha256_of
from dfrestore.weights.entries import ModelEntry
from dfrestore.weights.header import FLOATS, Header, read_header
from dfrestore.weights.registry import registered
from dfrestore.weights.resolve import Resolved
from dfrestore.weights.spec import ModelSpec

SUFFIX = ".md"
MAX_CARD_BYTES = 4 << 20
NOT_STATED = "not stated"
# A file's text may hold what steers a terminal; line breaks and tabs stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Described:
    """What a card is made of. title: the heading. model: what ``--model`` takes. entry, base: what a registry says of
    the file, and of the one that it builds on.
    """

    title: str
    model: str
    header: Header
    spec: ModelSpec
    size: int
    sha256: str
    entry: ModelEntry | None = None
    base: ModelEntry | None = None


def card_of(resolved: Resolved) -> str:
    """The card of a model, ending in a line break: the file beside it, else a generated one.

    Raises :class:`WeightsError` for a card that cannot be read or a file that is not a checkpoint.
    """
    path = resolved.path
    beside = card_beside(path)
    if beside is not None:
        return read_card(beside)
    header = read_header(path)
    digest = resolved.sha256 or sha256_of(path)
    entry = resolved.entry or registered(digest)
    spec = ModelSpec.from_metadata(header.metadata, str(path))
    return generated(
        Described(
            title=entry.name if entry else path.name,
            model=resolved.entry.short_name if resolved.entry else resolved.label,
            header=header,
            spec=spec,
            size=path.stat().st_size,
            sha256=digest,
            entry=entry,
            base=registered(spec.base.sha256) if spec.base else None,
        )
    )


def card_beside(path: Path) -> Path | None:
    """The Markdown file of the same stem beside the model file, if there is one."""
    card = path.with_suffix(SUFFIX)
    return card if card.is_file() else None


def read_card(path: Path) -> str:
    """The text of a card, its control characters escaped, ending in a line break. Raises :class:`WeightsError`."""
    try:
        if not path.is_file():
            raise WeightsError(f"{path}: no such file" if not path.exists() else f"{path}: is not a regular file")
        if path.stat().st_size > MAX_CARD_BYTES:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes, more than a model card has")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: not UTF-8 text; a model card is Markdown") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not text.strip():
        raise WeightsError(f"{path}: an empty model card; write one or delete it")
    plain = _CONTROL.sub(lambda match: one_line(match[0]), text.replace("\r\n", "\n"))
    return plain if plain.endswith("\n") else f"{plain}\n"


def public_source(entry: ModelEntry) -> str:
    """Where anybody has the file from: an address, or the package; "" for a path on this machine."""
    if entry.local_path is None:
        return entry.source
    return "ships with dfrestore" if entry.packaged else ""


def builds_on(spec: ModelSpec, base: ModelEntry | None) -> str:
    """``NAME, sha256 ...`` of the file that a model builds on, and where to get it, where the registry knows."""
    assert spec.base is not None
    source = public_source(base) if base else ""
    return f"{spec.base.name}, sha256 {spec.base.sha256}" + (f" ({source})" if source else "")


def generated(described: Described) -> str:
    """A card from the header, the file and the registry."""
    entry = described.entry
    lines = [f"# {_inline(described.title)}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in _rows(described)]
    if entry is not None and entry.note:
        lines += ["", _inline(entry.note)]
    if entry is not None and entry.scores:
        lines += ["", "## Scores", "", "| set | scores | command |", "|---|---|---|", *_score_rows(entry)]
    if command := _command(described):
        lines += ["", "## Use", "", "```", one_line(command), "```"]
    return "\n".join(lines) + "\n"


def _command(described: Described) -> str:
    """The command that uses the file; empty where no command does, as for a base of other files."""
    if described.spec.task not in restoring_tasks():
        return ""
    task, model = shlex.quote(described.spec.task), shlex.quote(described.model)
    if described.spec.stage:
        return f"dfrestore train {task} --init-from {model}"
    base = " --base FILE" if described.spec.base and described.base is None else ""
    return f"dfrestore {task} photo.jpg --model {model}{base}"


def _rows(described: Described) -> Iterator[tuple[str, str]]:
    spec, entry = described.spec, described.entry
    tensors = described.header.tensors.values()
    count = sum(math.prod(tensor.shape) for tensor in tensors if tensor.dtype in FLOATS)
    yield "task", spec.task
    yield "method", spec.method
    if spec.stage:
        yield "training stage", f"{spec.stage}, which makes no model to restore with"
    if spec.base is not None:
        yield "builds on", builds_on(spec, described.base)
    yield "network", _settings(spec.network)
    yield "parameters", f"{count:,}, stored as {', '.join(sorted({tensor.dtype for tensor in tensors}))}"
    yield "sampling", _settings(spec.sampling)
    yield "window", windows.described(spec.window)
    yield "training patch", f"{spec.patch} pixels" if spec.patch else NOT_STATED
    yield "default steps", str(spec.default_steps)
    yield "licence", spec.licence or (entry.licence if entry else "") or NOT_STATED
    yield "trained on", spec.trained_on or (entry.data if entry else "") or NOT_STATED
    yield "source", spec.source or NOT_STATED
    if entry is not None and entry.minutes:
        yield "training time", f"{entry.minutes:g} minutes"
    if entry is not None and entry.command:
        yield "made with", entry.command
    yield "size", f"{described.size:,} bytes"
    yield "sha256", described.sha256


def _score_rows(entry: ModelEntry) -> Iterable[str]:
    for table, rows in entry.scores.items():
        for row in rows:
            numbers = ", ".join(f"{key} {value}" for key, value in row.items() if key != "command")
            yield f"| {_cell(table)} | {_cell(numbers)} | {_cell(row['command'])} |"


def _settings(values: Mapping[str, object]) -> str:
    """A method's own settings in one line: ``dim 32; blocks 2, 3, 3, 4``."""
    return "; ".join(f"{key} {_plain(value)}" for key, value in values.items() if value != {}) or NOT_STATED


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cell(text: str) -> str:
    """Text of a file inside a table: one line, and no bar that would end the cell."""
    return _inline(text).replace("|", r"\|")


def _inline(text: str) -> str:
    """Text of a file as Markdown: one line, and no HTML."""
    return one_line(text).replace("<", "&lt;")
