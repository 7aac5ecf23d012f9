"""Fixtures for every test: the servers, one each a session, and private ones that a test may break."""

import logging
import secrets

import pytest
import structlog

from tests.servers import kafka as kafka_places
from tests.servers import redis as redis_places
from tests.servers import s3 as s3_places
from tests.servers.choice import choose

_STARTED = pytest.StashKey()
LONGEST = (
    *(
        "e2e/test_audit.py",
        "e2e/test_hostile.py",
        "test_demo_of_some_seconds",
        "test_ctrl_c_ends_it_in_order",
    ),
    *("e2e/test_replay_real_file.py", "e2e/test_small.py", "simulation/tests/test_simulation.py"),
    *("goes_away_in_the_middle", "test_predict.py", "test_every_transition_of_the_table"),
)


def pytest_configure(config):
    config.stash[_STARTED] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with the longest, so that no core waits at the end; the rest stays in random order."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


def pytest_sessionfinish(session):
    """Tell the process that prints the summary which servers this one used (with `-n`)."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = {
            what: str(server) for what, server in session.config.stash[_STARTED].items()
        }


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.stash[_STARTED].update(getattr(node, "workeroutput", {}).get("servers", {}))


def pytest_terminal_summary(terminalreporter, config):
    """Say which servers the tests ran against."""
    for what, server in config.stash[_STARTED].items():
        terminalreporter.write_line(f"servers: {what} = {server}")


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    """A command that runs in a test sends logs to the streams of that test, which are closed after it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    if root.handlers is not handlers:
        root.handlers = handlers
        root.setLevel(level)


def _shared(request, what, places):
    server = choose(what, places)
    request.config.stash[_STARTED][what] = server
    yield server
    server.close()


@pytest.fixture(scope="session")
def kafka(request):
    """A broker all tests share: `bootstrap`, `kind`, `version`, `new_topic()`."""
    yield from _shared(request, "kafka", kafka_places.SHARED)


@pytest.fixture(scope="session")
def redis_server(request):
    """A Redis all tests share: `url`, `kind`, `version`, `client()`. Write below `redis_prefix` only."""
    yield from _shared(request, "redis", redis_places.SHARED)


@pytest.fixture(scope="session")
def s3(request):
    """An S3 endpoint all tests share: `endpoint`, keys, `new_bucket()`, `store_options()`."""
    yield from _shared(request, "s3", s3_places.SHARED)


@pytest.fixture
def redis_prefix(redis_server):
    """A key prefix of the test's own, also its hash tag; what lies below it is deleted afterwards."""
    prefix = f"{{t{secrets.token_hex(6)}}}"
    yield prefix
    with redis_server.client() as client:
        for keys in _in_chunks(client.scan_iter(f"{prefix}*", count=1000)):
            client.delete(*keys)


def _in_chunks(keys, size=1000):
    chunk = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@pytest.fixture
def private_redis():
    """Start Redis servers of the test's own: `private_redis(keep=False)`; see `start_redis` for options.

    Without `keep` a killed one starts again as it was at its last SAVE, or empty: Redis gone back in time.
    """
    yield from _factory(lambda **options: choose("private redis", redis_places.private(**options)))


@pytest.fixture
def private_kafka():
    """Start brokers of the test's own; `.child` stops, kills, freezes and starts them."""
    yield from _factory(lambda: choose("private kafka", kafka_places.PRIVATE))


@pytest.fixture
def private_s3():
    """Start S3 servers of the test's own; `.child` stops, kills, freezes and starts them."""
    yield from _factory(lambda: choose("private s3", s3_places.PRIVATE))


def _factory(start):
    started = []

    def start_one(**options):
        started.append(start(**options))
        return started[-1]

    yield start_one
    for server in started:
        server.close()
