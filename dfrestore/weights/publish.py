"""Publishing: a checkpoint and its card to the Hugging Face Hub, in one commit, through the Hub's own client.

Everything that can be known beforehand is checked in :func:`prepare`, without a request. What is sent are the bytes
that were checked. The token is the client's (``hf auth login`` or HF_TOKEN), never an argument.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfrestore.errors import UsageError, WeightsError, one_line
from dfrestore.tasks import restoring_tasks
from dfrestore.version import __version__
from dfrestore.weights.card import Described, builds_on, card_beside, generated, public_source, read_card
from dfrestore.weights.checkpoint import read_bytes
from dfrestore.weights.entries import ModelEntry
from dfrestore.weights.fetch import METADATA_TIMEOUT, hub_endpoint, is_offline, quiet_client
from dfrestore.weights.header import header_of, with_metadata
from dfrestore.weights.hub import SCHEME, HubAddress, check_branch, check_repo, parse_address
from dfrestore.weights.registry import FILE_NAME, registered
from dfrestore.weights.registry_file import parse_text
from dfrestore.weights.spec import ModelSpec
from dfrestore.weights.user_registry import table

MAIN = "main"
PLACEHOLDER = "REVISION"
README = "README.md"
CREDITS = "LICENSE-WEIGHTS"  # who made the training photos; published with the weights where it lies beside them
_UNKNOWN = "unknown"
# What the Hub calls the licences that weights come under; any other is 'other' with a name.
_HUB_LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "mpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "unlicense"}
    | {"cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"}
    | {"cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"}
    | {"openrail", "creativeml-openrail-m", "bigscience-openrail-m"}
)


@dataclass(frozen=True)
class Publication:
    """What is published where. data: the bytes that are sent. card: where the card's text comes from. relicensed: a
    licence was added, so that ``data`` differs from the file on this machine. credits: the text of the LICENSE-WEIGHTS
    beside the file, if there is one. base: the registered model that it builds on, where others can have it too.
    """

    repo: str
    branch: str
    file: str
    data: bytes
    readme: str
    card: str
    spec: ModelSpec
    sha256: str
    relicensed: bool
    credits: bytes | None
    base: str = ""

    @property
    def contents(self) -> dict[str, bytes]:
        """The files of the commit."""
        files = {self.file: self.data, README: self.readme.encode("utf-8")}
        return files if self.credits is None else {**files, CREDITS: self.credits}

    @property
    def page(self) -> str:
        return f"{hub_endpoint()}/{self.repo}"

    def registration(self, revision: str = PLACEHOLDER) -> str:
        """The model's table for a ``weights.toml``, pinned to the commit ``revision``."""
        fields: dict[str, str | int | float] = {"task": self.spec.task, "method": self.spec.method}
        fields["source"] = str(HubAddress(self.repo, self.file, revision))
        fields |= {"size": len(self.data), "sha256": self.sha256, "licence": self.spec.licence}
        if self.spec.trained_on:
            fields["data"] = self.spec.trained_on
        if self.base:
            fields["base"] = self.base
        return table(f"{self.spec.task}/{_short_name(self.repo)}", fields)


@dataclass(frozen=True)
class Published:
    """commit: its full hash. url: its page. warnings: one line each."""

    commit: str
    url: str
    warnings: tuple[str, ...]


def prepare(
    path: Path, repo: str, *, branch: str = MAIN, licence: str | None = None, card: Path | None = None
) -> Publication:
    """Everything about a publication but the sending; no request is made.

    licence: for a file that states none; it goes into the published copy's header, ``path`` stays as it is. card: a
    Markdown file, else the one beside ``path``, else a generated one. Raises :class:`UsageError` for impossible
    names, and :class:`WeightsError`: not a checkpoint of ours, or without a licence.
    """
    repo, branch = check_repo(repo), check_branch(branch)
    _check_address(path, repo)
    data = read_bytes(path)
    header = header_of(io.BytesIO(data), len(data), str(path))
    spec = ModelSpec.from_metadata(header.metadata, str(path))
    entry = registered(hashlib.sha256(data).hexdigest())
    stated = _licence_of(path, spec, licence)
    relicensed = stated != spec.licence
    if relicensed:
        data, spec = with_metadata(data, {"licence": stated}), replace(spec, licence=stated)
        header = header_of(io.BytesIO(data), len(data), str(path))
    digest = hashlib.sha256(data).hexdigest()
    base = registered(spec.base.sha256) if spec.base else None
    card_file = card or card_beside(path)
    if card_file is not None:
        text = _with_base(read_card(card_file), spec, base)
    else:
        model = str(HubAddress(repo, path.name, branch))
        text = generated(Described(repo.partition("/")[2], model, header, spec, len(data), digest, entry, base))
    origin = str(card_file) if card_file else "a card made from its header"
    readme = _with_front_matter(text, spec, base)
    beside = path.parent / CREDITS
    owed = read_bytes(beside) if beside.is_file() else None
    named = base.name if base and public_source(base) else ""
    found = Publication(repo, branch, path.name, data, readme, origin, spec, digest, relicensed, owed, named)
    try:
        parse_text(found.registration(), Path(FILE_NAME))
    except WeightsError as error:
        raise WeightsError(f"{path}: it cannot have an entry in a weights.toml as {repo} ({error})") from error
    return found


def publish(what: Publication, *, private: bool = False) -> Published:
    """Create the repository (and branch) if necessary, and commit the file and its card.

    private: for a new repository; one that is public already is refused before anything is sent. Content that the Hub
    has already is not sent again. Raises :class:`WeightsError` in one line.
    """
    if is_offline():
        raise WeightsError(f"{what.repo}: HF_HUB_OFFLINE is set, so nothing can be published; unset it")
    import huggingface_hub

    endpoint = hub_endpoint()
    with quiet_client(), _bars_on_terminals(), _noted_warnings() as notes, _one_line_errors(what.repo, endpoint):
        token = huggingface_hub.get_token()
        if token is None:
            raise WeightsError(f"{what.repo}: no token for {endpoint}; run 'hf auth login' or set HF_TOKEN")
        api = huggingface_hub.HfApi(
            endpoint=endpoint, token=token, library_name="dfrestore", library_version=__version__
        )
        _make_room(api, what, endpoint, private)
        _require_new(what, endpoint, token)
        made = api.create_commit(
            what.repo,
            [huggingface_hub.CommitOperationAdd(name, data) for name, data in what.contents.items()],
            commit_message=f"Publish {what.file} with dfrestore {__version__}",
            revision=what.branch,
        )
    return Published(made.oid, made.commit_url, tuple(dict.fromkeys(notes)))


def _make_room(api: Any, what: Publication, endpoint: str, private: bool) -> None:
    """The repository and branch to commit to. The first request is the only one of the client's with a time limit."""
    from huggingface_hub import errors as hub

    try:
        found = api.model_info(what.repo, timeout=METADATA_TIMEOUT)
    except hub.RepositoryNotFoundError:
        kind = api.create_repo(what.repo, private=private or None, exist_ok=True).repo_type
        if kind not in (None, "model"):
            raise WeightsError(f"{what.repo}: is a {kind} at {endpoint}, not a model; choose another name") from None
    else:
        if private and found.private is False:
            raise WeightsError(
                f"{what.repo}: exists at {endpoint} and is public, so nothing was sent; leave out --private, "
                "choose another name, or make it private in its settings"
            )
    if what.branch != MAIN:
        api.create_branch(what.repo, branch=what.branch, exist_ok=True)


def _require_new(what: Publication, endpoint: str, token: str) -> None:
    """Raise where another base would take the place of a published one: the models on that one would miss it."""
    import huggingface_hub
    from huggingface_hub import errors as hub

    if what.spec.task in restoring_tasks():
        return
    url = huggingface_hub.hf_hub_url(what.repo, what.file, revision=what.branch, endpoint=endpoint)
    try:
        found = huggingface_hub.get_hf_file_metadata(url, token=token, timeout=METADATA_TIMEOUT, endpoint=endpoint).etag
    except hub.EntryNotFoundError:
        return
    if found != what.sha256:
        raise WeightsError(
            f"{what.repo}: holds another {what.file}, which models may build on, so it is not replaced; "
            "rename yours, or publish it to another repository"
        )


def _check_address(path: Path, repo: str) -> None:
    """The published file must have an ``hf://`` address."""
    try:
        parse_address(str(HubAddress(repo, path.name)))
    except UsageError as error:
        if path.is_dir() or not path.exists():
            return  # reading such a path gives a better message
        raise UsageError(
            f"{path}: its name cannot stand in an hf:// address; rename it to plain letters, digits, '-', '_' and '.', "
            "ending in .safetensors"
        ) from error


def _licence_of(path: Path, spec: ModelSpec, licence: str | None) -> str:
    """The licence to publish under: the file's, else ``licence``. Raises if there is none, or if the two differ."""
    stated, named = spec.licence.strip(), (licence or "").strip()
    known = bool(stated) and not stated.lower().startswith(_UNKNOWN)
    if known and named and named != stated:
        raise UsageError(f"{path}: is under the licence '{stated}', not '{named}'; leave out --licence")
    if known:
        return spec.licence
    if named:
        return named
    if stated:
        raise WeightsError(
            f"{path}: its licence is {stated}, so it may not be passed on; where its makers have allowed it, "
            "name their licence with --licence"
        )
    raise WeightsError(
        f"{path}: states no licence, so nobody may use it; name one with --licence, here or where it is trained "
        "('dfrestore train --licence \"CC BY 4.0\"')"
    )


def _with_base(card: str, spec: ModelSpec, base: ModelEntry | None) -> str:
    """The card, which says what the model builds on."""
    if spec.base is None or spec.base.sha256 in card:
        return card
    return f"{card}\nBuilds on {one_line(builds_on(spec, base))}.\n"


def _with_front_matter(card: str, spec: ModelSpec, base: ModelEntry | None) -> str:
    """The card with the block of metadata that the Hub reads, unless it has one."""
    if card.startswith("---\n"):
        return card
    name = re.sub(r"[\s_]+", "-", spec.licence.strip().lower())
    known = name in _HUB_LICENCES
    lines = [f"license: {name}"] if known else ["license: other", f"license_name: {json.dumps(spec.licence)}"]
    lines += ["library_name: dfrestore", "pipeline_tag: image-to-image"]
    if base is not None and base.source.startswith(SCHEME):
        lines += [f"base_model: {parse_address(base.source).repo}", "base_model_relation: adapter"]
    lines += ["tags:", "- image-restoration", f"- {json.dumps(spec.task)}"]
    return "\n".join(["---", *lines, "---", "", card])


def _short_name(repo: str) -> str:
    """The registry's name for a repository's model: small letters, beginning with a letter or digit."""
    return repo.partition("/")[2].lower().lstrip("._-")


@contextmanager
def _noted_warnings() -> Iterator[list[str]]:
    """The client's Python warnings as a list of lines, instead of on standard error with a line of its source."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += [" ".join(str(warning.message).split()) for warning in caught]


@contextmanager
def _bars_on_terminals() -> Iterator[None]:
    """The client draws its progress bars into files and pipes too, unless told not to."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _one_line_errors(repo: str, endpoint: str) -> Iterator[None]:
    """Every failure of the client as one line; its exceptions come from several libraries and span lines."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"{repo}: {_reason(error, repo, endpoint)}") from error


def _reason(error: Exception, repo: str, endpoint: str) -> str:
    status, said = _answer(error)
    if isinstance(error, ValueError) and not hasattr(error, "response"):
        status = None  # the client's own message on an answer: a refused README, a file that the Hub does not take
    if status == 401:
        return f"{endpoint} does not accept this token{said}; run 'hf auth login' again or correct HF_TOKEN"
    if status == 403:
        org = repo.partition("/")[0]
        return f"{endpoint} does not let this token write there{said}; it needs write access to '{org}'"
    if status is not None:
        again = "try again later" if status == 429 or status >= 500 else "nothing was published"
        return f"{endpoint} answered {status}{said}; {again}"
    cause = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, ValueError):
        return f"not published ({cause})"
    if "xet" in cause:
        cause += "; HF_HUB_DISABLE_XET=1 sends without Xet storage"
    return f"not published at {endpoint} ({cause}); check the connection and run again"


def _answer(error: BaseException | None) -> tuple[int | None, str]:
    """The Hub's status and words, from the exception or what caused it."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            said = " ".join(str(getattr(error, "server_message", None) or "").split())[:200]
            return status, f" ({said})" if said else ""
        error = error.__cause__
    return None, ""
