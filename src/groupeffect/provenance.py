"""Content hashes: what went in, with which options, by which code. No clock, no machine name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["hash_file", "hash_files", "hash_text", "hash_values", "package_hash", "package_version"]

_LENGTH = 16


def hash_text(text: str) -> str:
    """Short SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def hash_values(values: Mapping[str, Any]) -> str:
    """Short hash of plain values, independent of the order of keys."""
    return hash_text(json.dumps(values, sort_keys=True, default=str, ensure_ascii=False))


def hash_file(path: Path) -> str:
    """Short hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_LENGTH]


def hash_files(paths: Iterable[Path], base: Path) -> dict[str, str]:
    """Hash of each file by its path relative to `base`, sorted."""
    return {path.relative_to(base).as_posix(): hash_file(path) for path in sorted(paths)}


@cache
def package_hash() -> str:
    """Hash of the package's own source and templates: results made by other code are stale."""
    root = Path(__file__).parent
    files = [path for path in root.rglob("*") if path.suffix in {".py", ".toml", ".j2", ".typ", ".css", ".json"}]
    return hash_values(hash_files(files, root))


@cache
def package_version() -> str:
    """Installed version."""
    from importlib.metadata import version

    return version("groupeffect")
