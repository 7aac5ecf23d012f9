"""A background that retries quickly, and what it says."""

import pytest

from stream_worker.worker.background import BackgroundThread


@pytest.fixture
def said():
    """What was said about trouble and recovery, in order."""
    return []


@pytest.fixture
def start(said):
    started = []

    def start_one(**options):
        options = {"delay_first_s": 0.01, "delay_max_s": 0.05} | options
        background = BackgroundThread(
            lambda name, error: said.append(("trouble", name, str(error))),
            lambda name, seconds: said.append(("recovery", name, seconds >= 0)),
            **options,
        )
        started.append(background)
        return background

    yield start_one
    for background in started:
        background.close(1.0)


@pytest.fixture
def background(start):
    return start()
