"""Draw the rows as the picture that opens ``docs/benchmarks.md``: one bar for each ratio."""

import html
from pathlib import Path

from benchmarks.harness import Row
from benchmarks.report import amount

LINE, LEFT, WIDE, RIGHT, TOP = 26, 330, 430, 210, 58
INK, FAINT, FASTER, SLOWER = "#24292f", "#8c959f", "#1a7f64", "#bf3989"


def picture(rows: list[Row], environment: str) -> str:
    """Return an SVG: our time, or memory, as a share of JAX's.

    >>> svg = picture([Row("eager gradient", 1e-4, 1e-3, 0.1)], "jax 0.12")
    >>> svg.startswith("<svg"), "10.0" in svg
    (True, True)
    """
    scale = WIDE / max([1.25, *(row.ratio for row in rows)])
    height = TOP + LINE * len(rows) + 40
    width = LEFT + WIDE + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(16, 24, "jaxcore beside JAX in one run: shorter is better", INK, size=16),
    ]
    one, bottom = LEFT + scale, TOP + LINE * len(rows)
    for k, row in enumerate(sorted(rows, key=lambda row: row.ratio)):
        y, end = TOP + LINE * k, LEFT + scale * row.ratio
        colour = FASTER if row.ratio <= 1 else SLOWER
        ours, peer = amount(row.ours, row.unit), amount(row.peer, row.unit)
        parts += [
            _text(LEFT - 10, y + 13, row.name, INK, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="18" fill="{colour}"/>',
            _text(max(end, one if row.ratio > 0.8 else 0) + 8, y + 13, f"{row.ratio:.2f}", INK),
            _text(LEFT + WIDE + 60, y + 13, f"{ours}  /  {peer}", FAINT),
        ]
    parts += [
        f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 8}" y2="{bottom}" stroke="{INK}"/>',
        _text(one, TOP - 13, "JAX", INK, anchor="middle"),
        _text(16, bottom + 24, environment, FAINT, size=11),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(
    x: float, y: float, text: str, colour: str, *, size: int = 13, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-size="{size}" text-anchor="{anchor}">'
        f"{html.escape(text)}</text>"
    )


def write_picture(rows: list[Row], environment: str, path: Path) -> None:
    """Write the picture to `path`."""
    path.write_text(picture(rows, environment), encoding="utf-8")
