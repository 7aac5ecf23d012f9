"""Pictures of the page for the documentation: `make screenshots` (needs Chromium and chromedriver).

The page is the real one, over a Redis that the real scripts filled with an invented town.
"""

import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from models.registry import SHIPPED, named, read_manifest
from stream_worker.devservers.redis import start_redis
from tests.checkout import CHECKOUT
from tests.integration.api.browser import browser
from tests.integration.api.conftest import served
from tests.integration.api.scene import Scene
from tests.servers.choice import Absent

IMAGES = CHECKOUT / "docs/images"
MINUTES = 300
PICTURES = {
    "overview-dark.png": ("/", {"scheme": "dark"}),
    "overview-light.png": ("/", {"scheme": "light"}),
    "brand-dark.png": ("/brands/Kestrel%20Coffee", {"scheme": "dark", "height": 1000}),
    "overview-mobile.png": ("/", {"scheme": "dark", "width": 390, "height": 844, "mobile": True}),
}
READY = "return document.querySelectorAll('.brands .usual, .chart canvas').length > 1"


MODEL = f"{read_manifest(named(SHIPPED)).sha256[:12]}-k1"


class Town(Scene):
    """The town as the shipped model scores it, of which the page knows what it mistakes."""

    def apply(self, rows, partition=0, watermark_ms=0, model=MODEL):
        super().apply(rows, partition, watermark_ms, model)


def main():
    """Fill, serve, look, write."""
    redis = start_redis()
    print(f"{MINUTES} minutes of an invented town …", file=sys.stderr)
    scene = Town(redis.address).play(MINUTES)
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        served(redis__url=redis.address) as api,
        browser(folder=Path(folder)) as window,
    ):
        for name, (path, look) in PICTURES.items():
            window.look(scale=2, **look)
            scene.live()
            window.open(f"http://127.0.0.1:{api.port}{path}")
            for _ in range(60):
                scene.live()
                time.sleep(0.5)
                if window.run(READY) and "Live" in window.text(".fresh"):
                    break
            else:
                raise SystemExit(f"{path} was not ready within 30 s: {window.text('body')[:200]!r}")
            for _ in range(5):  # what is worked out beside the requests is there as well
                scene.live()
                time.sleep(1)
            window.screenshot(IMAGES / name)
            shrink(IMAGES / name)
            print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size // 1024} KiB", file=sys.stderr)
        said = window.console()
        assert said == [], said
    redis.close()


def shrink(path):
    """Write the picture with 256 colours: a page has few, and the file is a third."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    small.save(path, optimize=True)


if __name__ == "__main__":
    try:
        main()
    except Absent as absent:
        sys.exit(f"make screenshots: {absent}")
