"""The same contract in three worlds: memory, the Redis that is there, and the embedded Valkey."""

import pytest

from tests.contracts.aggregates.worlds import MemoryWorld, RedisWorld
from tests.servers import redis as redis_places
from tests.servers.choice import Absent, in_ci


@pytest.fixture(scope="session")
def valkey_server():
    """The Valkey of the demo, whatever else is installed."""
    try:
        server = redis_places.embedded()
    except Absent as reason:
        if in_ci():
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    yield server
    server.close()


@pytest.fixture(params=["memory", "redis", "valkey"])
def world(request):
    """A world with nothing in it, at noon."""
    if request.param == "memory":
        made = MemoryWorld()
    else:
        server = {"redis": "redis_server", "valkey": "valkey_server"}[request.param]
        made = RedisWorld(request.getfixturevalue(server).url)
    yield made
    made.close()
