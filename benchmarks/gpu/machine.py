"""What the figures were made on, and what it can do at best: product, copy, transfer."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.programs import Setting, on
from benchmarks.gpu.timing import median_seconds
from benchmarks.speed.timing import Result
from benchmarks.speed.timing import machine as cpu_of_machine

_SMI = "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit"


def describe(setting: Setting) -> dict[str, object]:
    """Return the device, the driver, the versions and the CPU with its clock."""
    cpu = cpu_of_machine()
    return {
        "device": setting.device.device_kind if setting.has_gpu else "none but the CPU",
        "nvidia-smi": _nvidia_smi(),
        "platform": setting.device.client.platform_version.replace("\n", "; "),
        "CPU": cpu["processor"],
        "CPU cores": cpu["cores"],
        "CPU clock, MHz": _clock_mhz(),
        "load": cpu["load"],
        "Python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")},
    }


def _nvidia_smi() -> str:
    """Return what the driver says of its first GPU, with the names of the values."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "not installed"
    command = [program, f"--query-gpu={_SMI}", "--format=csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return "; ".join(done.stdout.splitlines()[:2]) or f"exit code {done.returncode}"


def _clock_mhz() -> str:
    """Return the clock of each core at this moment, lowest and highest."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return f"{min(clocks):.0f} to {max(clocks):.0f}" if clocks else "unknown"


@dataclass(frozen=True)
class Peaks:
    """What the device was measured to do at best."""

    flops: dict[str, float]  # a second, of a large product, by type
    bytes_s: float  # read and written, of a large copy
    sent_bytes_s: float  # from the host

    def as_result(self) -> Result:
        """Return them as a table."""
        reached = {
            f"product of two large matrices, {dtype}": f"{flops / 1e12:.3g} TFLOP/s"
            for dtype, flops in self.flops.items()
        } | {
            "copy on the device": f"{self.bytes_s / 1e9:.4g} GB/s",
            "from the host": f"{self.sent_bytes_s / 1e9:.3g} GB/s",
        }
        rows: list[dict[str, object]] = [
            {"what": what, "measured": value} for what, value in reached.items()
        ]
        return Result("peaks", "What the device can do at best", rows)

    def least_s(self, dtype: str, flops: float, moved: float, sent: float) -> tuple[float, str]:
        """Return how long this much work takes at least, and what limits it."""
        needs = {
            "arithmetic": flops / self.flops[dtype],
            "memory": moved / self.bytes_s,
            "transfer": sent / self.sent_bytes_s,
        }
        limit = max(needs, key=lambda name: needs[name])
        return needs[limit], limit


def measure_peaks(setting: Setting) -> Peaks:
    """Return what a large product, a large copy and a large transfer reach."""
    sizes, device = setting.sizes, setting.device

    def seconds(case: Callable[[], jax.Array]) -> float:
        return median_seconds(lambda: case().block_until_ready(), sizes.case_s)

    flops = {}
    for dtype in setting.dtypes:
        square = on(device, np.ones((sizes.matrix, sizes.matrix), np.float32))
        square = square.astype(dtype)
        product = jax.jit(lambda a: a @ a)
        taken_s = seconds(partial(product, square))
        flops[dtype] = 2 * sizes.matrix**3 / taken_s
    many = on(device, np.ones(sizes.copied_mib * 2**18, np.float32))
    copy = jax.jit(lambda a: a + jnp.float32(1))
    copied_s = seconds(lambda: copy(many))
    host = np.ones(sizes.sent_mib * 2**18, np.float32)
    sent_s = seconds(lambda: jax.device_put(host, device, may_alias=False))
    return Peaks(flops, 2 * many.nbytes / copied_s, host.nbytes / sent_s)
