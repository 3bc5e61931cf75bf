"""A tenant's collections in MongoDB: making them, reading what is known, writing what is new.

Documents have deterministic ids and are written with majority concern. Versions and events are written once and never
changed; a person's document is replaced by newer ones only. So two feeders that overlap, one of which has lost its
turn, leave what one alone would have left.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from spv_platform.errors import PermanentError, TransientError
from spv_platform.history.documents import Before, Changes, Document
from spv_platform.history.schema import APPROVAL_EVENT, COLLECTIONS, PERSON, PERSON_VERSION
from spv_platform.history.sealing import FieldCipher
from spv_platform.settings import Settings

#: MongoDB's limit.
MAX_DOCUMENT_BYTES = 16 * 2**20
#: Most that encryption adds to a value: header, initialisation vector, padding, authentication tag.
_CIPHER_BYTES = 128

_DUPLICATE_KEY = 11000
_VALIDATION_FAILED = 121
#: Server errors that are about the moment, not about the document; https://www.mongodb.com/docs/manual/reference/error-codes/
_TRANSIENT_CODES = frozenset(
    {6, 7, 24, 50, 89, 91, 112, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 14031, 16500}
)


class Refused(NamedTuple):
    """A document that was not stored; its id names nobody."""

    collection: str
    document_id: str
    reason: str


def connect(settings: Settings) -> Any:
    """A client that gives up on a server that is away within two seconds: history must be in nobody's way."""
    import pymongo

    return pymongo.MongoClient(
        settings.mongo_url,
        appname="spv_platform",
        tz_aware=True,
        w="majority",
        wTimeoutMS=20_000,
        readConcernLevel="majority",
        serverSelectionTimeoutMS=2000,
        connectTimeoutMS=2000,
        socketTimeoutMS=30_000,
    )


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Turn what the client raises into the platform's errors; without its text, which quotes documents."""
    from pymongo.errors import EncryptionError, OperationFailure, PyMongoError

    try:
        yield
    except EncryptionError as error:
        if isinstance(error.cause, PyMongoError):
            raise TransientError("store_unavailable", f"mongodb {type(error.cause).__name__}") from None
        raise PermanentError("history_key_unusable") from None
    except OperationFailure as error:
        raise TransientError("store_unavailable", f"mongodb error {error.code}") from None
    except PyMongoError as error:
        raise TransientError("store_unavailable", f"mongodb {type(error).__name__}") from None


def answers(client: Any) -> bool:
    """Whether the server can be asked now."""
    try:
        with mongo_errors():
            client.admin.command("ping")
    except TransientError:
        return False
    return True


def drop_tenant(client: Any, database: str, tenant: str) -> None:
    """Remove everything of a tenant, its data key too; needs no key."""
    with mongo_errors():
        for name in ("data_key", *(collection.name for collection in COLLECTIONS)):
            client[database][f"{tenant}.{name}"].drop()


class HistoryStore:
    """The history of one tenant.

    Args:
        client: the connection, shared.
        database: name of the database.
        tenant: whose collections, `<tenant>.<collection>`.
        history_key: `TenantKeys.history`.
    """

    def __init__(self, client: Any, database: str, tenant: str, history_key: bytes) -> None:
        self._database = client[database]
        self._tenant = tenant
        self._cipher = FieldCipher(client, f"{database}.{tenant}.data_key", history_key)

    def __enter__(self) -> "HistoryStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._cipher.close()

    def ensure(self) -> None:
        """Make the collections with their validators and indexes, or bring them up to date."""
        import pymongo

        with mongo_errors():
            present = {item["name"]: item["options"] for item in self._database.list_collections()}
            for collection in COLLECTIONS:
                name, validator = f"{self._tenant}.{collection.name}", collection.validator
                if name not in present:
                    self._create(name, validator)
                elif present[name].get("validator") != validator:
                    self._database.command("collMod", name, validator=validator)
                indexes = [pymongo.IndexModel([(path, 1) for path in paths]) for paths in collection.indexes]
                self._database[name].create_indexes(indexes)

    def drop_documents(self) -> None:
        """Remove all documents; the data key stays."""
        with mongo_errors():
            for collection in COLLECTIONS:
                self._collection(collection.name).drop()

    def before(self, person_ids: Sequence[str], seq: int) -> Before:
        """What is known of these persons up to a publication."""
        known = {"person_id": {"$in": list(person_ids)}, "seq": {"$lte": seq}}
        digests: dict[str, str] = {}
        approvals: dict[str, dict[tuple[str, str], tuple[str, int]]] = {}
        with mongo_errors():
            versions = self._collection(PERSON_VERSION).find(known, {"person_id": 1, "seq": 1, "digest": 1})
            for item in versions.sort("seq", 1):
                digests[item["person_id"]] = item["digest"]
            wanted = {"person_id": 1, "trial": 1, "cohort": 1, "status": 1, "seq": 1}
            for item in self._collection(APPROVAL_EVENT).find(known, wanted).sort("seq", 1):
                of_person = approvals.setdefault(item["person_id"], {})
                of_person[item["trial"], item["cohort"]] = (item["status"], item["seq"])
        return Before(digests, approvals)

    def write(self, changes: Changes) -> list[Refused]:
        """Store new documents; those that are there already stay as they are.

        Returns:
            The documents that cannot be stored; all others are.

        Raises:
            TransientError: the server was away, or did not confirm; some documents may be stored.
            PermanentError: `history_key_unusable`.
        """
        refused: list[Refused] = []
        for name, documents in (
            (PERSON_VERSION, changes.versions),
            (APPROVAL_EVENT, changes.events),
            (PERSON, changes.persons),
        ):
            if documents:
                with mongo_errors():
                    refused += self._write(name, documents)
        return refused

    def find(self, identifier: str) -> list[str]:
        """Ids of the persons who have an identifier `system|value` now, or else of those who had it."""
        with mongo_errors():
            wanted = {"identifier_keys": self._cipher.search_key(identifier)}
            now = self._collection(PERSON).distinct("_id", wanted)
            return sorted(now or self._collection(PERSON_VERSION).distinct("person_id", wanted))

    def documents(self, collection: str, wanted: Mapping[str, Any]) -> list[Document]:
        """Documents of a collection by publication, opened."""
        with mongo_errors():
            return [
                self._opened(item) for item in self._collection(collection).find(wanted).sort([("seq", 1), ("_id", 1)])
            ]

    def counts(self) -> dict[str, int]:
        """Number of documents by collection."""
        with mongo_errors():
            return {item.name: self._collection(item.name).estimated_document_count() for item in COLLECTIONS}

    def _collection(self, name: str) -> Any:
        return self._database[f"{self._tenant}.{name}"]

    def _create(self, name: str, validator: Mapping[str, Any]) -> None:
        from pymongo.errors import CollectionInvalid

        try:
            self._database.create_collection(name, validator=validator)
        except CollectionInvalid:
            return  # another feeder was first

    def _write(self, name: str, documents: Sequence[Document]) -> list[Refused]:
        import bson
        from pymongo import InsertOne, ReplaceOne

        ids = [document["_id"] for document in documents]
        collection = self._collection(name)
        present = {item["_id"] for item in collection.find({"_id": {"$in": ids}}, {"_id": 1})}
        fitting, refused = [], []
        for document in documents:
            if name != PERSON and document["_id"] in present:
                continue
            added = _CIPHER_BYTES * (1 + len(document.get("identifier_keys", ())))
            if len(bson.encode(document)) + added > MAX_DOCUMENT_BYTES:
                refused.append(Refused(name, document["_id"], "document_too_large"))
                continue
            fitting.append(self._sealed(document))

        def replace(document: Document) -> Any:
            return ReplaceOne({"_id": document["_id"], "seq": {"$lt": document["seq"]}}, document)

        # Inserts and replacements apart, since an upsert costs several times as much.
        new = [document for document in fitting if document["_id"] not in present]
        old = [document for document in fitting if document["_id"] in present]
        failed = self._bulk(collection, [InsertOne(document) for document in new])
        if name == PERSON:
            old += [new[index] for index, code in failed.items() if code == _DUPLICATE_KEY]
        refused += _refusals(name, new, failed)
        return refused + _refusals(name, old, self._bulk(collection, [replace(document) for document in old]))

    def _bulk(self, collection: Any, operations: Sequence[Any]) -> dict[int, int]:
        """Run operations in any order; position and error code of those that failed for good."""
        from pymongo.errors import BulkWriteError

        if not operations:
            return {}
        try:
            collection.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            details = error.details
            codes = {item["index"]: item["code"] for item in details["writeErrors"]}
            if details["writeConcernErrors"] or _TRANSIENT_CODES & set(codes.values()):
                raise TransientError("store_unavailable", "mongodb did not confirm a write") from None
            return codes
        return {}

    def _sealed(self, document: Document) -> Document:
        if "sealed" not in document:
            return document
        keys = [self._cipher.search_key(text) for text in document["identifier_keys"]]
        return {**document, "sealed": self._cipher.seal(document["sealed"]), "identifier_keys": keys}

    def _opened(self, document: Document) -> Document:
        if "sealed" not in document:
            return document
        keys = [self._cipher.open(value) for value in document["identifier_keys"]]
        return {**document, "sealed": self._cipher.open(document["sealed"]), "identifier_keys": keys}


def _refusals(name: str, documents: Sequence[Document], failed: Mapping[int, int]) -> list[Refused]:
    found = []
    for index, code in failed.items():
        if code == _DUPLICATE_KEY:
            continue
        reason = "document_invalid" if code == _VALIDATION_FAILED else "document_refused"
        found.append(Refused(name, documents[index]["_id"], reason))
    return found
