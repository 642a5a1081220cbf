"""One labelled sheet of many drawings, which fills as they come; and many as one that moves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lora_gui import files
from lora_gui.formats import png
from lora_gui.studio.things.drawings import pixels

LARGEST = 8192  # px of a side
GAP, MARGIN = 8, 12  # px
PAPER, EMPTY, INK = (250, 250, 249), (232, 232, 230), (40, 40, 44)
SECONDS = 0.4  # that each drawing of a moving one is shown


@dataclass
class Sheet:
    """`columns` and `rows` are labels; a side without any has one row or column without a label."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    size: tuple[int, int]  # px of a drawing
    _image: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        across, down = len(self.columns), len(self.rows)
        fits = min(1.0, LARGEST * 0.9 / (across * self.size[0]), LARGEST * 0.9 / (down * self.size[1]))
        self._cell = max(16, int(self.size[0] * fits)), max(16, int(self.size[1] * fits))
        size = max(12, min(28, self._cell[0] // 16))
        self._font = ImageFont.load_default(size)
        self._left = MARGIN + max(map(self._width, self.rows)) + (MARGIN if any(self.rows) else 0)
        self._top = 2 * MARGIN + (int(size * 1.4) if any(self.columns) else 0)
        width = self._left + across * (self._cell[0] + GAP) - GAP + MARGIN
        height = self._top + down * (self._cell[1] + GAP) - GAP + MARGIN
        self._image = Image.new("RGB", (width, height), PAPER)
        self._label()

    def put(self, row: int, column: int, drawing: Path) -> None:
        """Put one of our own drawings into its cell. Raises UserError where it is damaged, or gone."""
        small = pixels(drawing)
        if small.size != self._cell:
            small = small.resize(self._cell, Image.Resampling.LANCZOS)
        self._image.paste(small, self._place(row, column))

    def save(self, path: Path, told: str) -> None:
        """Write the sheet as PNG, with what was drawn in the text that other programs read."""
        files.write_bytes(path, png.encode(self._image, told))

    def _place(self, row: int, column: int) -> tuple[int, int]:
        return self._left + column * (self._cell[0] + GAP), self._top + row * (self._cell[1] + GAP)

    def _label(self) -> None:
        draw = ImageDraw.Draw(self._image)
        for column, label in enumerate(self.columns):
            x = self._place(0, column)[0] + self._cell[0] // 2
            draw.text((x, MARGIN), self._cut(label, self._cell[0]), INK, self._font, anchor="ma")
        for row, label in enumerate(self.rows):
            y = self._place(row, 0)[1] + self._cell[1] // 2
            draw.text((MARGIN, y), self._cut(label, self._width_of_rows()), INK, self._font, anchor="lm")
            for column in range(len(self.columns)):
                place = self._place(row, column)
                draw.rectangle((*place, place[0] + self._cell[0] - 1, place[1] + self._cell[1] - 1), EMPTY)

    def _width_of_rows(self) -> int:
        return max(map(self._width, self.rows))

    def _width(self, label: str) -> int:
        return min(int(self._font.getlength(label)), max(120, self._cell[0]))

    def _cut(self, label: str, width: int) -> str:
        """As much of a label as there is room for."""
        while label and self._font.getlength(label) > width + 1:
            label = label.rstrip("…")[:-1].rstrip() + "…" if len(label) > 2 else ""
        return label


def animate(drawings: Sequence[Path], path: Path) -> None:
    """Write drawings as one WebP that goes through them and back without an end. Raises UserError as `Sheet.put`."""
    frames = [pixels(drawing) for drawing in drawings]
    there_and_back = frames + frames[-2:0:-1]
    data = io.BytesIO()
    there_and_back[0].save(
        data, "WEBP", save_all=True, append_images=there_and_back[1:], duration=int(SECONDS * 1000), loop=0, quality=90
    )
    files.write_bytes(path, data.getvalue())
