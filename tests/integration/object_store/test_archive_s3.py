"""The archive in a bucket: servers that are away, hang, refuse, lose answers or overwrite."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from stream_worker.adapters.object_store.archive import PROBE_NAME, ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.core.archive.layout import plan_name
from stream_worker.devservers.child_process import free_port
from stream_worker.errors import Misconfigured, Unavailable
from tests.contracts.rows import LOG, part, plan

pytestmark = pytest.mark.timeout(120)
SECRET = "a-secret-that-nobody-may-read"


def archive_at(endpoint, bucket="bucket", key="key", secret=SECRET, timeout_s=5.0):
    store = open_store(
        f"s3://{bucket}/prefix",
        endpoint=endpoint,
        access_key_id=key,
        secret_access_key=secret,
        region="us-east-1",
        allow_http=True,
        timeout_s=timeout_s,
    )
    return ObjectArchive(store, LOG)


class OddStore(BaseHTTPRequestHandler):
    """A bucket in memory that answers oddly: `odd(verb, name)` is a status, "lose the answer" or None."""

    def log_message(self, *_):
        pass

    def _serve(self, verb, body=b""):
        name = unquote(urlsplit(self.path).path).removeprefix("/bucket/prefix/")
        objects, odd = self.server.objects, self.server.odd(verb, name)
        if isinstance(odd, int):
            return self._answer(odd, f"<Error><Code>Odd{odd}</Code><Key>{SECRET}</Key></Error>".encode())
        if verb == "PUT":
            if name in objects and self.headers.get("If-None-Match") == "*" and odd != "overwrite":
                return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            objects[name] = body
            if odd == "lose the answer":
                self.close_connection = True
                self.connection.close()
                return None
            return self._answer(200, b"")
        if name not in objects:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, objects[name])

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Tue, 22 Sep 2026 12:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self._serve("GET")

    def do_PUT(self):
        self._serve("PUT", self.rfile.read(int(self.headers["Content-Length"])))


@pytest.fixture
def odd_store():
    """Start an odd store: `odd_store(odd)` returns an archive on it, and the server with its `objects`."""
    servers = []

    def start(odd):
        server = ThreadingHTTPServer(("127.0.0.1", 0), OddStore)
        server.objects, server.odd = {}, odd
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return archive_at(f"http://127.0.0.1:{server.server_port}"), server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# ---------------------------------------------------------------- away and back


def test_a_store_that_is_away_is_named_with_its_setting():
    endpoint = f"http://127.0.0.1:{free_port()}"
    archive = archive_at(endpoint)

    for ask in (
        lambda: archive.create_plan(0, plan(0, 5)),
        lambda: archive.find_plan_log(0, 100),
        lambda: archive.write_rows(0, plan(0, 5), [part([1])]),
        archive.probe,
    ):
        with pytest.raises(Unavailable) as caught:
            ask()
        message = str(caught.value)
        assert f"s3://bucket/prefix at {endpoint}" in message
        assert "`archive.url`" in message
        assert "\n" not in message
        assert SECRET not in message


def test_after_an_outage_the_same_calls_give_the_same_answers(private_s3):
    # Given a server that is killed after the plan
    server = private_s3()
    archive = archive_at(server.endpoint, server.new_bucket(), server.access_key, server.secret_key)
    made = archive.create_plan(0, plan(0, 10))
    server.child.kill()
    with pytest.raises(Unavailable):
        archive.write_rows(0, made, [part([1, 2])])

    # When it is back
    server.child.start()

    # Then
    assert archive.create_plan(0, plan(0, 99)) == made
    objects = archive.write_rows(0, made, [part([1, 2])])
    assert [stored.rows for stored in objects] == [2]
    assert archive.find_plan_log(0, 10).last == made


def test_a_store_that_hangs_is_unknown_after_the_time_limit(private_s3):
    # Given
    server = private_s3()
    keys = (server.new_bucket(), server.access_key, server.secret_key)
    impatient = archive_at(server.endpoint, *keys, timeout_s=1.0)
    impatient.probe()

    # When one of these calls, which race with the signal, is not answered any more
    server.child.freeze()
    try:
        with pytest.raises(Unavailable, match="cannot create _plans"):  # noqa: PT012
            for partition in range(1000):
                impatient.create_plan(partition, plan(0, 10))
    finally:
        server.child.thaw()

    # Then the write may have happened or not; asking again tells, and all agree from there on
    archive = archive_at(server.endpoint, *keys, timeout_s=30.0)
    decided = archive.create_plan(partition, plan(0, 11))
    assert decided.end in (10, 11)
    assert archive.plans(partition) == [decided]


def test_a_write_whose_answer_was_lost_is_found_when_it_is_asked_again(odd_store):
    # Given a store that does it, and closes the connection instead of answering
    oddities = iter(["lose the answer"])
    archive, server = odd_store(lambda verb, _: next(oddities, None) if verb == "PUT" else None)
    with pytest.raises(Unavailable):
        archive.create_plan(0, plan(0, 10))
    assert plan_name(LOG, 0, 0) in server.objects

    # When the same is asked again, or by another one with another end
    answers = [archive.create_plan(0, plan(0, 10)), archive.create_plan(0, plan(0, 77))]

    # Then
    assert answers == [plan(0, 10)] * 2


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_server_is_unknown_and_says_the_code(odd_store, status):
    archive, _ = odd_store(lambda *_: status)

    with pytest.raises(Unavailable, match=rf"{status} Odd{status}") as caught:
        archive.create_plan(0, plan(0, 10))

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("verb", "right"), [("PUT", "s3:PutObject"), ("GET", "s3:GetObject and s3:ListBucket")]
)
def test_a_missing_right_is_named(odd_store, verb, right):
    archive, server = odd_store(lambda asked, _: 403 if asked == verb else None)
    server.objects[plan_name(LOG, 0, 0)] = b"there"

    with pytest.raises(Unavailable, match=f"403.*the right {right}") as caught:
        archive.create_plan(0, plan(0, 10))

    assert SECRET not in str(caught.value)


def test_a_missing_right_to_list_is_named(odd_store):
    archive, _ = odd_store(lambda *_: 403)

    with pytest.raises(Unavailable, match=r"cannot list _plans.*403.*the right s3:ListBucket"):
        archive.plans(0)


def test_wrong_keys_are_unavailable_and_never_shown(s3):
    archive = archive_at(s3.endpoint, s3.new_bucket(), s3.access_key, SECRET)

    with pytest.raises(Unavailable, match="403 SignatureDoesNotMatch; check the keys") as caught:
        archive.probe()

    assert SECRET not in str(caught.value)


def test_a_missing_bucket_is_not_an_empty_one(odd_store):
    # Given an answer that says "not found" of the bucket, not of the object
    archive, _ = odd_store(lambda *_: 404)
    OddNoBucket = b"<Error><Code>NoSuchBucket</Code></Error>"  # noqa: N806
    with pytest.MonkeyPatch.context() as patch:
        answer = OddStore._answer
        patch.setattr(OddStore, "_answer", lambda self, status, _: answer(self, status, OddNoBucket))

        # When, Then
        for ask in (lambda: archive.find_plan_log(0, -1), lambda: archive.create_plan(0, plan(0, 1))):
            with pytest.raises(Unavailable, match="404 NoSuchBucket"):
                ask()


def test_refused_as_there_and_yet_not_there_is_asked_again(odd_store):
    # Given the answer of S3 while another writer's PUT of the same name is under way
    archive, _ = odd_store(lambda verb, _: 409 if verb == "PUT" else None)

    with pytest.raises(Unavailable, match="asking again"):
        archive.create_plan(0, plan(0, 10))


def test_a_store_that_overwrites_is_a_wrong_setting(odd_store):
    archive, server = odd_store(lambda verb, _: "overwrite" if verb == "PUT" else None)

    with pytest.raises(Misconfigured, match=r"s3://bucket/prefix at .* overwrites"):
        archive.probe()

    assert PROBE_NAME in server.objects


def test_an_address_without_tls_must_be_meant():
    with pytest.raises(Misconfigured, match=r"archive\.allow_http"):
        open_store("s3://bucket", endpoint="http://127.0.0.1:1")


def test_the_keys_are_in_no_text_of_the_store():
    archive = archive_at("http://127.0.0.1:1")

    assert SECRET not in repr(archive._objects._store) + archive._objects.address
