"""Plots: a readable size, the right colours, the same bytes, and no pyplot."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from model.plots import BLUE, ORANGE, plot_reliability, plot_roc, plot_scores, plot_training

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 200)
SCORES = np.clip(RNG.normal(0.3 + 0.4 * LABELS, 0.15), 0, 1)
GROUPS = (np.arange(400) // 10).astype(object)

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train_loss": [0.7, 0.5, 0.4],
        "valid_loss": [0.7, 0.6, 0.55],
        "valid_roc_auc": [0.5, 0.7, 0.8],
        "learning_rate": [1e-3, 1e-3, 1e-4],
    }
)

PLOTS = {
    "roc": lambda path: plot_roc(SCORES, LABELS, GROUPS, path, n_resamples=20),
    "reliability": lambda path: plot_reliability(SCORES, LABELS, path),
    "scores": lambda path: plot_scores(SCORES, LABELS, 0.6, path),
    "training": lambda path: plot_training(HISTORY, path),
}


def has_color(image: Image.Image, color: str) -> bool:
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.asarray(image.convert("RGB")) == wanted).all(-1).any())


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_a_picture_of_readable_size(name, tmp_path):
    path = PLOTS[name](tmp_path / f"{name}.png")
    image = Image.open(path)
    assert path.name == f"{name}.png"
    assert min(image.size) >= 400
    assert len(np.unique(np.asarray(image.convert("L")))) > 10  # not blank


@pytest.mark.parametrize("name", PLOTS)
def test_the_same_numbers_give_the_same_bytes(name, tmp_path):
    first, again = (PLOTS[name](tmp_path / f"{i}.png").read_bytes() for i in "12")
    assert first == again


def test_a_panel_for_each_quantity_of_a_part(tmp_path):
    one = plot_training(HISTORY[["epoch", "train_loss"]], tmp_path / "one.png")
    both = plot_training(HISTORY, tmp_path / "both.png")
    narrow, wide = Image.open(one), Image.open(both)
    assert wide.width == pytest.approx(2 * narrow.width, abs=2)
    assert has_color(narrow, BLUE)
    assert not has_color(narrow, ORANGE)  # nothing of the validation part
    assert has_color(wide, ORANGE)


def test_one_class_has_a_histogram_too(tmp_path):
    assert plot_scores(SCORES[:200], LABELS[:200], 0.6, tmp_path / "scores.png").stat().st_size > 0


def test_plots_need_no_screen_and_metrics_no_plots(tmp_path):
    code = (
        "import sys, model.text, model.policy, model.calibrate; "
        "assert not {'matplotlib', 'jax'} & set(sys.modules), 'metrics import too much'; "
        "import model.plots; "
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot keeps figures alive'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
