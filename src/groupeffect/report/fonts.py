"""The part of the Chinese font that a page needs, so that the page carries it and no reader sees empty boxes."""

from __future__ import annotations

import base64
import io
import logging
from functools import lru_cache

from groupeffect.report.style import chinese_font

__all__ = ["font_data_url"]


def font_data_url(text: str) -> str:
    """Font with the characters of a text, as a data URL (WOFF, base64); the same bytes for the same characters.

    Parameters
    ----------
    text : str
        Everything that the font must be able to write.

    Returns
    -------
    str
        ``data:font/woff;base64,...``
    """
    return _subset("".join(sorted(set(text) | set(map(chr, range(32, 127))))))


@lru_cache(maxsize=8)
def _subset(characters: str) -> str:
    from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every glyph at INFO
    options = Options(layout_features=["kern", "liga", "palt"], hinting=False, desubroutinize=True, notdef_outline=True)
    font = TTFont(chinese_font(), recalcTimestamp=False, lazy=True)
    subsetter = Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    font.flavor = "woff"
    buffer = io.BytesIO()
    font.save(buffer, reorderTables=True)
    font.close()
    return "data:font/woff;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
