"""The keys that open secrets: of the settings, or of the data folder's files."""

from __future__ import annotations

from recoup import clock
from recoup.settings import Settings, WrongSettingsError
from recoup.store import key_files
from recoup.store.secret_box import MasterKey, MasterKeys, SecretBox


def secret_box(settings: Settings) -> SecretBox:
    """What opens secrets: with the keys of the settings, or else with those of the data folder.

    :raises WrongSettingsError: a key is missing, is no key, or its file cannot be read or made.
    """
    if settings.secret_key:
        current = _key(settings.secret_key, "RECOUP_SECRET_KEY")
        return SecretBox(MasterKeys(current, _previous(settings)))
    if settings.database_url:
        raise WrongSettingsError(
            "RECOUP_SECRET_KEY is missing, and an external database needs it: all processes share"
            " one key. Make it once, and keep it safe:"
            " python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"
        )
    previous = _previous(settings)

    def read() -> MasterKeys:
        keys = key_files.read(settings.data_dir)
        return MasterKeys(keys.current, (*keys.others, *previous))

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        key_files.make(settings.data_dir, temporary=clock.new_id())
        return SecretBox(read(), read_again=read)
    except key_files.WrongKeyFileError as error:
        raise WrongSettingsError(f"{error}. It must be base64 of 32 bytes.") from None
    except OSError as error:
        raise WrongSettingsError(
            f"RECOUP_DATA_DIR is wrong ({error.strerror}: {error.filename})."
            " Set it to a folder that this user may write."
        ) from None


def _previous(settings: Settings) -> tuple[MasterKey, ...]:
    said = settings.previous_secret_key
    return (_key(said, "RECOUP_PREVIOUS_SECRET_KEY"),) if said else ()


def _key(text: str, where: str) -> MasterKey:
    try:
        return MasterKey.from_text(text)
    except ValueError as error:
        raise WrongSettingsError(
            f"{where} is wrong: {error}. It must be base64 of 32 bytes."
        ) from None
