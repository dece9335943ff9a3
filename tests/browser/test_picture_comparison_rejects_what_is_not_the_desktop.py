"""The judge is judged first: a comparison that accepts everything would prove nothing."""

import pytest
from PIL import Image, ImageChops, ImageOps

from desktop import SIZE
from pictures import TOLERANCE_LEVELS, colour_card, differing_share

CARD = colour_card(SIZE)
RED, GREEN, BLUE = CARD.split()


def test_the_same_picture_is_accepted():
    """Two drawings of the card are equal: it is the same in every run, and nothing is random."""
    assert colour_card(SIZE).tobytes() == CARD.tobytes()
    assert differing_share(colour_card(SIZE), CARD) == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Image.new("RGB", SIZE, "black"), id="blank black"),
        pytest.param(Image.new("RGB", SIZE, CARD.resize((1, 1)).getpixel((0, 0))), id="blank mean"),
        pytest.param(ImageChops.offset(CARD, 1, 0), id="one pixel to the right"),
        pytest.param(ImageChops.offset(CARD, 0, 1), id="one pixel down"),
        pytest.param(Image.merge("RGB", (BLUE, GREEN, RED)), id="red and blue swapped"),
        pytest.param(Image.merge("RGB", (GREEN, RED, BLUE)), id="red and green swapped"),
        pytest.param(ImageOps.mirror(CARD), id="mirrored"),
        pytest.param(ImageOps.flip(CARD), id="upside down"),
        pytest.param(CARD.resize((400, 300)).resize(SIZE), id="blurred by scaling"),
        pytest.param(CARD.crop((0, 0, SIZE[0], SIZE[1] - 1)), id="one line short"),
    ],
)
def test_a_picture_with_a_fault_is_rejected(fault: Image.Image):
    """Each fault a broken session could show is seen in a large part of the picture."""
    assert differing_share(fault, CARD) > 0.25


@pytest.mark.parametrize(
    ("off_by", "accepted"), [(TOLERANCE_LEVELS, True), (TOLERANCE_LEVELS + 1, False)]
)
def test_one_wrong_pixel_is_enough(off_by: int, accepted: bool):
    """Within the tolerance is equal, and one single pixel beyond it is a difference."""
    spoilt = CARD.copy()
    red, green, blue = spoilt.getpixel((400, 300))
    spoilt.putpixel((400, 300), (red, green + off_by, blue))
    assert (differing_share(spoilt, CARD) == 0) is accepted
