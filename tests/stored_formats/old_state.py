"""What an older release left behind when it was killed: its Redis, its archive, its configuration.

It was written once, by that release, and is only read from then on.
"""

import json
import shutil

from tests.stored_formats import dumps, golden, surfaces

REDIS = golden.OLD_STATE / "redis.json"
ARCHIVE = golden.OLD_STATE / "archive"
CONFIG = golden.OLD_STATE / "config.toml"
CONFIG_SHOWN = golden.OLD_STATE / "config_shown.json"


def write(system):
    """Keep what the killed processes of a system left behind, and what its configuration meant."""
    found = dumps.dump_redis(system.redis.client, system.redis.prefix)
    REDIS.write_text(golden.render(found), encoding="utf-8")
    shutil.rmtree(ARCHIVE, ignore_errors=True)
    shutil.copytree(system.folder, ARCHIVE)
    shown = {row["setting"]: row["value"] for row in surfaces.shown_settings("--config", str(CONFIG))}
    CONFIG_SHOWN.write_text(golden.render(shown), encoding="utf-8")


def load(system):
    """Put it where a system looks for it."""
    stored = json.loads(REDIS.read_text(encoding="utf-8"))
    dumps.load_redis(system.redis.client, system.redis.prefix, stored)
    shutil.copytree(ARCHIVE, system.folder, dirs_exist_ok=True)


def describe(redis, folder):
    """The same as values that can be compared."""
    return {"redis.json": dumps.without_last_digits(redis), "archive.json": dumps.dump_archive(folder)}
