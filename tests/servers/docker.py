"""Containers, when a Docker engine answers at once; it is never waited for."""

import functools
import os

from tests.servers.choice import Absent

ANSWER_WITHIN_S = 2


@functools.cache
def _why_not():
    """None when an engine answers; else the reason in a few words."""
    if os.environ.get("STREAM_WORKER_TEST_DOCKER", "").lower() == "no":
        return "switched off by STREAM_WORKER_TEST_DOCKER=no"
    try:
        import docker
    except ImportError:
        return "testcontainers is not installed"
    try:
        client = docker.from_env(timeout=ANSWER_WITHIN_S)
        client.ping()
        client.close()
    except docker.errors.DockerException:
        return "no engine answers"
    return None


def require_engine():
    if reason := _why_not():
        raise Absent(reason)
