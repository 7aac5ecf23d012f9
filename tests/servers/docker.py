"""Containers, when a Docker engine answers at once and has the image; neither is ever waited for."""

import functools
import os
import shutil
import subprocess

from stream_worker.devservers.child_process import LOOPBACK
from tests.servers.choice import Absent

ANSWER_WITHIN_S = 3


class Container:
    """A started container behind the one method that the shared fixture needs."""

    def __init__(self, image, *, port, published, env):
        """Run the image with its `port` published on loopback as `published`; testcontainers removes it."""
        from testcontainers.core.container import DockerContainer

        self._container = DockerContainer(image).with_envs(**env)
        self._container.ports[f"{port}/tcp"] = (LOOPBACK, published)  # with_bind_ports takes no address
        self._container.start()

    def close(self, *, grace_s):
        """Removed by force at once; `grace_s` is there because a `Child` has it."""
        self._container.stop()


def require_image(image):
    """Absent, with the reason, unless `image` can be run now without a download."""
    if os.environ.get("STREAM_WORKER_TEST_DOCKER", "").lower() == "no":
        raise Absent("switched off by STREAM_WORKER_TEST_DOCKER=no")
    if shutil.which("docker") is None:
        raise Absent("no docker on PATH")
    if not _succeeds("version", "--format", "{{.Server.Version}}"):
        raise Absent("no engine answers")
    if not _succeeds("image", "inspect", image):
        raise Absent(f"the engine has no {image} (docker pull {image})")


@functools.cache
def _succeeds(*arguments):
    try:
        ran = subprocess.run(
            ["docker", *arguments], check=False, capture_output=True, timeout=ANSWER_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0
