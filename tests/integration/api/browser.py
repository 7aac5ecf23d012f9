"""A Chromium for tests and screenshots, driven through chromedriver's own HTTP (W3C WebDriver).

`STREAM_WORKER_TEST_CHROMIUM` and `STREAM_WORKER_TEST_CHROMEDRIVER` name the programs; else PATH is searched.
On Debian both come with `apt-get install chromium chromium-driver`.
"""

import base64
import json
import os
import shutil
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from stream_worker.devservers.child_process import LOOPBACK, Child, free_port, listens
from tests.servers.choice import Absent

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-proxy-server", "--lang=en-GB", "--force-color-profile=srgb"),
)


def find_programs():
    """Chromium and its driver, by path. Raises Absent."""
    browser = os.environ.get("STREAM_WORKER_TEST_CHROMIUM") or _first(NAMES)
    driver = os.environ.get("STREAM_WORKER_TEST_CHROMEDRIVER") or shutil.which("chromedriver")
    if not browser or not driver:
        raise Absent("neither chromium nor chromedriver is on PATH (Debian: chromium, chromium-driver)")
    return browser, driver


def _first(names):
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def browser(*, folder, timezone="UTC"):
    """Start a browser; yields a `Browser`. It sees nothing of the user's own profile."""
    program, driver = find_programs()
    port = free_port()
    child = Child(
        "chromedriver",
        [driver, f"--port={port}", "--log-level=SEVERE"],
        address=f"http://{LOOPBACK}:{port}",
        is_ready=lambda: listens(port),
        folder=folder,
        env={"TZ": timezone, "HOME": str(folder)},
    )
    with child:
        made = Browser(child.address, program, folder)
        try:
            yield made
        finally:
            made.close()


class Browser:
    """One window."""

    def __init__(self, address, program, folder):
        self._address = address
        options = {
            "binary": str(program),
            "args": [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def look(self, width=1440, height=900, *, scheme="dark", scale=1, mobile=False):
        """Set the size of the window and the colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)

    def open(self, address):
        """Open an address and wait for its load."""
        self._ask("POST", f"{self._session}/url", {"url": address})

    def run(self, script, *arguments):
        """Run the body of a function in the page; returns what it returns."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, query="body"):
        """The text that is shown in the first element that fits."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? null", query)

    def console(self):
        """What the console said since the last call, as one line each."""
        found = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{entry['level']} {entry['message']}" for entry in found]

    def screenshot(self, path, *, whole=False):
        """Write what is seen as PNG, or the whole page."""
        found = self.command("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def press(self, key):
        """Press a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def command(self, name, **parameters):
        """Send a command of the DevTools protocol."""
        body = {"cmd": name, "params": parameters}
        return self._ask("POST", f"{self._session}/goog/cdp/execute", body)

    def close(self):
        self._ask("DELETE", self._session)

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            said = json.loads(error.read())["value"]
            raise AssertionError(f"{said['error']}: {said['message'].splitlines()[0]}") from None
