"""How a process is set up before JAX is there."""

import os
import subprocess
import sys

import pytest

HOARD = """
import threading
from model.device import prepare_jax
prepare_jax()
def hold():
    # Many blocks below the size that gets pages of its own, then all given back.
    blocks = [bytearray(60_000) for _ in range(300)]
    del blocks[::2]
    kept.append(blocks)
    gate.wait()
kept, gate = [], threading.Barrier(9)
threads = [threading.Thread(target=hold) for _ in range(8)]
[thread.start() for thread in threads]
gate.wait()
import ctypes, tempfile
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as told:
    file = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    assert libc.malloc_info(0, file) == 0
    libc.fclose(file)
    print(open(told.name).read().count("<heap nr="))
"""


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
    reason="only glibc has heaps to share",
)
@pytest.mark.parametrize(
    ("environment", "fewest", "most"), [({}, 1, 2), ({"MALLOC_ARENA_MAX": "6"}, 3, 6)]
)
def test_threads_share_two_heaps_unless_the_environment_says_otherwise(environment, fewest, most):
    clean = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"}

    told = subprocess.run(
        [sys.executable, "-c", HOARD], env=clean | environment, capture_output=True, text=True
    )

    assert told.returncode == 0, told.stderr
    assert fewest <= int(told.stdout) <= most


def test_jax_is_set_up_before_it_is_imported():
    script = "import sys, model.device; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
