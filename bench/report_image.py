"""Picture of a run's report for the README: `python bench/report_image.py runs/ID docs/report.png [--light]`."""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def main() -> None:
    """Render the top of a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder with report.html, or the page itself")
    parser.add_argument("image", type=Path)
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--chromium", default=CHROMIUM)
    options = parser.parse_args()
    page_file = options.run / "report.html" if options.run.is_dir() else options.run
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        page = browser.new_page(
            viewport={"width": 1280, "height": options.height},
            color_scheme="light" if options.light else "dark",
            reduced_motion="reduce",
        )
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("#equity .main-svg")
        page.screenshot(path=options.image)
        browser.close()


if __name__ == "__main__":
    main()
