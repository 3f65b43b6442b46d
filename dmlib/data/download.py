"""Fetch a file once, from whichever mirror works, and never keep a broken one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


class DataError(RuntimeError):
    """A data file cannot be had or is broken; the message names the file and what to try."""


def cache_folder(data_set: str) -> Path:
    """Where downloads are kept unless the caller says otherwise: the system's cache folder."""
    import pooch

    return Path(pooch.os_cache("dmlib")) / data_set


def fetch(
    name: str,
    *,
    sha256: str,
    mirrors: Sequence[str],
    cache: Path,
    timeout: float = 30.0,
    progress: bool = True,
) -> Path:
    """Find the file in the cache, or download it from the first mirror that serves it whole.

    A download goes to a temporary file, which takes its name only if the hash is right and is
    removed otherwise. So what bears the name is whole, whatever happened before.

    Args:
        name: the file's name, in the cache and behind each mirror's address.
        sha256: of the whole file, in hexadecimal.
        mirrors: base addresses, tried in turn.
        cache: the folder to look in and to download to.
        timeout: seconds that a mirror may stay silent, > 0.
        progress: draw a bar on stderr.

    Returns:
        The path of a file with that hash.

    Raises:
        ValueError: timeout is not positive.
        DataError: no mirror served the file, or the folder cannot be written; says why for each.
    """
    if not timeout > 0:
        raise ValueError(f"timeout must be a number of seconds > 0, got {timeout}")
    path = cache / name
    if has_hash(path, sha256):
        return path
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        failure = _try(url, path, sha256=sha256, timeout=timeout, progress=progress)
        if failure is None:
            return path
        failures.append(f"\n  {url}: {failure}")
    broken = f"; the file that lies there is broken: {path}" if path.exists() else ""
    raise DataError(
        f"{name} could not be downloaded{broken}. Tried:{''.join(failures) or ' no mirror'}\n"
        f"Try: check the connection and run again, or put the file there yourself: {path}"
    )


def has_hash(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this SHA-256."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _try(url: str, path: Path, *, sha256: str, timeout: float, progress: bool) -> str | None:
    """Download url to path; None if that worked, else why not."""
    import pooch
    from requests import RequestException

    downloader = pooch.HTTPDownloader(
        progressbar=progress,
        timeout=timeout,
        # Else a server may say "gzip" of a .gz file, which would then arrive unpacked.
        headers={"Accept-Encoding": "identity"},
    )
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=downloader,
        )
    except RequestException as error:
        return f"{type(error).__name__}: {error}"
    except ValueError as error:  # pooch's word for a wrong hash
        return f"wrong content: {error}"
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error}; try: make room or give another folder, cache=..."
        ) from error
    return None
