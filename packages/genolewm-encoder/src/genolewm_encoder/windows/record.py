"""Which encoders a cache has states of: their identities, in a folder of the cache each.

They are what `geno-lewm cache --migrate` asks for, so a cache has them from its first state on.
"""

from __future__ import annotations

from pathlib import Path

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import ProvenanceError
from genolewm_encoder.identity import EncoderIdentity

__all__ = ["record_encoder", "same_states"]

_FOLDER = "encoders"


def record_encoder(cache: Path, identity: EncoderIdentity) -> Path:
    """Write an encoder's identity into a cache; its folder.

    Raises:
        ResourceError: `output-unwritable`.
    """
    folder = cache / _FOLDER / identity.encoder_hash.hex()[:16]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    identity.write(folder)
    return folder


def same_states(cache: Path, identity: EncoderIdentity) -> list[Path]:
    """Folders of encoders in a cache that compute the same states under another name."""
    found = []
    for folder in sorted((cache / _FOLDER).glob("*")):
        try:
            other = EncoderIdentity.read(folder)
        except ProvenanceError:
            continue  # of a run that was cut off; `--migrate` would refuse it
        if other.same_states(identity) and other.encoder_hash != identity.encoder_hash:
            found.append(folder)
    return found
