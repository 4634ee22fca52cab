"""The values of a command that restores files: as they were written, and parsed and checked before anything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.cli.mask_options import parse_masks, parse_preview
from dfrestore.cli.name_option import of_files
from dfrestore.cli.options import check_tile, parse_memory, parse_pixels, parse_window
from dfrestore.cli.restoring_finish import finish_of
from dfrestore.cli.streams import check_streams
from dfrestore.errors import UsageError
from dfrestore.files import STREAM

if TYPE_CHECKING:
    from dfrestore.photo.region import Region
    from dfrestore.photo.target_size import TargetSize
    from dfrestore.restore.extras import ExtraOptions
    from dfrestore.restore.finish import Finish
    from dfrestore.restore.results import Masking
    from dfrestore.windows import WindowSetting


@dataclass(frozen=True)
class Options:
    """The values of the command line, each under its option's name (see :mod:`.restoring_options`)."""

    inputs: list[str]
    out: str | None
    model: str | None
    base: Path | None
    steps: int | None
    seed: int
    device: str
    precision: str
    window: str | None
    tile: int | None
    memory: str | None
    threads: int | None
    max_pixels: str | None
    format: str | None
    quality: int | None
    strength: float
    ensemble: int | None
    keep_color: bool
    grain: float | None
    uncertainty: str | None
    compare: str | None
    trace: str | None
    strip_metadata: bool
    page: str | None
    overwrite: bool
    newer: bool
    name: str | None
    limit: int | None
    recursive: bool
    dry_run: bool
    quiet: bool
    as_json: bool
    scale: str | None = None
    size: str | None = None
    long_edge: int | None = None
    short_edge: int | None = None
    min_size: str | None = None
    mask: list[str] | None = None
    invert: bool | None = None
    dilate: int | None = None
    feather: int | None = None
    keep_alpha: bool | None = None
    save_mask: str | None = None
    chroma_only: bool | None = None
    luma_only: bool | None = None
    keep_detail: float | None = None
    region: list[str] | None = None
    preview: str | None = None

    @property
    def members(self) -> int:
        """How many restorations are averaged: one, or four where a map of their differences is wanted."""
        if self.uncertainty is not None and self.ensemble == 1:
            raise UsageError(
                "--uncertainty compares the members of an ensemble; give --ensemble 2 or more, or leave it out"
            )
        return self.ensemble or (1 if self.uncertainty is None else 4)

    @property
    def replaces(self) -> bool:
        """Whether existing outputs may be replaced."""
        return self.overwrite or self.out == STREAM

    @property
    def extras(self) -> ExtraOptions:
        """The options for what is made beside the results."""
        from dfrestore.restore.extras import ExtraOptions

        return ExtraOptions(self.uncertainty, self.compare, self.trace, self.save_mask)


@dataclass(frozen=True)
class Looking:
    """How ``dfrestore auto`` looks at photos. detector: a name or file; None: the one that ships. skip_clean: those
    that need nothing are not written.
    """

    detector: str | None
    skip_clean: bool


@dataclass(frozen=True)
class Parsed:
    """The options that must be parsed, read and checked before anything else."""

    memory: int | None
    pixels: int | None
    window: WindowSetting | None
    format: str | None
    size: TargetSize
    masks: Path | None
    masking: Masking
    finish: Finish
    preview: Region | None

    @classmethod
    def of(cls, options: Options, task: str) -> Parsed:
        """Raises UsageError."""
        from dfrestore.photo.target_size import TargetSize
        from dfrestore.restore.naming import format_name

        if options.seed > 2**63 - options.members:
            raise UsageError(f"--seed {options.seed} is larger than {2**63 - options.members}")
        check_tile(options.tile)
        check_streams(
            options.inputs,
            options.out,
            as_json=options.as_json,
            page=options.page is not None,
            dry_run=options.dry_run,
            extras=[*options.extras.requested, *of_files(options.name, options.newer, options.overwrite)],
        )
        return cls(
            parse_memory(options.memory),
            parse_pixels(options.max_pixels),
            parse_window(options.window),
            format_name(options.format) if options.format is not None else None,
            TargetSize.parse(options.scale, options.size, options.long_edge, options.short_edge, options.min_size),
            *parse_masks(
                options.mask or [],
                task,
                invert=bool(options.invert),
                dilate=options.dilate or 0,
                feather=options.feather or 0,
                keep_alpha=bool(options.keep_alpha),
                regions=options.region or [],
            ),
            finish_of(options.chroma_only, options.luma_only, options.keep_detail, options.grain),
            parse_preview(options.preview, page=options.page is not None, trace=options.trace is not None),
        )
