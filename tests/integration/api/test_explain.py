"""Why this score, over HTTP: GET and POST, limits, and a model that is refused."""

import concurrent.futures
import http.client
import json
import threading

import pytest

from stream_worker.api.explain import BODY_BYTES_MAX, WAITING_MAX, Explained
from stream_worker.errors import Misconfigured
from stream_worker.inference.explainer import Explainer
from tests.integration.api.conftest import served


@pytest.fixture(scope="module")
def asked(redis_server):
    with served(redis__url=redis_server.url) as client:
        yield client


def post(client, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request("POST", "/api/v1/explain", body, {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_the_words_come_in_their_order_with_what_each_did(asked):
    answer = asked.ask("/api/v1/explain?text=the%20worst%20phone%20%F0%9F%98%A1%20%3A%28")

    assert answer.status == 200
    Explained.model_validate(answer.json, extra="forbid")
    assert answer.json["label"] == "negative"
    assert [of["word"] for of in answer.json["words"]] == ["the", "worst", "phone", "😡", ":("]
    total = sum(of["weight"] for of in answer.json["words"]) + answer.json["rest"]
    assert total == pytest.approx(answer.json["log_odds"], abs=0.001)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_text_that_no_log_should_see_is_posted(asked):
    by_get = asked.ask("/api/v1/explain?text=not%20good").json

    assert post(asked, json.dumps({"text": "not good"})) == (200, by_get)
    assert post(asked, '{"text": "half \\ud800 a character"}')[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("", 400, "JSON"),
        ("[1]", 400, "JSON"),
        ("{}", 400, "JSON"),
        ('{"text": 7}', 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        ("[" * 10_000, 400, "JSON"),
        ('{"text": ""}', 400, "1 to 1000 characters"),
        (json.dumps({"text": "x" * 1_001}), 400, "1 to 1000 characters"),
        (b"x" * (BODY_BYTES_MAX + 1), 413, "longer"),
    ],
)
def test_what_cannot_be_explained_is_a_problem(asked, body, status, says):
    found, said = post(asked, body)

    assert found == said["status"] == status
    assert says in said["detail"]


@pytest.mark.parametrize("query", ["", "?text=", "?text=" + "x" * 1_001])
def test_a_question_without_a_text_or_with_a_long_one_is_400(asked, query):
    answer = asked.ask(f"/api/v1/explain{query}")

    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_other_methods_are_told_what_is_answered(asked):
    answer = asked.ask("/api/v1/explain", "DELETE")

    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_a_refused_model_is_no_answer_and_its_path_is_not_told(redis_server, tmp_path):
    # Given a model that is not the pinned one
    path = tmp_path / "mine.joblib"
    path.write_bytes(b"anything")
    with served(redis__url=redis_server.url, model__path=path, model__pin="0" * 64) as client:
        # When somebody asks
        answers = [client.ask("/api/v1/explain?text=hello") for _ in range(2)]

        # Then it is said so, and everything else is answered
        for answer in answers:
            assert (answer.status, answer.headers["retry-after"]) == (503, "60")
            assert "model verify" in answer.json["detail"]
            assert "mine.joblib" not in answer.json["detail"]
        assert client.ask("/livez").status == 200


def test_a_slow_model_holds_up_nobody_else_and_few_may_wait(redis_server, monkeypatch):
    # Given a model that takes its time
    go_on, begun = threading.Event(), threading.Event()

    def slowly(self, text):
        begun.set()
        go_on.wait(10)
        raise Misconfigured("never mind")

    monkeypatch.setattr(Explainer, "explain", slowly)
    with served(redis__url=redis_server.url) as client, concurrent.futures.ThreadPoolExecutor(12) as pool:
        # When more ask than may wait
        try:
            waiting = [pool.submit(client.ask, "/api/v1/explain?text=x") for _ in range(WAITING_MAX + 3)]
            assert begun.wait(5)

            # Then others are answered meanwhile, and the last ones are sent away
            assert client.ask("/livez").status == 200
            done, _ = concurrent.futures.wait(waiting, 5, concurrent.futures.FIRST_COMPLETED)
            assert all(one.result().headers["retry-after"] == "2" for one in done)
            assert done
        finally:
            go_on.set()
        statuses = [one.result().status for one in waiting]
        assert statuses == [503] * len(waiting)
