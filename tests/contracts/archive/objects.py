"""Ways round the archive: objects written and read as they are."""

import obstore

from tests.contracts.rows import manifest, plan


def written(store, name):
    return obstore.get(store, name).bytes().to_bytes()


def put(store, name, body):
    obstore.put(store, name, body, mode="create")


def chunk(archive, start, end, partition=0):
    """A finished chunk without rows."""
    made = archive.create_plan(partition, plan(start, end))
    archive.create_manifest(partition, made, manifest(absent=end - start))
    return made
