"""The page in a real Chromium: what it shows, and that it runs nothing hostile."""

import os
import secrets
from urllib.parse import quote

import pytest

from tests.integration.api.browser import browser, find_programs
from tests.integration.api.conftest import served, wait_for
from tests.integration.api.scene import Scene, brand
from tests.integration.api.test_hostile import NAMES
from tests.servers.choice import Absent

PAGE_BYTES_MAX = 150_000
WITHIN_S = 10


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    try:
        find_programs()
    except Absent as reason:
        if os.environ.get("STREAM_WORKER_TEST_CHROMIUM"):
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    with browser(folder=tmp_path_factory.mktemp("browser"), timezone="Europe/Berlin") as opened:
        yield opened


@pytest.fixture
def page(api, scene, chromium):
    """`page(path)` opens an address and waits until it is live."""
    chromium.address = f"http://127.0.0.1:{api.port}"

    def show(path="/", **look):
        scene.live()
        chromium.look(**look)
        chromium.open(chromium.address + path)
        shows(chromium, ".fresh", "Live")
        chromium.console()
        return chromium

    chromium.console()
    yield show
    chromium.open("about:blank")  # its live feed takes a place


def shows(chromium, query, text):
    """Wait until the first element that fits shows a text."""
    try:
        wait_for(lambda: text in (chromium.text(query) or ""), WITHIN_S)
    except AssertionError:
        pytest.fail(f"{query} never showed {text!r} but {chromium.text(query)!r}; {chromium.console()}")


def test_a_page_with_charts_loads_no_more_than_it_may(page):
    shown = page("/brands/Fennmark")
    wait_for(lambda: shown.run("return document.querySelectorAll('.chart canvas').length") == 2, WITHIN_S)

    loaded = shown.run(
        "return ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
        ".filter(it => !it.name.includes('/api/')).map(it => [it.name, it.decodedBodySize])"
    )

    assert sum(size for _, size in loaded) <= PAGE_BYTES_MAX, loaded
    assert all(name.startswith(shown.address) for name, _ in loaded)


def test_the_sentence_on_top_and_the_title_say_who_needs_you(page):
    shown = page("/")
    shows(shown, "h1", "Kestrel Coffee is in a negative spike.")
    shows(shown, "#open", "Kestrel Coffee, since")

    assert shown.run("return document.title") == "1 alert: Kestrel Coffee. Stream Worker"
    assert shown.text(".nav .count") == "1"
    first = shown.text(".brands tr.row")
    assert first.startswith("Kestrel Coffee")
    assert "Negative spike since" in first


def test_figures_on_the_page_equal_the_api(page, api):
    shown = page("/?window=1h")
    shows(shown, ".brands", "Fennmark")
    rows = {row["brand"]: row for row in api.ask("/api/v1/brands?window=1h").json["brands"]}
    cells = shown.run(
        "return Object.fromEntries([...document.querySelectorAll('.brands tr.row')].map(row => ["
        "row.querySelector('a').textContent, [...row.querySelectorAll('td.right')].map(td => td.innerText)]))"
    )

    assert set(cells) == set(rows)
    for name in ("Fennmark", "Nordlys Air", "Kestrel Coffee"):
        row, (net, negative, mentions, voices) = rows[name], cells[name]
        points = round(row["net_estimate"] * 100)
        assert net.split()[0] == (f"+{points}" if points > 0 else f"\u2212{-points}" if points else "0")
        assert negative.splitlines()[0] == f"{row['negative_share'] * 100:.0f}\u202f%"
        assert mentions.splitlines()[0] == f"{row['mentions']:,}"
        assert voices.splitlines()[0] == f"{row['voices']:,}"
    # and what the margin holds is said in words: this model is not the one in the settings
    assert "sampling only, not what the model mistakes" in shown.text(".brands-legend")


PATHS = ("/", "/brands/Kestrel%20Coffee", "/alerts", "/pipeline")


@pytest.mark.parametrize("path", [*PATHS, "alert"])
def test_the_console_is_empty_under_the_policy_in_both_schemes(page, api, path):
    if path == "alert":
        path = f"/alerts/{api.ask('/api/v1/alerts').json['alerts'][0]['id']}"

    shown = page(path, scheme="dark")
    if path not in ("/", "/alerts", "/pipeline"):
        wait_for(lambda: shown.run("return document.querySelectorAll('.chart canvas').length") >= 1, WITHIN_S)
    wait_for(lambda: len((shown.text("h1") or "").strip()) > 1, WITHIN_S)
    shown.look(scheme="light")  # charts are drawn anew

    assert shown.run("return getComputedStyle(document.body).backgroundColor") == "rgb(250, 249, 247)"
    assert shown.run("return document.querySelectorAll('h1').length") == 1
    assert shown.console() == []


@pytest.mark.parametrize("path", ["/", "/brands/Kestrel%20Coffee", "/pipeline"])
def test_nothing_scrolls_sideways(page, path):
    shown = page(path, width=1920)
    for width in (1366, 1024, 800, 390):
        shown.look(width=width, mobile=width < 500)

        # Then, once its charts are drawn at that width, nothing lies beyond the edge
        beyond = "return document.documentElement.scrollWidth - innerWidth"
        wait_for(lambda: shown.run(beyond) <= 0, WITHIN_S)  # noqa: B023  called at once


def test_the_page_lives(page, scene):
    shown = page("/")
    shows(shown, ".brands", "Fennmark")
    mentions = "return document.querySelector('.brands tr.row .c-vol .two').textContent"
    before = shown.run(mentions)

    scene.live(share=0.5)

    wait_for(lambda: shown.run(mentions) != before, WITHIN_S)


def test_keys_move_pause_and_change_the_zone(page):
    shown = page("/")
    shows(shown, ".brands", "Fennmark")

    shown.press("j")
    assert shown.run("return document.activeElement.textContent") == "Kestrel Coffee"
    shown.press("j")
    assert shown.run("return document.activeElement.closest('tr').rowIndex") > 1
    shown.press("p")
    shows(shown, ".fresh", "Paused at")
    shown.press("p")
    shows(shown, ".fresh", "Live")
    assert "Europe/Berlin" in shown.text(".fresh")
    shown.press("z")
    shows(shown, ".fresh", "Times in UTC")
    shown.press("/")
    assert shown.run("return document.activeElement.name") == "find"


def test_what_is_not_there_is_said(page, chromium):
    page("/brands/nobody")
    shows(chromium, "main", "Nobody has mentioned this brand")
    page("/alerts/none")
    shows(chromium, "main", "This alert is not known here.")


def test_hostile_names_are_shown_and_never_run(chromium, redis_server):
    # Given brands whose names are scripts and markup
    prefix = f"{{t{secrets.token_hex(6)}}}"
    scene = Scene(redis_server.url, prefix, {name: brand(30, 0.3, 0.3) for name in NAMES}).play(5)
    with served(redis__url=redis_server.url, redis__prefix=prefix) as api, redis_server.client() as client:
        address = f"http://127.0.0.1:{api.port}"
        chromium.look()
        chromium.open(f"{address}/")
        chromium.run("window.alert = () => { window.hacked = true }")
        wait_for(
            lambda: chromium.run("return document.querySelectorAll('.brands tr.row a').length") == len(NAMES)
        )

        # Then each is shown as it is, letter by letter, and none became an element or ran
        names = chromium.run(
            "return [...document.querySelectorAll('.brands tr.row a')].map(a => a.textContent)"
        )
        assert set(names) == set(NAMES)
        assert chromium.run("return document.querySelectorAll('main script, main img, main b').length") == 0

        # And its own page finds it by the link
        for name in NAMES[:4]:
            chromium.open(f"{address}/brands/{quote(name, safe='')}")
            wait_for(lambda: any(map(str.isdigit, chromium.text("#k2") or "")), WITHIN_S)
            assert chromium.run("return document.querySelector('h1').textContent") == name
        assert chromium.run("return window.hacked ?? null") is None
        assert chromium.console() == []
        for key in list(client.scan_iter(f"{prefix}*", count=1000)):
            client.delete(key)
    scene.aggregates._client.close()


def test_redis_away_inverts_the_bar_and_takes_no_number(chromium, private_redis):
    # Given a page that is empty at first
    server = private_redis(keep=True)
    with served(redis__url=server.url, redis__socket_timeout="500ms") as api:
        chromium.look()
        chromium.open(f"http://127.0.0.1:{api.port}/")
        shows(chromium, "h1", "No brand has been mentioned yet.")

        # And then has numbers
        scene = Scene(server.url, town={"acme": brand(40, 0.3, 0.3)}).play(4)
        shows(chromium, ".brands", "acme")
        number = chromium.text(".brands .c-vol .two")

        # When Redis is killed
        server.child.kill()

        # Then the bar says so, and the number stays
        shows(chromium, ".fresh", "Not live.")
        assert "Redis does not answer" in chromium.text(".fresh")
        assert "loud" in chromium.run("return document.querySelector('.fresh').className")
        assert chromium.text(".brands .c-vol .two") == number

        # And when it is back, it is live without a reload
        server.child.start()
        scene.live()
        shows(chromium, ".fresh", "Live")
        scene.aggregates._client.close()

    # And when the server is gone, the page says that it is alone
    shows(chromium, ".fresh", "This page lost its connection.")
    assert chromium.text(".brands .c-vol .two")
