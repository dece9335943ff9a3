"""Draw a picture that gives faults away, and compare pictures pixel by pixel.

noVNC always asks for JPEG, and a VNC server uses it for slopes of colour. The first frames are
rough; TigerVNC sends resting areas again at a quality that it calls lossless, and that is off by
up to 4 of 256 levels. So a pixel may be off by twice that, and no pixel by more: the fine lines of
the card differ from what is beside them by far more than the tolerance.
"""

from PIL import Image, ImageChops, ImageDraw

TOLERANCE_LEVELS = 8


def colour_card(size: tuple[int, int]) -> Image.Image:
    """A colourful picture without symmetry: moved, mirrored, scaled or recoloured, it is another.

    The slopes hold thousands of colours, so a VNC server sends them by its way for photographs.
    The fine lines make a shift by one pixel visible everywhere, the blocks tell the corners apart.
    """
    slope = Image.linear_gradient("L")  # black at the top, white at the bottom
    card = Image.merge(
        "RGB",
        [
            slope.rotate(90).resize(size),
            slope.resize(size),
            Image.radial_gradient("L").resize(size),
        ],
    )
    pen = ImageDraw.Draw(card)
    width, height = size
    for x in range(-height, width, 5):
        pen.line([(x, 0), (x + height, height)], fill=(x % 256, 255 - x % 256, 128))
    block = width // 8
    for x, y, colour in [
        (0, 0, "red"),
        (width - block, 0, "lime"),
        (0, height - block, "blue"),
        (width - block, height - block, "yellow"),
    ]:
        pen.rectangle([x, y, x + block - 1, y + block - 1], fill=colour)
    return card


def differing_share(shown: Image.Image, wanted: Image.Image) -> float:
    """The share of pixels, 0 to 1, with red, green or blue off by more than the tolerance."""
    if shown.size != wanted.size:
        return 1.0
    red, green, blue = ImageChops.difference(shown.convert("RGB"), wanted.convert("RGB")).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return sum(largest.histogram()[TOLERANCE_LEVELS + 1 :]) / (shown.width * shown.height)
