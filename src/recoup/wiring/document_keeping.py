"""Where documents are kept, tried out at the start; and the addresses under which they are opened.

What would surprise you: the key that signs addresses is made of the installation's RSA key, so that
all processes sign alike, and a change of the master key leaves addresses good.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import structlog

from recoup import clock
from recoup.documents.folder import Folder
from recoup.documents.storage import DocumentStorage, StorageError
from recoup.rules.document_address import DocumentAddresses, signing_key
from recoup.settings import Settings, WrongSettingsError
from recoup.store.sealed_columns import JWT_KEY
from recoup.wiring.opening import Opened

log = structlog.get_logger()

FOLDER: Final = "documents"


async def open_storage(settings: Settings) -> DocumentStorage:
    """Open the store of the settings, and try it out.

    :raises WrongSettingsError: nothing can be kept there; it says why, and what to do.
    """
    storage, wrong = None, ""
    try:
        storage = _storage(settings)
        await storage.check(clock.new_id())
    except StorageError as error:
        wrong = str(error)
    if storage is not None and not wrong:
        if settings.database_url and settings.documents_url is None:
            log.info(
                "documents_in_a_folder",
                folder=str(settings.data_dir / FOLDER),
                do="share it, or set RECOUP_DOCUMENTS_URL, where others serve or work elsewhere",
            )
        return storage
    if settings.documents_url is None:
        raise WrongSettingsError(
            f"RECOUP_DATA_DIR is wrong: no document can be kept in its folder {FOLDER} ({wrong})."
            " Set it to a folder that this user may write, or set RECOUP_DOCUMENTS_URL."
        )
    raise WrongSettingsError(
        f"RECOUP_DOCUMENTS_URL is wrong: {settings.documents_url} does not take documents"
        f" ({wrong}). Check the bucket's name, RECOUP_DOCUMENTS_S3_ENDPOINT or AWS_REGION, and the"
        " AWS_… credentials or the role of this machine: it needs s3:PutObject, s3:GetObject and"
        " s3:DeleteObject there."
    )


def addresses_of(base: Opened, address: str) -> DocumentAddresses:
    """The addresses of documents at this outside address."""
    pem = base.box.open(
        base.installation.jwt_key_sealed, organization_id=None, row=None, field=JWT_KEY
    )
    return DocumentAddresses(address, signing_key(pem))


def _storage(settings: Settings) -> DocumentStorage:
    if settings.documents_url is None:
        return Folder(settings.data_dir / FOLDER)
    from recoup.documents.bucket import Bucket  # some megabytes, for those who use it

    place = urlsplit(settings.documents_url)
    endpoint = settings.documents_s3_endpoint
    return Bucket(
        place.netloc,
        folder=place.path.strip("/"),
        endpoint=str(endpoint).rstrip("/") if endpoint else None,
    )
