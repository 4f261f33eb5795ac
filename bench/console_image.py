"""Pictures of the live demo for the README: `python bench/console_image.py docs/console.png [--seconds 90]`.

Starts the demo, waits, and takes the page in dark; beside it `-light` and `-phone`.
"""

import argparse
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.report_image import ARGUMENTS, CHROMIUM
from stakan.apps.demo import OPERATOR, DemoPlan, running

VIEWS = (("", 1440, 1000, "dark"), ("-light", 1440, 1000, "light"), ("-phone", 390, 844, "dark"))
_DRAWN_MS = 30_000
"""A heat-map needs some history to be looked at."""


def main() -> None:
    """Render the console."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--seconds", type=float, default=60, help="how long the bot trades before the pictures")
    parser.add_argument("--only-dark", action="store_true")
    parser.add_argument("--chromium", default=CHROMIUM)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    with running(DemoPlan(folder=folder, console_port=0), print) as demo, sync_playwright() as playwright:
        time.sleep(options.seconds)
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        for suffix, width, height, scheme in VIEWS[: 1 if options.only_dark else None]:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(demo.console_url)
            page.fill("#user", OPERATOR)
            page.fill("#password", demo.password)
            page.press("#password", "Enter")
            page.wait_for_selector(":root[data-live=live] #heatmap canvas")
            page.wait_for_timeout(_DRAWN_MS)
            image = options.image.with_name(options.image.stem + suffix + options.image.suffix)
            page.screenshot(path=image)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
