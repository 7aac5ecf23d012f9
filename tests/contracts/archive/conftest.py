"""An empty store of each kind, and an archive on it."""

import secrets

import pytest

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from tests.contracts.rows import LOG


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "memory":
        return open_store("memory:///")
    if request.param == "folder":
        return open_store((tmp_path / "odd %41 name").as_uri())
    return s3_store(request.getfixturevalue("s3"))


def s3_store(s3, **options):
    keys = {"access_key_id": s3.access_key, "secret_access_key": s3.secret_key, "region": s3.region}
    url = f"s3://{s3.new_bucket()}/some/prefix-{secrets.token_hex(3)}"
    return open_store(url, endpoint=s3.endpoint, allow_http=True, **(keys | options))


@pytest.fixture
def archive(store):
    return ObjectArchive(store, LOG)
