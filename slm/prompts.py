"""The one place that says how a question to the model is written.

Training text (``slm.corpus.instructions``) and the kernel's service (``kernel_interface.service``) both use these
functions, so that a model is asked in the very form that it learned. Ids are lower-case hexadecimal of fixed width, as
``lspci -n`` prints them: four digits for vendor and device, class and subclass as two digits each.
"""

from __future__ import annotations

from collections.abc import Sequence

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
USER, ASSISTANT = "<|user|>", "<|assistant|>"

#: In the order of their ids, 0 first. The AUTON kernel's flat model format fixes the first four.
SPECIAL_TOKENS = (PAD, UNK, BOS, EOS, USER, ASSISTANT)


def device_id(bus: str, vendor: int, device: int, class_code: int | None = None) -> str:
    """Write a device's identity, for example ``PCI 8086:100e class 0200``.

    :param bus: ``pci`` or ``usb``.
    :param class_code: class and subclass as one 16-bit number, when known.
    """
    text = f"{bus.upper()} {vendor:04x}:{device:04x}"
    return text if class_code is None else f"{text} class {class_code:04x}"


def identify_question(bus: str, vendor: int, device: int, class_code: int | None = None) -> str:
    """Ask what a device is; the answer is its maker's name and its own."""
    return f"What is {device_id(bus, vendor, device, class_code)}?"


def identity_question(bus: str, vendor: int, device: int, class_code: int | None = None) -> str:
    """Ask for a device's maker, kind and name, in the form of :func:`slm.evaluation.benchmark.asked.spoken`."""
    return f"Identify {device_id(bus, vendor, device, class_code)}."


def driver_question(bus: str, vendor: int, device: int, class_code: int | None = None, name: str = "") -> str:
    """Ask which driver a device needs; the answer is the bare name of a Linux kernel module."""
    named = f" ({name})" if name else ""
    return f"Which driver for {device_id(bus, vendor, device, class_code)}{named}?"


def compatible_question(compatible: Sequence[str]) -> str:
    """Ask which driver a device-tree node needs, by its ``compatible`` strings; the answer is a module's name."""
    return f"Which driver for {' '.join(compatible)}?"


def intent_question(text: str) -> str:
    """Ask what a person wants; the answer is the name of one of the kernel's intents."""
    return f"Intent: {text}"


def sub_command_question(text: str) -> str:
    """Ask what a person wants, more closely; the answer is the name of a sub-command."""
    return f"Command: {text}"


def completion_question(command: str, text: str) -> str:
    """Ask for the next word of a command; the answer is that word.

    :param text: what the command shall do; empty where nobody said.
    """
    return f"Next word: {text}\n{command}" if text else f"Next word: {command}"


def step_question(text: str, done: Sequence[str]) -> str:
    """Ask what is done next; the answer is that step.

    :param text: what is wanted; empty where nobody said.
    :param done: the steps so far, in their order.
    """
    return "\n".join([f"Next step: {text}".strip(), *done])


def prompt(question: str) -> str:
    """Frame a question for the model, which continues with the answer and ``<eos>``."""
    return f"{BOS}{USER}{question}{ASSISTANT}"


def exchange(question: str, answer: str) -> str:
    """Frame a question with its answer, as training text; document markers are the packer's to add."""
    return f"{USER}{question}{ASSISTANT}{answer}"
