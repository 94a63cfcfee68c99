"""How figures look: colours that are told apart on light and dark paper and by colour-blind eyes, and their SVG.

Text and lines are drawn in colours that stand for the page's own (:data:`INK`, :data:`FAINT`, :data:`PAPER`); the SVG
refers to the page's variables in their place, so that one figure suits a light page, a dark page and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0077bb", "#ee7733", "#009988", "#cc3377", "#8866cc", "#999933", "#33aadd", "#aa5533")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
INK, FAINT, PAPER = "#101112", "#c0c1c2", "#fdfefd"
PIXELS = 137
"""Of the page for an inch of a figure: one of 7 inches is as wide as the page's text."""
_RC: Any = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.fonttype": "path",
    "text.parse_math": False,  # a network may be called after a file whose name has two dollar signs
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draws figures of the report's look inside the block; settings of a notebook come back behind it."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


def new_axes(axes: Axes | None, width: float = 7.0, height: float = 3.4) -> Axes:
    """Returns the axes that a caller gave, or those of a new figure that no window shows.

    Args:
        width, height: of a new figure in inches.
    """
    if axes is not None:
        return axes
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height)).subplots()


def to_svg(figure: Figure, name: str) -> str:
    """Returns a figure as an SVG element for a page, the same at each call.

    Args:
        name: of the figure in the page, by which the ids inside differ from other figures'.
    """
    import matplotlib as mpl

    file = io.StringIO()
    with mpl.rc_context(_RC | {"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": name})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    text = f'{head} style="max-width: {round(figure.get_figwidth() * PIXELS)}px">{rest}'
    # Ids of glyphs and clip paths are the same in all figures, and what they hold is not.
    text = re.sub(r'(id="|href="#|url\(#)', lambda m: f"{m.group(1)}{name}-", text)
    # Hundredths of a point are enough for lines; glyphs are scaled up later and keep theirs.
    text = re.sub(r' d="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m.group(0)), text)
    for colour, variable in ((INK, "--ink"), (FAINT, "--faint"), (PAPER, "--paper")):
        text = text.replace(colour, f"var({variable})")
    return text


def marked(index: int) -> dict[str, Any]:
    """Returns colour, mark and line of the n-th series: told apart without colours too."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKS[index % len(MARKS)],
        "linestyle": LINES[index % len(LINES)],
    }


def legend_above(axes: Axes) -> None:
    """Puts the legend above the axes, where it hides no line; none where nothing is named."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = min(len(labels), 4) if sum(map(len, labels)) < 60 else 2
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, borderaxespad=0)
