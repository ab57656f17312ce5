"""The palettes: their ends, and that lighter is faster, or more, to every kind of eye."""

import numpy as np
import pytest

from rasterize.palette import (
    BACKGROUND,
    SCALE,
    SHARE_SCALE,
    WEIGHT_SCALE,
    ink_on_background,
    share_color,
    speed_color,
    weight_color,
)

# What each kind of colour-blindness makes of linear red, green and blue, at its strongest.
# Machado, Oliveira, Fernandes 2009 (IEEE TVCG 15:6, 1291-1298), table 1.
SEEN_BY = {
    "everyone else": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lightness(colors, seen=SEEN_BY["everyone else"]):
    """Return CIE L*, 0 to 100, of sRGB colours (IEC 61966-2-1; CIE 15:2004, 8.2.1)."""
    srgb = np.asarray(colors) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = np.clip(linear @ np.transpose(seen), 0, 1) @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def test_lightness_of_black_grey_and_white():
    np.testing.assert_allclose(
        lightness([(0, 0, 0), (119, 119, 119), (255, 255, 255)]), [0, 50, 100], atol=0.1
    )


def test_slow_is_blue_and_fast_is_yellow():
    assert speed_color(np.array([0.0, 0.5, 1.0])).tolist() == [
        [46, 64, 168],
        [196, 84, 148],
        [255, 222, 96],
    ]


def test_what_is_off_the_scale_has_the_colour_of_its_end():
    assert speed_color(np.array([-1.0, 7.0])).tolist() == speed_color(np.array([0.0, 1.0])).tolist()


@pytest.mark.parametrize("who", SEEN_BY)
@pytest.mark.parametrize(("color", "span"), [(speed_color, 40), (share_color, 80)])
def test_faster_and_more_are_lighter_to(color, span, who):
    every_step = lightness(color(np.linspace(0, 1, 33)), SEEN_BY[who])

    assert (np.diff(every_step) > 0).all()
    assert every_step[-1] - every_step[0] > span


def test_shares_go_from_the_background_to_nearly_white():
    ends = share_color(np.array([-1.0, 0.0, 1.0, 2.0]))
    assert ends.tolist() == [list(BACKGROUND)] * 2 + [[244, 248, 206]] * 2
    steps = lightness(SHARE_SCALE)
    assert np.ptp(np.diff(steps)) < 0.25 * np.diff(steps).mean()  # about even


def test_the_slowest_stands_out_from_the_background():
    assert lightness(SCALE[0]) - lightness(BACKGROUND) > 25


def test_without_ink_there_is_background_and_with_all_of_it_colour():
    picture = ink_on_background(np.array([[0.0, 1.0, 0.5]]), np.array([[0.0, 1.0, 0.5]]))

    assert picture[0, 0].tolist() == list(BACKGROUND)
    assert picture[0, 1].tolist() == [255, 222, 96]
    np.testing.assert_allclose(
        picture[0, 2], (picture[0, 0] + picture[0, 1].astype(int)) / 2, atol=1
    )


@pytest.mark.parametrize("who", ["everyone else", "protanopes", "deuteranopes"])
def test_what_raised_a_score_is_yellower_than_what_lowered_it_to(who):
    """Red and green may look alike; blue against orange is told by yellow against blue."""
    linear = (WEIGHT_SCALE / 255) ** 2.2 @ np.transpose(SEEN_BY[who])
    red, green, blue = np.clip(linear, 0, 1).T
    yellowness = (red + green) / 2 - blue

    assert (np.diff(yellowness) > 0.1).all()
    assert lightness(WEIGHT_SCALE[[0, 2]], SEEN_BY[who]).min() > lightness(BACKGROUND) + 25


def test_no_weight_is_grey_and_the_ends_are_the_scales():
    ends = weight_color(np.array([-2.0, 0.0, 2.0]))
    np.testing.assert_array_equal(ends, WEIGHT_SCALE)
