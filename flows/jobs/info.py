"""Find out what is installed, which devices there are, and what would be used."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import jax

from model.batches import SCORED
from model.network import compute_dtype

PACKAGES: Final = (
    *("pointerprint", "jax", "jaxlib", "flax", "optax", "numpy", "pandas"),
    *("pyarrow", "pillow", "matplotlib", "prefect", "cyclopts"),
)


def installation() -> dict[str, Any]:
    """Return it as JSON holds it."""
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return {
        "pointerprint": _version("pointerprint"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": [
            {"kind": device.device_kind, "platform": device.platform} for device in jax.devices()
        ],
        "used": {
            "backend": jax.default_backend(),
            "processors": len(os.sched_getaffinity(0)),
            "images_as": str(compute_dtype()),
            "windows_at_once": SCORED,
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
        },
        "cache": {"folder": cache, **_size(cache)},
    }


def info_text(found: dict[str, Any]) -> str:
    """Return the installation as lines for people."""
    packages = found["packages"]
    used, cache = found["used"], found["cache"]
    rows = [
        ("pointerprint", packages["pointerprint"]),
        ("python", f"{found['python']} on {found['platform']}"),
        ("packages", ", ".join(f"{name} {v or '-'}" for name, v in list(packages.items())[1:])),
        ("devices", ", ".join(f"{d['kind']} ({d['platform']})" for d in found["devices"])),
        (
            "used",
            f"{used['backend']}, {used['processors']} processors, images as {used['images_as']}, "
            f"{used['windows_at_once']} windows at once",
        ),
        ("XLA flags", used["xla_flags"] or "none"),
        (
            "cache",
            f"{cache['folder']}: {cache['n_files']} files, {cache['bytes'] / 1e6:.0f} MB"
            if cache["folder"]
            else "none: every start compiles anew",
        ),
    ]
    return "\n".join(f"{name:<13} {text}" for name, text in rows)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _size(folder: str | None) -> dict[str, int]:
    """Return how much lies in the folder of compiled programs."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()] if folder else []
    return {"n_files": len(files), "bytes": sum(path.stat().st_size for path in files)}
