"""The lines that people type and their answers: what the edition is trained on.

A line is a list of canonical words, an answer a list of tokens. All is drawn from a seeded generator; a word that the
vocabulary lacks becomes ``<unk>`` later, as in the kernel.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from slm.edition.facts import Device, maker_words, name_words
from slm.edition.topics import (
    CLASS_DRIVERS,
    KINDS,
    NO_DRIVER,
    TOPICS,
    UNKNOWN,
    UNKNOWN_DEVICE,
    UNKNOWN_DRIVER,
    UNKNOWN_USB,
)
from slm.edition.words import is_answered_by_kernel, words_of
from slm.prompts import UNK

#: Ways to ask for a driver; ``{}`` is what it is for.
ASK_DRIVER = (
    "driver for {}", "which driver for {}", "what driver for {}", "what is the driver for {}", "{} driver",
    "which driver does {} need", "what driver does {} need", "which driver do i need for {}", "which driver is for {}",
    "what driver do i need for {}", "which module for {}", "module for {}", "which kernel module handles {}",
    "{} which driver", "{} needs which driver", "need driver for {}", "i need the driver for {}",
    "find the driver for {}",
    "tell me the driver for {}", "tell me the driver of {}", "which driver runs {}", "which driver supports {}",
    "which driver drives {}", "what module does {} use", "load driver for {}", "what do i load for {}",
    "what should i load for {}", "modprobe what for {}", "what is the best driver for {}", "right driver for {}",
    "give me the driver of {}", "show driver for {}", "suggest a driver for {}", "driver {}", "kernel driver for {}",
    "linux driver for {}", "driver of {}", "which driver handles {}", "what driver handles {}", "what driver is {}",
    "i have {} which driver do i need", "what driver does {} use", "which driver does {} use", "drivers for {}",
    "which module does {} need", "{} what driver", "driver name for {}", "what is the kernel module for {}",
    "which driver should i load for {}", "what driver works with {}", "what goes with {} driver", "{} module",
    "what module is for {}", "select driver for {}", "which driver is needed for {}", "which driver is right for {}",
    "what is the right driver for {}", "find me a driver for {}", "recommend a driver for {}", "driver please for {}",
    "which module goes with {}", "what module do i need for {}", "which driver would {} want", "what to load for {}",
)  # fmt: skip
#: Words that make it such a question, whatever stands around them.
_DRIVER_WORDS = frozenset(["driver", "drivers", "module", "modprobe", "load"])

#: Ways to ask what something is.
ASK_NAME = (
    "what is {}", "what's {}", "whats {}", "identify {}", "name of {}", "tell me about {}", "what device is {}",
    "which device is {}", "describe {}", "{}", "what is {} called", "who makes {}", "info on {}", "show {}",
    "{} what is it", "look up {}", "what card is {}", "what kind of device is {}", "which card is {}",
    "what is the {}",
    "can you identify {}", "i have {} what is it", "lspci says {}", "lspci shows {} what is that", "{} is what",
    "tell me what {} is", "what hardware is {}", "who made {}", "name {}", "what is the name of {}",
    "name the card {}",
    "what does {} mean", "which vendor is {}", "who makes {} and what is it", "can you say what {} is",
    "details of {}",
    "show me the name of {}", "what is this {}", "what device has the id {}", "which card has id {}", "know {}",
    "what are {}", "which graphics card is {}", "which network card is {}", "find {}", "information about {}",
    "what kind of card is {}", "explain {}", "give me the name of {}", "is {} known", "which one is {}",
)  # fmt: skip

#: How an id is written into a question; the first are the commonest.
_SUBJECTS = (
    "pci {}", "{}", "pci {}", "{}", "pci device {}", "my {}", "the {}", "a {} card", "card {}", "device {}", "id {}",
    "pci id {}", "wifi card {}", "usb controller {}", "network card {}", "pci card {}", "the card {}",
    "graphics card {}",
    "this {}", "the device {}", "card with id {}", "vendor device {}", "old card {}", "my card {}", "the pci {}",
    "my pci card {}", "sound card {}", "controller {}", "card reader {}", "the pci device {}", "gpu {}", "a {}",
)  # fmt: skip

#: Ways to ask what to do; ``{}`` is the doing, or what is wrong.
_ASK_TOPIC = (
    "{}", "{}", "{}", "how do i {}", "how to {}", "how can i {}", "i want to {}", "can you {}", "help me {}",
    "{} help",
    "how do you {}", "please {}", "what do i do to {}", "command to {}", "{} how", "what can i do {}", "i cannot {}",
    "what now {}", "my {}", "why {}", "{} what can i do", "{} why", "the {}", "{} what now", "i need to {}",
    "i have {}",
    "there is {}", "i would like to {}", "where do i {}", "how should i {}", "i think {}", "{} on my machine",
    "{} again",
    "{} after boot", "let me {}", "what to do {}", "what is the command to {}", "{} and now", "the problem is {}",
)  # fmt: skip

#: What people say before and after.
_BEFORE = (
    "hi", "hello", "hey", "please", "can you tell me", "could you tell me", "i want to know", "do you know", "tell me",
    "hey kernel", "hi there", "ok", "so", "quick question", "excuse me", "say", "good morning", "kernel", "auton",
    "yo",
    "could you please tell me", "i need to know", "help", "question", "and", "now",
)  # fmt: skip
_AFTER = (
    "please", "thanks", "pls", "thank you", "on linux", "in this machine", "here", "now", "for me", "then",
    "on debian",
    "again", "ok", "please help", "do you know", "in my computer", "i think", "today", "exactly", "that is",
)  # fmt: skip

#: PCI classes that have words of their own in the vocabulary.
CLASSES = (
    0x0100, 0x0101, 0x0104, 0x0106, 0x0107, 0x0108, 0x0180, 0x0200, 0x0280, 0x0300, 0x0302, 0x0380, 0x0400, 0x0401,
    0x0403, 0x0480, 0x0500, 0x0580, 0x0600, 0x0601, 0x0604, 0x0607, 0x0680, 0x0700, 0x0703, 0x0780, 0x0805, 0x0806,
    0x0880, 0x0900, 0x0980, 0x0C00, 0x0C03, 0x0C04, 0x0C05, 0x0C07, 0x0D11, 0x1080, 0x1101, 0x1180, 0x1200,
)  # fmt: skip

#: About so many devices have a driver; with fewer, less is asked of all else.
_ALL_DEVICES = 7_000

#: How often a line is drawn anew that the kernel would answer by itself.
_TRIES = 6


@dataclass(frozen=True)
class Exchange:
    """A line in canonical words, and its answer in tokens."""

    words: tuple[str, ...]
    answer: tuple[str, ...]


@dataclass(frozen=True)
class Knowledge:
    """All that the edition is to know."""

    devices: Sequence[Device]
    #: Words of names that tell a driver (:func:`slm.edition.facts.telling_words`).
    telling: Mapping[str, str]
    #: Names of the PCI classes.
    classes: Mapping[int, str]

    def plain_words(self) -> list[str]:
        """Return every word of lines that is no id, no driver and no part of one device's name, by first use."""
        texts = [*ASK_DRIVER, *ASK_NAME, *_SUBJECTS, *_ASK_TOPIC, *_BEFORE, *_AFTER, *_CLASS_LINES, *_WHAT_DRIVER]
        texts += [text for phrases in (*KINDS.values(), *TOPICS.values()) for text in phrases]
        return list(dict.fromkeys(word for text in texts for word in words_of(text.replace("{}", ""))))

    def answers(self) -> list[str]:
        """Return every token of answers, none twice."""
        tokens = [
            UNKNOWN,
            UNKNOWN_DEVICE,
            UNKNOWN_DRIVER,
            UNKNOWN_USB,
            NO_DRIVER,
            *TOPICS,
            *KINDS,
            *CLASS_DRIVERS.values(),
        ]
        tokens += self.telling.values()
        tokens += [token for code in CLASSES for token in self._class_tokens(code)]
        for device in self.devices:
            tokens += [*device.drivers[:1], *device.identity, *self._about(device)]
        return list(dict.fromkeys(tokens))

    def class_words(self) -> list[str]:
        """Return the spellings of PCI classes, as canonical words."""
        return [form for code in CLASSES if code in self.classes for form in class_forms(code)]

    def _class_tokens(self, code: int) -> tuple[str, ...]:
        return (self.classes[code],) if code in self.classes else ()

    def _about(self, device: Device) -> tuple[str, ...]:
        kind = self.classes.get(device.class_code or -1)
        return (f"A driver for: {kind}.",) if kind else ()

    def round(self, rng: random.Random) -> Iterator[Exchange]:
        """Yield one round: every device asked once for its driver and once for its name, and the rest in proportion.

        The order is a random one.
        """

        def often(times: int) -> int:
            """Return how often a line is asked that stands ``times`` beside those of all devices that there are."""
            return max(1, round(times * len(self.devices) / _ALL_DEVICES))

        makers: list[Callable[[], Exchange]] = []
        for device in self.devices:
            makers += [partial(self._driver_of, device, rng), partial(self._name_of, device, rng)]
        by_word: dict[str, list[Device]] = {}
        for device in self.devices:
            for word in name_words(device.name or ""):
                if word in self.telling:
                    by_word.setdefault(word, []).append(device)
        asked = [(word, found) for word, found in by_word.items() for _ in range(often(3))]
        makers += [partial(self._driver_by_word, word, found, rng) for word, found in asked]
        makers += [
            partial(_kind, driver, phrase, rng) for driver, phrases in KINDS.items() for phrase in phrases
        ] * often(8)
        makers += [
            partial(_topic, answer, phrase, rng) for answer, phrases in TOPICS.items() for phrase in phrases
        ] * often(6)
        makers += [partial(self._class, code, rng) for code in CLASSES if code in self.classes] * often(16)
        makers += [partial(_unknown, rng)] * (len(self.devices) // 5 + 20)
        drivers = {device.drivers[0]: device for device in self.devices if device.drivers and self._about(device)}
        makers += [partial(self._what_driver, device, rng) for device in drivers.values()]
        rng.shuffle(makers)
        for make in makers:
            tries = (make() for _ in range(_TRIES))  # some names are always in the way, as that of ipw2200
            exchange = next((found for found in tries if not is_answered_by_kernel(" ".join(found.words))), None)
            if exchange is not None:
                yield exchange

    def _driver_of(self, device: Device, rng: random.Random) -> Exchange:
        answer = device.drivers[:1] or (NO_DRIVER,)
        return Exchange(_said(rng.choice(ASK_DRIVER), self._subject(device, rng), rng, {device.id}), answer)

    def _name_of(self, device: Device, rng: random.Random) -> Exchange:
        words = _said(rng.choice(ASK_NAME), self._subject(device, rng), rng, {device.id})
        return Exchange(words, tuple(device.identity))

    def _subject(self, device: Device, rng: random.Random) -> str:
        subject = rng.choice(_SUBJECTS[:4] if rng.random() < 0.5 else _SUBJECTS).format(device.id)
        if rng.random() < 0.06:
            subject += f" {rng.choice(class_forms(device.class_code or rng.choice(CLASSES)))}"
        if device.maker and rng.random() < 0.04 and (called := maker_words(device.maker)):
            subject = f"{called[0]} {subject}"
        return subject

    def _driver_by_word(self, word: str, devices: Sequence[Device], rng: random.Random) -> Exchange:
        """Ask for the driver of a device by the word that tells it, perhaps with more of its name."""
        device = rng.choice(devices)
        named = name_words(device.name or "")
        around = [other for other in named if other == word or (other not in self.telling and rng.random() < 0.4)]
        if device.maker and rng.random() < 0.5:
            around = [*maker_words(device.maker)[:1], *around]
        if rng.random() < 0.4:
            around = [word]
        if rng.random() < 0.15:
            around = [rng.choice(("a", "an", "my", "the")), *around]
        if rng.random() < 0.15:
            return Exchange(_said(rng.choice(ASK_NAME[:9]), word, rng, {word}), tuple(device.identity))
        words = _said(rng.choice(ASK_DRIVER), " ".join(around), rng, {word})
        return Exchange(words, (self.telling[word],))

    def _class(self, code: int, rng: random.Random) -> Exchange:
        form = rng.choice(class_forms(code))
        if form.startswith("class=") or rng.random() < 0.3:
            bus = rng.choice(("pci ", "", "device "))
            if rng.random() < 0.5:
                words = _said(rng.choice(ASK_DRIVER), f"{bus}{UNK} {_classed(form)}", rng, {form, UNK})
                return Exchange(words, (CLASS_DRIVERS.get(code, UNKNOWN_DRIVER),))
            words = _said(rng.choice(ASK_NAME[:9]), f"{bus}{UNK} {_classed(form)}", rng, {form, UNK})
            return Exchange(words, (UNKNOWN_DEVICE, self.classes[code]))
        if code in CLASS_DRIVERS and rng.random() < 0.4:
            return Exchange(_said(rng.choice(ASK_DRIVER), f"class {form}", rng, {form}), (CLASS_DRIVERS[code],))
        return Exchange(_said(rng.choice(_CLASS_LINES), form, rng, {form}), (self.classes[code],))

    def _what_driver(self, device: Device, rng: random.Random) -> Exchange:
        driver = device.drivers[0].lower()
        if rng.random() < 0.3:
            return Exchange(_said(rng.choice(ASK_DRIVER), driver, rng, {driver}), device.drivers[:1])
        return Exchange(_said(rng.choice(_WHAT_DRIVER), driver, rng, {driver}), self._about(device))


#: Ways to ask for a PCI class.
_CLASS_LINES = (
    "what is class {}", "class {}", "what is pci class {}", "which class is {}", "pci class {}",
    "what does class {} mean",
    "what kind of device is class {}", "name of class {}", "what is {}", "identify class {}",
    "what is a class {} card",
)  # fmt: skip

#: Ways to ask what a driver is for.
_WHAT_DRIVER = ("what is {}", "what does {} do", "what is {} for", "what is the {} driver", "tell me about {}")


def class_forms(code: int) -> tuple[str, str, str]:
    """Return how a PCI class and subclass are written; the last as the kernel writes it when it finds a device."""
    two = f"{code >> 8:02x}:{code & 255:02x}"
    return f"{code:04x}", two, f"class={two}"


def _classed(form: str) -> str:
    return form if form.startswith("class=") else f"class {form}"


def _kind(driver: str, phrase: str, rng: random.Random) -> Exchange:
    essential = set(words_of(phrase))
    subject = phrase
    if rng.random() < 0.35:
        subject = f"{rng.choice(('a', 'an', 'my', 'the', 'this', 'the'))} {phrase}"
    elif rng.random() < 0.15:
        subject = f"{phrase} {UNK}"
    return Exchange(_said(rng.choice(ASK_DRIVER), subject, rng, essential), (driver,))


def _topic(answer: str, phrase: str, rng: random.Random) -> Exchange:
    return Exchange(_said(rng.choice(_ASK_TOPIC), phrase, rng, set(words_of(phrase)), loss=0.12), (answer,))


def _unknown(rng: random.Random) -> Exchange:
    """Ask about what nobody knows: an id that is in no list, a USB id, or words without any meaning."""
    kind = rng.random()
    if kind < 0.1:
        number = rng.randint(1, 7)
        fillers = [UNK if rng.random() < 0.8 else rng.choice(_BEFORE) for _ in range(number)]
        return Exchange(tuple(word for text in fillers for word in text.split()), (UNKNOWN,))
    if kind < 0.2:
        ask = rng.choice(ASK_NAME[:12] if rng.random() < 0.5 else ASK_DRIVER)
        return Exchange(_said(ask, f"usb {UNK}", rng, {UNK, "usb"}), (UNKNOWN_USB,))
    subject = rng.choice(_SUBJECTS[:12] if rng.random() < 0.7 else ("pci {}", "{}")).format(UNK)
    if kind < 0.6:
        return Exchange(_said(rng.choice(ASK_NAME), subject, rng, {UNK}), (UNKNOWN_DEVICE,))
    return Exchange(_said(rng.choice(ASK_DRIVER), subject, rng, {UNK}), (UNKNOWN_DRIVER,))


def _said(ask: str, subject: str, rng: random.Random, essential: set[str], loss: float = 0.15) -> tuple[str, ...]:
    """Put a subject into a question as people would: with courtesies, and with words that the model does not know.

    :param essential: words that are never lost.
    :param loss: how likely each other word is lost, in a line that loses any.
    """
    line = ask.format(subject)
    if rng.random() < 0.18:
        line = f"{rng.choice(_BEFORE)} {line}"
    if rng.random() < 0.15:
        line = f"{line} {rng.choice(_AFTER)}"
    words = [word if word == UNK else other for word in line.split() for other in words_of(word)]
    if rng.random() < 0.25:
        kept = essential | _DRIVER_WORDS
        words = [UNK if word not in kept and rng.random() < loss else word for word in words]
    if rng.random() < 0.15:
        for _ in range(rng.randint(1, 4)):
            words.insert(rng.randint(0, len(words)), UNK)
    return tuple(words)
