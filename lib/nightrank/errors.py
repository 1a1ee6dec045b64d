"""The errors that a user can mend, each with the exit code of its kind (sysexits.h)."""

from __future__ import annotations


class NightrankError(Exception):
    """Something that cannot be done. The message says what, what was expected and found, and what to change."""

    exit_code = 70


class UsageError(NightrankError):
    """The command's own words are off."""

    exit_code = 64


class ContractError(NightrankError):
    """What was read or built breaks a contract, or a gate refused it; last night's tables stand."""

    exit_code = 65


class InputMissingError(NightrankError):
    """A path that the configuration names is not there."""

    exit_code = 66


class BugError(NightrankError):
    """Something that this program did not expect."""

    exit_code = 70


class DiskError(NightrankError):
    """The disk is full or refuses."""

    exit_code = 74


class TryAgainError(NightrankError):
    """Nothing is wrong that a later try would not mend."""

    exit_code = 75


class ConfigError(NightrankError):
    """The configuration cannot be used."""

    exit_code = 78
