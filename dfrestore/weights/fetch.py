"""Files from the Hugging Face Hub, through its own client and cache, checked by content.

The client checks the size of what it downloads, not the content, and trusts its cache blindly; this checks both.
What is already in the cache under a fixed revision is used without a request.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dfrestore.errors import WeightsError
from dfrestore.weights.checkpoint import sha256_of
from dfrestore.weights.header import MAX_FILE_BYTES, open_weights, read_header
from dfrestore.weights.hub import HubAddress

METADATA_TIMEOUT = 10.0  # seconds to wait for the Hub's first answer
MAX_RESTARTS = 4  # how often a transfer may begin anew at the first byte
_TRUE = {"1", "on", "yes", "true"}
_DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Fetched:
    """A file in the cache; sha256 is what it must have when known; warnings are one line each."""

    path: Path
    sha256: str | None
    warnings: tuple[str, ...]


def fetch(address: HubAddress, *, sha256: str | None = None, size: int = 0, offline: bool = False) -> Fetched:
    """The file of ``address``: from the cache when it is there and cannot have changed, else downloaded.

    sha256, size: what the registry says of it (None, 0: unknown). ``offline`` (or HF_HUB_OFFLINE=1): no request.
    A damaged file in the cache is fetched again, once, and named in the warnings. Raises :class:`WeightsError`.
    """
    offline = offline or is_offline()
    warnings: list[str] = []
    path = _cached(address)
    if path is not None and not offline and not _is_fixed(address, sha256):
        path = _refreshed(address, path, size, warnings)
    elif path is None:
        if offline:
            raise WeightsError(f"{address}: not in the cache, and offline; run 'dfrestore weights get' with a network")
        path = _download(address, size)
    state = _state(path, sha256)
    if state == "damaged":
        if offline:
            raise WeightsError(f"{path}: damaged in the cache, and offline; run again with a network")
        _forget(path)
        warnings.append(f"{path}: was damaged in the cache, fetched again")
        path = _download(address, size)
        state = _state(path, sha256)
    if state != "intact":
        found = sha256_of(path)[:16]
        raise WeightsError(
            f"{address}: another file than the registry names, or damaged on the way "
            f"(sha256 {found}..., expected {(sha256 or 'a whole file')[:16]}...), in {path}; it is not used"
        )
    if address.revision is None:
        warnings.insert(0, f"{address}: no revision given, so the file can change; pin it with @{_commit(path)}")
    return Fetched(path, sha256, tuple(warnings))


def is_fetched(address: HubAddress) -> bool:
    """Whether the cache holds the file; no request is made."""
    return _cached(address) is not None


def cached_blobs(sha256: str) -> list[Path]:
    """Files in the cache that should have this sha256, from any address; no request is made."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(_cache_folder() or HF_HUB_CACHE)
    return [path for path in sorted(cache.glob(f"models--*/blobs/{sha256}")) if path.is_file()]


def _is_fixed(address: HubAddress, sha256: str | None) -> bool:
    """Whether the cached file needs no look at the Hub: its content is known, or its revision was chosen."""
    return sha256 is not None or address.revision not in (None, "main")


def _refreshed(address: HubAddress, cached: Path, size: int, warnings: list[str]) -> Path:
    """The newest file of a moving revision, or the cached one (with a warning) when the Hub does not answer."""
    try:
        return _download(address, size)
    except _UnreachableError as error:
        warnings.append(f"{error}; the copy in the cache is used")
        return cached


def _state(path: Path, sha256: str | None) -> Literal["intact", "damaged", "other"]:
    """``damaged``: not what the Hub sent. ``other``: what the Hub sent, but not what the registry names."""
    as_sent = _is_as_sent(path)
    if sha256 is not None:
        if sha256_of(path) == sha256:
            return "intact"
        return "other" if as_sent else "damaged"
    if as_sent is None:
        try:
            read_header(path)
        except WeightsError:
            return "damaged"
    return "damaged" if as_sent is False else "intact"


def _is_as_sent(path: Path) -> bool | None:
    """Compare the content with the name of the cache's blob, which is its sha256 or its git hash.

    None when the cache does not say (no symbolic links on this file system, or another kind of ETag).
    """
    if not path.is_symlink():
        return None
    name = Path(os.readlink(path)).name  # noqa: PTH115 - one level only, the blob may be a link itself
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return sha256_of(path) == name
    if re.fullmatch(r"[0-9a-f]{40}", name):
        with open_weights(path) as file:
            data = file.read()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == name
    return None


def _forget(path: Path) -> None:
    """Remove a damaged file from the cache: the link and the blob, so that the client fetches it anew."""
    try:
        if path.is_symlink():
            path.resolve().unlink(missing_ok=True)
            (path.parent / os.readlink(path)).unlink(missing_ok=True)  # noqa: PTH115
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"{path}: damaged, and cannot be removed ({error.strerror}); delete it") from error


def _commit(path: Path) -> str:
    """The commit of a file in the cache: the folder below ``snapshots``."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else "COMMIT"


def _cache_folder() -> str | None:
    """The Hub's cache as the environment names it now (the client reads it once, at import); None: its default."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return folder
    if home := os.environ.get("HF_HOME"):
        return str(Path(home) / "hub")
    return None


def is_offline() -> bool:
    """Whether the environment forbids requests (HF_HUB_OFFLINE=1)."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE


def hub_endpoint() -> str:
    """The Hub that the environment names: HF_ENDPOINT, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT).rstrip("/")


def _cached(address: HubAddress) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(
        address.repo, address.file, cache_dir=_cache_folder(), revision=address.revision
    )
    return Path(found) if isinstance(found, str) else None


class _UnreachableError(WeightsError):
    """The Hub did not answer; a copy in the cache may still do."""


def _download(address: HubAddress, size: int) -> Path:
    """Download through the client. It asks for the metadata first, alone: the client's own second try waits long."""
    import huggingface_hub

    endpoint = hub_endpoint()
    with quiet_client(), _one_line_errors(address, endpoint):
        url = huggingface_hub.hf_hub_url(address.repo, address.file, revision=address.revision, endpoint=endpoint)
        found = huggingface_hub.get_hf_file_metadata(url, timeout=METADATA_TIMEOUT, endpoint=endpoint).size
        if found is not None and (found > MAX_FILE_BYTES or (size and found != size)):
            raise WeightsError(f"{address}: {found} bytes at {endpoint}, expected {size or MAX_FILE_BYTES} or less")
        return Path(
            huggingface_hub.hf_hub_download(
                address.repo,
                address.file,
                revision=address.revision,
                cache_dir=_cache_folder(),
                endpoint=endpoint,
                library_name="dfrestore",
                tqdm_class=_bar_class(),
            )
        )


@contextmanager
def _one_line_errors(address: HubAddress, endpoint: str) -> Iterator[None]:
    """Every failure of the client as one line; its exceptions come from several libraries and span lines."""
    from huggingface_hub import errors as hub

    again = "check the connection and run again; no incomplete file is kept"
    try:
        yield
    except WeightsError:
        raise
    except hub.GatedRepoError as error:
        raise WeightsError(f"{address}: access must be granted on {endpoint}/{address.repo} first") from error
    except hub.RevisionNotFoundError as error:
        raise WeightsError(f"{address}: no revision '{address.revision}' in {address.repo} at {endpoint}") from error
    except hub.EntryNotFoundError as error:
        raise WeightsError(f"{address}: no file '{address.file}' in {address.repo} at {endpoint}") from error
    except hub.RepositoryNotFoundError as error:
        raise WeightsError(
            f"{address}: no repository {address.repo} at {endpoint} (or it is private: 'hf auth login')"
        ) from error
    except hub.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "nothing usable")
        raise _UnreachableError(f"{address}: {endpoint} answered {status}; try again later") from error
    except Exception as error:  # connection errors of the HTTP library, OSError, size checks, a full disk
        cause = getattr(error, "strerror", None) or " ".join(str(error).split())[:160] or type(error).__name__
        raise _UnreachableError(f"{address}: not fetched from {endpoint} ({cause}); {again}") from error


@contextmanager
def quiet_client() -> Iterator[None]:
    """The client's own warnings ("retrying in 2 s") off while it works; what matters ends in our one line."""
    from huggingface_hub.utils.logging import get_logger

    client = get_logger("huggingface_hub")  # through its own function, which sets a level itself the first time
    before = client.level
    client.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        client.setLevel(before)


def _bar_class() -> Any:
    """A progress bar (terminals only) that also ends a transfer which begins anew again and again.

    The client restarts at the first byte when a server ignores ranges, without a limit as long as bytes arrive.
    """
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.restarts = 0
            kwargs.pop("name", None)  # the client's own, which plain bars do not know
            super().__init__(*args, **{**kwargs, "disable": None, "leave": False})

        def update(self, n: float | None = 1) -> bool | None:
            if n is not None and n < 0:
                self.restarts += 1
                if self.restarts > MAX_RESTARTS:
                    raise OSError(f"the transfer broke off {self.restarts} times")
            return super().update(n)  # type: ignore[no-any-return, unused-ignore]

    return Bar
