"""Draw the pictures of docs/analyst.md from a report of the demo, with Playwright and Chromium.

python docs/make_report_pictures.py out/demo/report.html
"""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"


def picture(page: Page, name: str) -> Path:
    """Take a picture of what the window shows."""
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    Image.open(path).convert("RGB").save(path, optimize=True)
    return path


def open_case(page: Page) -> None:
    """Open the highest case of free browsing: its path fills the plane."""
    page.evaluate("openCase(rows.findIndex((row) => row.id.startsWith('browse')))")
    page.wait_for_timeout(300)


def main(report: Path) -> None:
    """Take the three pictures: a case as it opens, its print in the dark, a narrow screen."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.keyboard.press("1")  # a verdict, on to the next case
        open_case(page)
        print(picture(page, "report"))
        page.emulate_media(color_scheme="dark")
        page.evaluate("byId('print').scrollIntoView()")
        page.evaluate("pin({ panel: 2, anchor: strongest(2), cursor: strongest(2) })")
        page.wait_for_timeout(300)
        print(picture(page, "report_dark"))
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 420, "height": 800})
        page.evaluate("byId('queue').open = false")
        open_case(page)
        page.evaluate("showTop()")
        print(picture(page, "report_narrow"))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
