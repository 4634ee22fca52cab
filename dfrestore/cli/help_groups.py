"""Options of long help pages in groups, each under a title."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand

from dfrestore.tasks import COMBINED, restoring_tasks

Groups = Mapping[str, str]
"""Title -> the parameters of its options, in the order of the page."""

_PRINTED = "quiet as_json as_csv print_config list_presets help"
_RESTORING: Groups = {
    "What is repaired": "only never skip_clean detector",
    "Size": "scale size long_edge short_edge min_size",
    "Where the photo changes": "region mask invert dilate feather keep_alpha save_mask",
    "Result": "out name format quality strip_metadata preview",
    "Quality": "model base steps seed strength ensemble keep_color chroma_only luma_only keep_detail grain window",
    "Speed and memory": "device precision tile memory threads max_pixels",
    "Reports": "page compare uncertainty trace",
    "Which photos are done": "recursive overwrite newer limit dry_run",
    "What is printed": _PRINTED,
}
_EVALUATING: Groups = {
    "Pictures": "task data targets clean preset masks limit",
    "Restoring": "model base steps seed window ensemble keep_color",
    "Speed and memory": "device precision tile",
    "Measures": "channel y_rounded crop_border lpips lpips_net dists gmsd",
    "What is written and printed": f"report {_PRINTED}",
}
_TRAINING: Groups = {
    "Photos": "clean data input_ target mix check_only",
    "Model and schedule": "preset model init_from base minutes share setting",
    "Run": "run resume licence trained_on",
    "Speed": "device threads",
    "What is printed": _PRINTED,
}
GROUPS: Mapping[str, Groups] = {
    **dict.fromkeys((*restoring_tasks(), *COMBINED), _RESTORING),
    "evaluate": _EVALUATING,
    **dict.fromkeys(("train", "finetune"), _TRAINING),
}
"""Command -> its groups; the others have their options in one list."""

_WIDEST = 30  # characters of an option and its value beside which its help stands


class Grouped(TyperCommand):
    """A command whose help shows its options as :data:`GROUPS` has them; what is in no group stands last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        records = {item.name: (item, item.get_help_record(ctx)) for item in self.get_params(ctx)}
        shown = {name: (item, record) for name, (item, record) in records.items() if record is not None}
        width = min(_WIDEST, max(len(record[0]) for _, record in shown.values()))
        arguments = [name for name, (item, _) in shown.items() if item.param_type_name == "argument"]
        sections = {"Arguments": arguments}
        sections |= {title: names.split() for title, names in GROUPS[str(self.name)].items()}
        placed = {name for names in sections.values() for name in names}
        sections["Other options"] = [name for name in shown if name not in placed]
        for title, names in sections.items():
            rows = [(shown[name][1][0].ljust(width), shown[name][1][1]) for name in names if name in shown]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
