"""Set a page in type: page in, PDF out. Slow and hungry, so it runs in a process of its own.

Called by `typesetting_child`, and by whoever draws the pictures of `docs/documents.md`.

What would surprise you: no file is written. A template's data are strings handed in, and a logo is
an SVG string, whatever it was before.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import font_source_sans_pro
import fontpkg_noto_sans_arabic
import msgspec
import typst

from recoup.documents.sheets import sheet_of
from recoup.rules.records.document_pages import Page

TEMPLATES: Final = Path(__file__).parent / "templates"
FONT_FOLDERS: Final = tuple(
    Path(package.__file__).parent / "files"
    for package in (font_source_sans_pro, fontpkg_noto_sans_arabic)
)
_NO_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Press:
    """Holds the fonts, which take a while to read, and sets one page after the other."""

    def __init__(self, *, own_fonts: Path | None = None) -> None:
        """
        :param own_fonts: a folder of the operator's, for scripts that ours lack.
        """
        folders = [str(folder) for folder in (*FONT_FOLDERS, *filter(None, [own_fonts]))]
        fonts = typst.Fonts(
            include_system_fonts=False,  # the same page on every machine
            include_embedded_fonts=True,
            font_paths=folders,
        )
        self._compiler = typst.Compiler(root=str(TEMPLATES), font_paths=fonts)

    def pdf(self, page: Page, *, logo: str | None = None) -> bytes:
        """Set a page. The same page and logo give the same bytes.

        :raises typst.TypstError: a template does not take it, or the logo is no picture.
        """
        made = self._set(page, logo, "pdf")
        assert isinstance(made, bytes)
        return made

    def pictures(self, page: Page, *, logo: str | None = None, ppi: float) -> list[bytes]:
        """The pages of a document as PNG."""
        made = self._set(page, logo, "png", ppi=ppi)
        assert made is not None
        return [made] if isinstance(made, bytes) else made

    def _set(
        self, page: Page, logo: str | None, form: Literal["pdf", "png"], ppi: float | None = None
    ) -> bytes | list[bytes] | None:
        sheet = sheet_of(page)
        handed_in = {"sheet": msgspec.json.encode(sheet).decode()}
        if logo is not None:
            handed_in["logo"] = logo
        return self._compiler.compile(
            input=str(TEMPLATES / f"{sheet.kind}.typ"),
            format=form,
            ppi=ppi,
            sys_inputs=handed_in,
            timestamp=_NO_MOMENT,  # not the clock's: a page made again is the same file
        )
