"""The lake's copies of towers: one file each, `artefacts/<tower_id>.safetensors`, shared by the nights that use it."""

from __future__ import annotations

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.lake_files import in_lake, write_whole
from nightrank.models.tower_artefact import Towers, towers_content, towers_from


def keep_towers(config: Config, towers: Towers) -> str:
    """The towers' id, once their file stands whole in the lake."""
    tower_id, content = towers_content(towers)
    write_whole(config, _file(tower_id), content)
    return tower_id


def fetch_towers(config: Config, tower_id: str) -> Towers:
    """The towers with that id. Raises ContractError where their file is missing or was altered."""
    refuse_missing_towers(config, tower_id)
    files, path = in_lake(config, _file(tower_id))
    return towers_from(files.cat_file(path), tower_id, path)


def refuse_missing_towers(config: Config, tower_id: str) -> None:
    """Raises ContractError where the lake has no file of towers with that id."""
    files, path = in_lake(config, _file(tower_id))
    if not files.exists(path):
        raise ContractError(f"Towers {tower_id} cannot be read: {path} is missing. Restore it, or fit them again.")


def _file(tower_id: str) -> str:
    return f"artefacts/{tower_id}.safetensors"
