"""Named places where a test can make a process die, so that "during" is exact and not a matter of luck.

Owns the switch only: `AUTOML_IMAGES_FAILPOINT=<name>:<action>`. Without the variable a failpoint does nothing.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "AUTOML_IMAGES_FAILPOINT"
SIGNALS = {"kill": "SIGKILL", "interrupt": "SIGINT", "terminate": "SIGTERM"}


class FailpointReached(RuntimeError):
    """Raised by the action `raise`."""


def failpoint(name: str) -> None:
    """Do what the environment asks for at this place.

    The actions are `kill` (SIGKILL), `interrupt` (SIGINT to itself), `terminate` (SIGTERM to itself) and `raise`.

    Args:
        name: for example `training:step:7` (before the weights change in the 7th batch) or
            `checkpoint:3:before_replace`; may hold colons.

    Raises:
        FailpointReached: the action is `raise`.
        ValueError: the action is unknown.
    """
    setting = os.environ.get(VARIABLE)
    if not setting or setting.rpartition(":")[0] != name:
        return
    action = setting.rpartition(":")[2]
    if action == "raise":
        raise FailpointReached(name)
    if action not in SIGNALS:
        raise ValueError(f"{VARIABLE} must end in :{', :'.join(SIGNALS)} or :raise, got {setting!r}.")
    os.kill(os.getpid(), getattr(signal, SIGNALS[action]))
