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


def open_case(page: Page, highlight: str, share_played: float) -> None:
    """Open the highest case that moves for more than 250 events."""
    page.evaluate("openCase(rows.findIndex((row) => row.n_events > 250))")
    page.evaluate(
        f"byId('highlight').value = '{highlight}'; seek({share_played} * player.path.last)"
    )
    page.wait_for_timeout(300)


def main(report: Path) -> None:
    """Take the three pictures."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1390}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        open_case(page, "weights", 1)
        print(picture(page, "report"))
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 1280, "height": 800})
        page.evaluate("byId('summary').open = false")
        page.keyboard.press("1")
        open_case(page, "window", 0.6)
        print(picture(page, "report_dark"))
        page.set_viewport_size({"width": 400, "height": 900})
        page.evaluate("byId('case').scrollIntoView()")
        open_case(page, "", 0.6)
        print(picture(page, "report_narrow"))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
