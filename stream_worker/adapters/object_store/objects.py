"""Create-only objects: a folder, an S3 bucket or memory behind four verbs, and errors people can act on.

Rules:
1. Nothing is overwritten and nothing is deleted; the only write is "create, unless it is there".
2. A time-out, a lost connection or a 5xx is *unknown* (docs/design.md#r5): `Unavailable`, and the caller asks
   again.
3. The library does not retry: retries, with their back-off and their log line, live in `background.py`.
"""

import datetime as dt
import re
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from stream_worker.adapters.object_store.local_files import Folder
from stream_worker.errors import Misconfigured, Unavailable

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 30.0  # an object of 100,000 rows is about 10 MB; a slow line must be able to carry it

_RIGHTS = {"create": "s3:PutObject", "read": "s3:GetObject and s3:ListBucket", "list": "s3:ListBucket"}
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_REASON_CHARS_MAX = 200


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    region: str | None = None,
    allow_http: bool = False,
    path_style: bool = True,
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> ObjectStore:
    """Open `file:///folder` (made if missing), `s3://bucket/prefix` or `memory:///`.

    Without keys the client takes those of the environment, web identity or instance role.

    Raises Misconfigured.
    """
    scheme, bucket = urlsplit(url)[:2]
    try:
        if scheme == "memory":
            return MemoryStore()
        if scheme == "file":
            return LocalStore.from_url(url, mkdir=True)
        if scheme != "s3" or not bucket:
            raise Misconfigured(
                f"archive.url is {url!r}: write file:///folder, s3://bucket/prefix or memory:///"
            )
        if endpoint is not None and endpoint.startswith("http://") and not allow_http:
            raise Misconfigured(
                f"archive.endpoint is {endpoint!r}, without TLS: set archive.allow_http if that is meant"
            )
        keys = {
            "endpoint": endpoint,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "region": region,
        }
        return S3Store.from_url(
            url,
            config={key: value for key, value in keys.items() if value is not None},  # type: ignore[arg-type]
            virtual_hosted_style_request=not path_style,
            client_options={
                "allow_http": allow_http,
                "connect_timeout": dt.timedelta(seconds=min(CONNECT_TIMEOUT_S, timeout_s)),
                "timeout": dt.timedelta(seconds=timeout_s),
            },
            retry_config={"max_retries": 0, "retry_timeout": dt.timedelta(seconds=timeout_s)},
        )
    except (BaseError, OSError, ValueError) as error:
        raise Misconfigured(f"archive.url {url!r} cannot be opened: {_reason(error)}") from error


class Objects:
    """Create, read and list objects by name. Names are relative to the store's prefix."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._folder = Folder(Path(str(store.prefix))) if isinstance(store, LocalStore) else None
        self.address = _address(store)

    def create(self, name: str, body: bytes) -> bool:
        """Create an object; False: one is there already. On `file://` it is durable in both cases.

        Raises Unavailable; then it may or may not have been created.
        """
        try:
            if self._folder is not None:
                return self._folder.create(name, body)
            obstore.put(self._store, name, body, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise self._unavailable("create", name, error) from error
        return True

    def create_or_read(self, name: str, body: bytes) -> bytes | None:
        """Create an object and return None, or return what is there. Raises Unavailable.

        A repeated PUT whose answer was lost is refused; reading back makes that harmless.
        """
        if self.create(name, body):
            return None
        there = self.read(name)
        if there is None:  # S3 answers 409 while another writer's PUT of the same name is under way
            raise Unavailable(
                f"archive: {name} in {self.address} was refused as already there, yet is not; asking again"
            )
        return there

    def read(self, name: str) -> bytes | None:
        """Bytes of an object; None if there is none. Raises Unavailable."""
        try:
            return obstore.get(self._store, name).bytes().to_bytes()
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):  # an absent bucket must not look like an empty one
                raise self._unavailable("read", name, error) from error
            return None
        except (BaseError, OSError) as error:
            raise self._unavailable("read", name, error) from error

    def names(self, prefix: str, after: str | None = None) -> list[str]:
        """Names below a prefix that sort behind `after`, sorted (LocalStore does not). Raises Unavailable."""
        try:
            batches = obstore.list(self._store, prefix, offset=after, chunk_size=1000)
            return sorted(meta["path"] for batch in batches for meta in batch)
        except (BaseError, OSError) as error:
            raise self._unavailable("list", prefix, error) from error

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a folder ("" is the root), sorted. Raises Unavailable."""
        try:
            listed = obstore.list_with_delimiter(self._store, prefix or None)["common_prefixes"]
            return sorted(name.rstrip("/") for name in listed)
        except FileNotFoundError:
            return []
        except (BaseError, OSError) as error:
            raise self._unavailable("list", prefix, error) from error

    def remove_leftovers(self) -> int:
        """Remove what killed writers left in a folder; returns the number of files. Raises Unavailable."""
        try:
            return self._folder.remove_leftovers() if self._folder is not None else 0
        except OSError as error:
            raise self._unavailable("list", "temporary files", error) from error

    def _unavailable(self, verb: str, name: str, error: Exception) -> Unavailable:
        """One line that names the object, the store and the setting, or the right that is missing."""
        what = f"archive: cannot {verb} {name} in {self.address}"
        reason = _reason(error)
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or reason[:3] in {"401", "403"}:
            return Unavailable(f"{what}: {reason}; check the keys and the right {_RIGHTS[verb]}")
        if isinstance(error, PermissionError):
            return Unavailable(f"{what}: {reason}; this user must be able to write there (`archive.url`)")
        return Unavailable(f"{what}: {reason}; check the server and the setting `archive.url`")


def _address(store: ObjectStore) -> str:
    """Where the store is, for people."""
    if isinstance(store, LocalStore):
        return f"file://{store.prefix}"
    if isinstance(store, S3Store):
        name = f"s3://{store.config['bucket']}" + (f"/{store.prefix}" if store.prefix else "")
        endpoint = store.config.get("endpoint")
        return f"{name} at {endpoint}" if endpoint else name
    return "memory"


def _reason(error: Exception) -> str:
    """The cause in a few words, without the server's XML (it quotes keys) and the library's debug dump."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status:
        return f"{status[1]} {code[1]}" if code else f"{status[1]} from the server"
    return text.split("\n", 1)[0].rsplit(" - ", 1)[-1][:_REASON_CHARS_MAX]
