"""The archive in a folder: durable before it is visible, nothing half-written, readable by any tool."""

import os
import time
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.errors import Misconfigured, Unavailable
from tests.contracts.rows import LOG, NOON_MS, manifest, part, plan

HOUR_MS = 3_600_000


@pytest.fixture
def root(tmp_path):
    return tmp_path / "archive"


@pytest.fixture
def archive(root):
    return ObjectArchive(open_store(root.as_uri()), LOG)


@pytest.fixture
def disk(monkeypatch):
    """What was asked of the disk, in order: ("sync", inode) and ("link", inode)."""
    asked = []
    link, fsync = os.link, os.fsync

    def noted_link(source, target):
        asked.append(("link", Path(source).stat().st_ino))
        link(source, target)

    def noted_fsync(descriptor):
        asked.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    monkeypatch.setattr(os, "link", noted_link)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    return asked


def file_of(root, name):
    path = root / name
    return path, ("sync", path.stat().st_ino)


# ---------------------------------------------------------------- power cuts


def test_a_file_is_synced_before_it_has_its_name_and_its_folders_after(root, archive, disk):
    archive.keep_dead_value(0, 7, b"value")

    path, synced = file_of(root, f"_dead/{LOG.name}/0/{7:020d}")
    linked = disk.index(("link", path.stat().st_ino))
    assert synced in disk[:linked]
    folders = [path.parent, path.parent.parent, path.parent.parent.parent, root]
    assert [("sync", folder.stat().st_ino) for folder in folders] == disk[linked + 1 :]


def test_folders_above_the_root_are_synced_when_it_is_opened(tmp_path, disk):
    root = tmp_path / "new" / "newer"

    ObjectArchive(open_store(root.as_uri()), LOG)

    assert {("sync", folder.stat().st_ino) for folder in (root.parent, tmp_path)} <= set(disk)


def test_a_file_that_was_there_already_is_synced_too(root, archive, disk):
    # Given a file whose writer was killed before it could sync the folder
    archive.keep_dead_value(0, 7, b"value")
    disk.clear()

    # When
    archive.keep_dead_value(0, 7, b"value")

    # Then
    path, synced = file_of(root, f"_dead/{LOG.name}/0/{7:020d}")
    assert synced in disk
    assert ("sync", path.parent.stat().st_ino) in disk


def test_a_writer_killed_before_the_link_leaves_nothing_a_reader_sees(root, archive, monkeypatch):
    # Given a writer that ends between the temporary file and its name
    made = archive.create_plan(0, plan(0, 10))

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            archive.write_rows(0, made, [part([1, 2])])
    assert len(list((root / "_temporary").iterdir())) == 1

    # When another one writes the chunk
    objects = archive.write_rows(0, made, [part([1, 2, 3])])

    # Then only its file counts, for every reader
    assert [path.name for path in root.rglob("*.parquet*")] == [objects[0].name.rsplit("/", 1)[1]]
    assert ds.dataset(root, partitioning="hive").count_rows() == 3
    assert archive.find_plan_log(0, -1).last == made


def test_temporary_files_go_after_an_hour_and_not_before(root, archive):
    # Given
    archive.probe()
    old, young = root / "_temporary" / "aa#1", root / "_temporary" / "bb#1"
    for path, age_s in ((old, 3700), (young, 3500)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)

    # When
    archive.find_plan_log(0, -1)

    # Then
    assert not old.exists()
    assert young.exists()


def test_a_leftover_does_not_keep_its_object_from_being_written(root, archive):
    archive.probe()
    before = set((root / "_temporary").iterdir())
    for _ in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "link", _no_space)
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            with pytest.raises(Unavailable):
                archive.create_plan(0, plan(0, 5))
    assert len(set((root / "_temporary").iterdir()) - before) == 3

    assert archive.create_plan(0, plan(0, 5)) == plan(0, 5)


# ---------------------------------------------------------------- trouble


def _no_space(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(root, archive, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _no_space)
        with pytest.raises(Unavailable, match=r"No space left on device.*archive\.url"):
            archive.create_plan(0, plan(0, 5))
    assert list(root.rglob("*.json*")) == []
    assert list((root / "_temporary").iterdir()) == []

    assert archive.create_plan(0, plan(0, 9)) == plan(0, 9)


def test_a_folder_that_may_not_be_written_says_so(root, archive, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)

    with pytest.raises(Unavailable, match=rf"cannot create _probe/create-only in file://{root}.*this user"):
        archive.probe()


def test_a_file_in_place_of_the_folder_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(Misconfigured, match=r"archive\.url .*file"):
        open_store((tmp_path / "file").as_uri())


@pytest.mark.parametrize("url", ["", "/data", "s3://", "gs://bucket", "http://host/x", "file//x"])
def test_an_address_of_another_kind_is_a_wrong_setting(url):
    with pytest.raises(Misconfigured, match=r"archive\.url"):
        open_store(url)


# ---------------------------------------------------------------- readers


@pytest.fixture
def tree(root, archive):
    """Two finished chunks over two days, with every other kind of object beside them."""
    made = [archive.create_plan(0, plan(0, 10)), archive.create_plan(0, plan(10, 20))]
    rows = [
        part([1, 2, 3], at_ms=[NOON_MS, NOON_MS - 24 * HOUR_MS, NOON_MS], brands=["a/b", "=", "☂"]),
        part([12, 13], unscored=[12, 13], reaches=[None, None], authors=[None, None]),
    ]
    for one, its_rows in zip(made, rows, strict=True):
        archive.create_manifest(0, one, manifest(archive.write_rows(0, one, [its_rows])))
    archive.keep_dead_value(0, 4, b"dead")
    archive.probe()
    return root


def test_duckdb_reads_the_tree_with_no_option(tree):
    glob = f"{tree}/dt=*/**/*.parquet"

    rows = duckdb.sql(
        f"select dt, hour, brand, count(*), sum(reach) from read_parquet('{glob}', hive_partitioning=true) "
        "group by all order by all"
    ).fetchall()

    assert [(str(dt), int(hour), brand, n) for dt, hour, brand, n, _ in rows] == [
        ("2026-09-21", 12, "=", 1),
        ("2026-09-22", 12, "a/b", 1),
        ("2026-09-22", 12, "brand 0", 1),
        ("2026-09-22", 12, "brand 1", 1),
        ("2026-09-22", 12, "☂", 1),
    ]


def test_duckdb_sees_the_types_of_the_contract(tree):
    told = duckdb.sql(f"describe select * from read_parquet('{tree}/dt=*/**/*.parquet')").fetchall()

    types = {name: kind for name, kind, *_ in told}
    assert types["event_time"] == "TIMESTAMP WITH TIME ZONE"
    assert types["offset"] == types["reach"] == "BIGINT"
    assert types["label"] == "TINYINT"
    assert types["schema"] == "SMALLINT"
    assert types["p_neg"] == "FLOAT"
    assert types["sentiment_micro"] == "INTEGER"
    assert types["late"] == "BOOLEAN"
    assert len(types) == 28  # 26 columns, dt and hour


def test_pyarrow_reads_the_root_and_skips_what_begins_with_an_underscore(tree):
    table = ds.dataset(tree, partitioning="hive").to_table().sort_by("offset")

    assert table["offset"].to_pylist() == [1, 2, 3, 12, 13]
    assert table["dt"].to_pylist()[1] == "2026-09-21"
    assert table["p_neg"].null_count == 2


def test_one_day_is_read_without_the_others(tree):
    day = ds.dataset(tree, partitioning="hive").filter(ds.field("dt") == "2026-09-21")

    assert day.to_table(columns=["brand"]).to_pylist() == [{"brand": "="}]
