"""`draw --print`: which sessions and panels are drawn, and what they are compared with."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sessions
from PIL import Image
from tiny import TINY, untrained

import flows.jobs.draw
from flows.jobs.draw import DrawJob, draw_prints
from model.fraud import FraudScorer
from model.prints import print_of_people, session_prints
from model.run import input_config, save_model
from pipeline.errors import ConfigError, DataError, NotFoundError
from pipeline.schemas import Kind
from rasterize.panels import PANELS

LOG = "session_id,t_ms,x,y,event\n" + "".join(
    f"{name},{20 * i},{(7 * i * (i % step)) % 900},{i * step},{'down' if i == 9 else 'move'}\n"
    for name, step in (("one", 3), ("two", 5))
    for i in range(60)
)


@pytest.fixture
def log(tmp_path):
    """Return a log of two sessions."""
    (tmp_path / "log.csv").write_text(LOG + "short,0,1,1,move\nshort,20,5,5,move\n")
    return tmp_path / "log.csv"


@pytest.fixture
def drawn(monkeypatch):
    """Return a list into which all go that is drawn: sessions, panels and canvas."""
    sheets = []
    original = flows.jobs.draw.print_sheet

    def print_sheet(*parts):
        sheets.append(parts)
        return original(*parts)

    monkeypatch.setattr(flows.jobs.draw, "print_sheet", print_sheet)
    return sheets


def test_without_a_model_there_are_all_panels_as_recorded(log, drawn, tmp_path):
    draw_prints(DrawJob(log, tmp_path / "a.png", ["one"]))
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 1000
    (((session,), panels, _),) = drawn
    assert panels == tuple(PANELS.values())
    assert (session.name, session.caption) == ("session", "one")
    assert session.detail == "60 events in 1 s"
    assert session.points.n_points.tolist() == [60]
    assert (session.points.kind == Kind.DOWN).sum() == 1
    assert session.reference is None
    np.testing.assert_allclose(
        session.counts[..., list(PANELS).index("kind_interval")].sum(), 59, rtol=1e-5
    )


def test_two_sessions_are_drawn_in_the_order_asked_for(log, drawn, tmp_path):
    draw_prints(DrawJob(log, tmp_path / "a.png", ["two", "one"]))
    ((sessions, _, _),) = drawn
    assert [(one.name, one.caption) for one in sessions] == [("A", "two"), ("B", "one")]
    assert (sessions[0].points.y_px != sessions[1].points.y_px).any()
    assert (sessions[0].counts != sessions[1].counts).any()


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([], ConfigError, "3 sessions.*--session, such as one, short, two"),
        (["one", "two", "one"], ConfigError, "compares two at most"),
        (["tow"], NotFoundError, "did you mean two"),
        (["short"], DataError, "'short': no window of 8 events or more.*--window.min-events"),
    ],
)
def test_what_cannot_be_drawn_is_said(log, tmp_path, ids, error, message):
    with pytest.raises(error, match=message):
        draw_prints(DrawJob(log, tmp_path / "a.png", ids))
    assert not (tmp_path / "a.png").exists()


def test_with_a_model_a_session_is_compared_with_people(log, drawn, tmp_path):
    people = make_sessions([(20 * i, 9 * i, 3 * (i % 7)) for i in range(60)])
    of_people = print_of_people(input_config(TINY), people, np.array(["somebody"], object))
    save_model(replace(untrained(), people=of_people), tmp_path / "run")
    draw_prints(DrawJob(log, tmp_path / "a.png", ["one"], model=tmp_path / "run"))

    (((session,), panels, canvas),) = drawn
    assert panels == TINY.panels.panels
    assert canvas == TINY.canvas
    assert session.reference_name == "people"
    np.testing.assert_allclose(session.reference, of_people.counts[0])
    assert (session.points.kind == Kind.MOVE).all()  # as the plain recorder would have it


def test_an_enrolled_account_is_compared_with_itself(log, drawn, tmp_path, monkeypatch):
    own = session_prints(input_config(TINY), make_sessions([(20 * i, 5 * i, i) for i in range(60)]))

    def reference_print(self, account, people):
        return (own if account == "ann" else None), "this account"

    monkeypatch.setattr(FraudScorer, "reference_print", reference_print)
    save_model(untrained(), tmp_path / "run")
    log.write_text(
        "\n".join(
            f"{line},{'account_id' if i == 0 else 'ann' if 'one' in line else ''}"
            for i, line in enumerate(LOG.splitlines())
        )
    )
    draw_prints(DrawJob(log, tmp_path / "a.png", ["one", "two"], model=tmp_path / "run"))

    (((one, two), _, _),) = drawn
    assert one.caption == "one (account ann)"
    assert one.reference_name == "this account"
    np.testing.assert_array_equal(one.reference, own.counts[0])
    assert two.reference is None  # a RUN without a print of people
