"""The pictures of one photo in a page: layers over each other, parted by one divider or two."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from itertools import combinations

from dfrestore.evaluation.html_words import numbers, text
from dfrestore.evaluation.shots import MODEL_ROLES, Role, Shot, Shots

View = tuple[Role, ...]
"""The two or three pictures that are seen beside each other, from left to right."""

_PAIRS: tuple[View, ...] = (("before", "after"), ("after", "target"), ("before", "target"))
_ENDS: Mapping[int, tuple[int, ...]] = {2: (50,), 3: (33, 67)}  # where the dividers are at first, in percent


def slider(name: str, shots: Shots | None, labels: Mapping[Role, str]) -> str:
    """The slider of a photo and its tools; nothing without pictures."""
    if shots is None:
        return ""
    views = _views({shot.role for shot in shots.pictures})
    view = views[0]
    layers = "".join(_layer(name, shot, shots, labels[shot.role]) for shot in shots.pictures)
    dividers = _dividers(name, view, labels)
    stage = (
        f'<div class="stage" {_data(view)} data-size="{numbers(shots.size)}" '
        f'data-box="{numbers(shots.box)}">\n{layers}{dividers}<span class="frame"></span>\n</div>\n'
    )
    zooms = "".join(
        f'<button type="button" data-to="{zoom}" aria-pressed="{"false" if zoom else "true"}">{label}</button>'
        for zoom, label in ((0, "Fit"), (1, "100 %"), (2, "200 %"))
    )
    tools = f'<div class="seg" role="group" aria-label="Zoom">{zooms}</div>'
    if len(views) > 1:
        buttons = "".join(
            f'<button type="button" {_data(other)} aria-pressed="{str(other == view).lower()}">'
            f"{' | '.join(text(labels[role]) for role in other)}</button>"
            for other in views
        )
        tools += f'<div class="seg" role="group" aria-label="Compare">{buttons}</div>'
    return f'{stage}<div class="tools">{tools}</div>\n'


def _views(roles: Collection[Role]) -> list[View]:
    """What can be compared. Of several models: any two with the input, or the target, beside them."""
    models: View = tuple(role for role in MODEL_ROLES if role in roles)
    views = _PAIRS
    if len(models) > 1:
        pairs = tuple(combinations(models, 2))
        views = (*(("before", *pair) for pair in pairs), *((*pair, "target") for pair in pairs), models)
    return [view for view in views if set(view) <= set(roles)]


def _data(view: View) -> str:
    middle = f'data-middle="{view[1]}" ' if len(view) == 3 else ""
    return f'data-left="{view[0]}" {middle}data-right="{view[-1]}"'


def _dividers(name: str, view: View, labels: Mapping[Role, str]) -> str:
    ends = _ENDS[len(view)]
    shares = [high - low for low, high in zip((0, *ends), (*ends, 100), strict=True)]
    told = ", ".join(f"{text(labels[role])} {share} %" for role, share in zip(view, shares, strict=True))
    return "".join(
        f'<input class="split{more}" type="range" min="0" max="100" step="0.5" value="{end}" autocomplete="off" '
        f'aria-label="{text(name)}: {which}divider" aria-valuetext="{told}">'
        f'<span class="divider{more}"></span>'
        for end, more, which in zip(ends, ("", " next"), ("", "second "), strict=False)
    )


def _layer(name: str, shot: Shot, shots: Shots, label: str) -> str:
    alt = f"{name}, {label if len(label) == 1 else label.lower()}"
    width, height = shots.shown
    source = f' data-src="{_uri(shot.part)}"' if shot.part else ""
    return (
        f'<div class="layer {shot.role}">'
        f'<img class="whole" loading="lazy" decoding="async" width="{width}" height="{height}" alt="{text(alt)}" '
        f'src="{_uri(shot.whole)}">'
        f'<img class="part" alt="{text(alt)}, a part at full size" decoding="async"{source}>'
        f'<span class="tag">{text(label)}</span></div>\n'
    )


def _uri(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")
