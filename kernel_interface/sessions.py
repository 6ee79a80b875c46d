"""Conversations: who spoke of which device last, so that "and its driver?" has a meaning, and how far a plan has come.

As many and as long as the kernel's own conversation contexts are: 16 sessions of 32 steps. A session belongs to one
process on one connection. It keeps devices and plans, not texts.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, replace

from kernel_interface.devices import Device
from kernel_interface.goals import Progress

SESSIONS = 16
STEPS = 32

#: A text with more words than this describes what it asks about itself.
_MOST_WORDS = 12
_THING = r"(?:device|card|controller|chip(?:set)?|adapter|hardware|one|thing)"
#: What points back: its; this device; that, at the end or before what it does. Not "the sound card", which is another.
_POINTER = re.compile(
    rf"\b(?:its?|(?:this|that|the|same|the same)\s+{_THING}"
    r"|(?:this|that)(?=\s+(?:need|use|want|require|take)s?\b|\W*$))(?!\w)",
    re.IGNORECASE,
)
#: "it" that points at nothing: is it possible to ...
_IDLE = re.compile(r"\b(?:is|was|would|does|makes?)\s+it\s+(?:\w+\s+)?\w+\s+(?:to|that|if)\b", re.IGNORECASE)
#: Nothing but a property, whose owner must be known: "driver?", "and the vendor".
_BARE = re.compile(
    r"\W*(?:(?:and|so|then|ok(?:ay)?|now)\b\W*)*(?:(?:which|what|the|what's the|who is the)\s+)*"
    r"(?:drivers?|kernel module|vendor|maker|manufacturer)\W*",
    re.IGNORECASE,
)
#: Something else that is named: a device by its sort, or what belongs to somebody.
_OTHER = re.compile(
    rf"\b(?:my|our|your|his|her|their)\s+\w+|\b(?:{_THING}|gpu|dongle|stick|peripheral|board|nic|webcam|camera|keyboard"
    r"|mouse|processor|cpu|touchpad|scanner|printer|disk|drive|modem|monitor|screen|tablet|phone)s?\b",
    re.IGNORECASE,
)


def refers_back(text: str) -> bool:
    """Whether a text that names no device by its id speaks of one that was named before.

    In doubt it does not: an answer about another device than was meant is worse than none.
    """
    text = text.replace("\u2019", "'")
    if _BARE.fullmatch(text):
        return True
    if len(text.split()) > _MOST_WORDS or _IDLE.search(text) or not _POINTER.search(text):
        return False
    return not _OTHER.search(_POINTER.sub(" ", text))


@dataclass(frozen=True)
class _Step:
    """What one step of a conversation was about."""

    device: Device | None
    plan: Progress | None


class Sessions:
    """The sessions that are remembered; of too many, the one that has been silent for longest is forgotten.

    :param most: how many sessions.
    :param steps: how many of a session's last steps count.
    """

    def __init__(self, most: int = SESSIONS, steps: int = STEPS) -> None:
        self._most = most
        self._steps = steps
        self._sessions: OrderedDict[tuple[Hashable, int], deque[_Step]] = OrderedDict()

    def __len__(self) -> int:
        """How many sessions are remembered."""
        return len(self._sessions)

    def device(self, connection: Hashable, sender: int) -> Device | None:
        """Return the device that a process spoke of last, if it spoke of one at all."""
        steps = self._sessions.get((connection, sender), ())
        return next((step.device for step in reversed(steps) if step.device is not None), None)

    def plan(self, connection: Hashable, sender: int) -> Progress | None:
        """Return how far a process's last plan has come, if it has one."""
        steps = self._sessions.get((connection, sender), ())
        return next((step.plan for step in reversed(steps) if step.plan is not None), None)

    def note(self, connection: Hashable, sender: int, device: Device | None, plan: Progress | None = None) -> None:
        """Add a step to a session: the device that it was about, and the plan that it belongs to, or None."""
        steps = self._sessions.setdefault((connection, sender), deque(maxlen=self._steps))
        steps.append(_Step(device, plan))
        self._sessions.move_to_end((connection, sender))
        if len(self._sessions) > self._most:
            self._sessions.popitem(last=False)

    def forget_device(self, connection: Hashable, gone: Device) -> None:
        """Forget a device in every session of a connection."""
        for (of, _), steps in self._sessions.items():
            if of == connection:
                kept = [
                    replace(step, device=None) if step.device is not None and step.device.is_alike(gone) else step
                    for step in steps
                ]
                steps.clear()
                steps.extend(kept)

    def forget(self, connection: Hashable) -> None:
        """Forget every session of a connection."""
        for key in [key for key in self._sessions if key[0] == connection]:
            del self._sessions[key]
