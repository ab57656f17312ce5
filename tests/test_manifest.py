"""A model is data: nothing of it runs, and what isn't as it was saved is refused."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from tiny import untrained

from model.manifest import ENCODING, RUN_MANIFEST, check_manifest, write_manifest
from model.run import load_model, save_model
from pipeline.errors import NotFoundError, SchemaError

ROOT = Path(__file__).resolve().parent.parent


def edit_manifest(run, **changes):
    path = run / RUN_MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def parts(run):
    """Return the files that a manifest knows."""
    return sorted(json.loads((run / RUN_MANIFEST).read_text())["files"])


def test_every_file_that_decides_a_score_is_in_the_manifest(run):
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert set(parts(run)) == names - {RUN_MANIFEST}
    assert {"config.json", "calibration.json", "policy.json"} < set(parts(run))
    check_manifest(run)


def test_a_changed_missing_or_added_file_is_refused(run, tmp_path):
    for number, name in enumerate(parts(run)):
        for broken in ("changed", "missing"):
            copy = shutil.copytree(run, tmp_path / f"{number}-{broken}")
            path = copy / name
            if broken == "missing":
                path.unlink()
            else:
                path.write_bytes(path.read_bytes() + b" ")
            # Without its settings a folder is no RUN at all.
            with pytest.raises((SchemaError, NotFoundError), match=r"manifest|no trained model"):
                load_model(copy)
    (run / "checkpoint" / "more").write_text("")
    with pytest.raises(SchemaError, match="checkpoint/more is not one of its files"):
        load_model(run)


def test_what_decides_no_score_may_come_and_go(run):
    (run / "MODEL_CARD.md").write_text("a note of mine")
    (run / "checkpoint" / ".profiles.unfinished").write_text("in the making")
    assert load_model(run).model_id == untrained().model_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoding": ENCODING + 1}, f"encoding {ENCODING + 1} of paths.*train it again with this"),
        ({"encoding": 1}, f"encoding 1 of paths, this pointerprint has {ENCODING}: its scores"),
        ({"version": 99}, "version 99, this pointerprint reads 1"),
        ({"schema": "store"}, "this pointerprint reads 1"),
        ({"files": []}, "files: Input should be an object"),
    ],
)
def test_a_model_for_another_version_is_refused_with_what_to_do(run, changes, message):
    edit_manifest(run, **changes)
    with pytest.raises(SchemaError, match=message):
        load_model(run)


@pytest.mark.parametrize("content", ["", "{}", "[" * 100_000, "null", "\x80"])
def test_a_model_without_a_whole_manifest_is_refused(run, content):
    (run / RUN_MANIFEST).write_bytes(content.encode("latin1"))
    with pytest.raises(SchemaError, match=r"can't be read|expected a JSON object|version None"):
        load_model(run)
    (run / RUN_MANIFEST).unlink()
    with pytest.raises(SchemaError, match="no whole model: train the model again"):
        load_model(run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("calibration.json", '{"method": "platt", "slope": NaN, "intercept": 0, "base_rate": 1}'),
        ("calibration.json", '{"method": "platt", "slope": [], "intercept": 0, "base_rate": 1}'),
        ("calibration.json", "[1, 2]"),
        ("policy.json", '{"budget": 0.01, "thresholds": 3, "n_people": 1, "n_sessions": 1}'),
        (
            "policy.json",
            '{"budget": 0.01, "thresholds": [{"a": 1}], "n_people": 1, "n_sessions": 1}',
        ),
        ("policy.json", '{"budget": Infinity, "thresholds": [], "n_people": 1, "n_sessions": 1}'),
    ],
)
def test_settings_that_make_no_sense_are_refused_even_where_their_hash_is_right(run, name, content):
    (run / name).write_text(content)
    write_manifest(run)
    with pytest.raises(SchemaError):
        load_model(run)


def test_parameters_that_are_no_numbers_never_score(tmp_path):
    model = untrained()
    network = model.scorer.network
    nnx.update(network, nnx.State({"head": nnx.Param(network.head[...] * np.nan)}))
    save_model(model, tmp_path / "run")
    with pytest.raises(SchemaError, match="a number of head is not finite"):
        load_model(tmp_path / "run")


def test_a_manifest_accepts_the_old_and_the_new_profiles_while_they_change(run, tmp_path):
    """Whoever loads meanwhile, or after a crash at any of these moments, gets one or the other."""
    (run / "profiles").mkdir()
    path, new = run / "profiles" / "profiles.parquet", tmp_path / "new"
    path.write_text("old")
    write_manifest(run)
    new.write_text("new")

    check_manifest(run)
    write_manifest(run, {"profiles/profiles.parquet": new})
    check_manifest(run)
    new.replace(path)
    check_manifest(run)
    write_manifest(run)
    check_manifest(run)
    path.write_text("neither")
    with pytest.raises(SchemaError, match=r"profiles\.parquet is not what it was"):
        check_manifest(run)


def test_loading_a_model_executes_nothing(run, tmp_path):
    """No pickle is read, no program started, no address called; Python itself is asked."""
    other = shutil.copytree(run, tmp_path / "other")
    script = f"""
import sys
from pathlib import Path
from model.device import prepare_jax
prepare_jax()
from model.run import load_model
load_model(Path({str(run)!r}))  # what is imported on the way is ours
seen = []
FORBIDDEN = ("pickle.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "socket.connect", "socket.bind", "ctypes.dlopen", "marshal.load", "shelve.")
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(FORBIDDEN) else None)
load_model(Path({str(other)!r}))
hooked = len(seen)
import pickle, subprocess
pickle.loads(pickle.dumps(Path))  # the hook does see what it looks for
print(hooked, len(seen) > hooked, seen)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    n_forbidden, sees, _ = result.stdout.split(maxsplit=2)
    assert (n_forbidden, sees) == ("0", "True"), result.stdout


def test_no_file_of_a_model_is_a_pickle_or_a_program(saved_run):
    for path in saved_run.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not re.match(rb"\x80[\x02-\x05]", content), f"{path} begins as a pickle does"
            if path.suffix == ".npz":  # a zip of arrays of numbers alone
                with np.load(path, allow_pickle=False) as arrays:
                    assert all(arrays[name].dtype.kind in "fiu" for name in arrays.files), path
            else:
                assert not content.startswith((b"#!", b"\x7fELF", b"PK\x03\x04")), path
            assert not path.stat().st_mode & 0o111, f"{path} is executable"
