"""Asking a model for advice through its vendor's SDK, within a time and a price; its key stays in the environment.

The SDKs are imported only when they are asked for. Whatever goes wrong, from a missing answer to a lying one, is
:class:`Unheeded`, in words in which the key does not stand.
"""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from agents.advice.ledger import Ledger
from agents.advice.proposals import Proposal
from agents.advice.question import ANSWER_TOKENS, SYSTEM, Answer, Unheeded, heeded, plain, question, tools
from agents.evidence import Evidence
from slm.errors import BuildError
from slm.spec import AdviserSpec, PriceSpec

#: Whose key is in which variable. A vendor's key goes to that vendor alone; any other server has a variable of its own.
KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
OTHER_KEY = "AUTON_ADVISER_KEY"
_VENDORS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
#: What the SDKs may try again by themselves, inside the time of one question.
_RETRIES = 2
#: Events of one answer; a thousand tokens have no more.
_EVENTS = 10_000

Tools = list[tuple[str, str, dict[str, Any]]]


class _Client(Protocol):
    """What both vendors' clients have in common here."""

    def close(self) -> None: ...


def key_name(adviser: AdviserSpec) -> str:
    """Return the environment variable that an adviser's key is read from."""
    return KEYS[adviser.by] if adviser.base_url is None else OTHER_KEY


def check_ready(adviser: AdviserSpec, environment: Mapping[str, str] = os.environ) -> None:
    """Make sure, before anything is trained, that an adviser can be asked later.

    :raises BuildError: when its package or its key is missing, or its SDK would tell a server what is another's.
    """
    if adviser.by == "rules":
        return
    if importlib.util.find_spec(adviser.by) is None:
        raise BuildError(
            f"The adviser {adviser.by} needs the package {adviser.by}, which is not installed.",
            "Install it with `pip install -e '.[advise]'`, or set iterate.adviser.by=rules.",
        )
    if adviser.base_url and (headers := f"{adviser.by.upper()}_CUSTOM_HEADERS") in environment:
        raise BuildError(
            f"{headers} is set: the vendor's SDK would send these headers to iterate.adviser.base_url, too.",
            "Unset it where the command runs, or leave base_url out.",
        )
    if not environment.get(key_name(adviser)) and not adviser.local:
        raise BuildError(
            f"The adviser {adviser.by} needs a key in the environment variable {key_name(adviser)}.",
            "Set it where the command runs (on a cluster, where that machine's Ray was started), or set "
            "iterate.adviser.by=rules.",
        )


def advise(evidence: Evidence, folder: Path, environment: Mapping[str, str] = os.environ) -> Proposal:
    """Ask the spec's adviser about a rejected iteration.

    :param folder: the build's, where the ledger is.
    :raises Unheeded: when there is no answer in time, none that is allowed, or no money left for it.
    """
    adviser = evidence.spec.iterate.adviser
    asked, offered = question(evidence), tools(evidence)
    price = adviser.price or PriceSpec(input=0, output=0)
    # No token is shorter than a byte, so these are more than what a vendor can count.
    sent = len(asked.encode()) + len(SYSTEM.encode()) + len(json.dumps(offered).encode())
    ledger, at_most = Ledger(folder), (1 + _RETRIES) * _cost(price, sent, ANSWER_TOKENS)
    budget, spent = evidence.spec.iterate.budget.usd, ledger.spent()
    if spent + at_most > budget:
        raise Unheeded(f"of {budget:g} USD for advice {spent:.4f} are spent, and a question may cost {at_most:.4f}")
    key = environment.get(key_name(adviser)) or ("none" if adviser.local else "")
    if not key:
        raise Unheeded(f"{key_name(adviser)} is not set any more")
    name = ledger.ask(adviser.model, at_most)
    call = {"anthropic": _anthropic, "openai": _openai}[adviser.by]
    try:
        answer = _within(adviser.timeout_seconds, lambda hold: call(adviser, key, asked, offered, hold))
    except Exception as error:
        if _unbilled(error):
            ledger.settle(name, 0.0, 0, 0)
        # A server may send back what it was sent.
        raise Unheeded(plain(_words(error).replace(key, "[key]"), 300)) from None
    used = (_tokens(answer.input_tokens, sent), _tokens(answer.output_tokens, ANSWER_TOKENS))
    ledger.settle(name, _cost(price, *used), *used)
    return heeded(_without(key, answer), evidence)


def _without(key: str, answer: Answer) -> Answer:
    """Return an answer in which the key, should a server send it back, is none any more."""
    return replace(
        answer,
        calls=[(tool.replace(key, "[key]"), arguments.replace(key, "[key]")) for tool, arguments in answer.calls],
        **{name: getattr(answer, name).replace(key, "[key]") for name in ("said", "declined", "ended")},
    )


def _within(seconds: float, ask: Callable[[Callable[[_Client], None]], Answer]) -> Answer:
    """Return what ``ask`` returns; its connection is closed after ``seconds``, however slowly the other side drips."""
    clients: list[_Client] = []
    ended: list[Answer | Exception] = []

    def run() -> None:
        try:
            ended.append(ask(clients.append))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, name="advice", daemon=True)
    thread.start()
    thread.join(seconds)
    late = thread.is_alive()
    for client in clients:
        client.close()
    if late or not ended:
        raise TimeoutError(f"no answer in {seconds:g} s")
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


def _anthropic(adviser: AdviserSpec, key: str, asked: str, offered: Tools, hold: Callable[[_Client], None]) -> Answer:
    import anthropic

    client = anthropic.Anthropic(
        api_key=key,
        base_url=adviser.base_url or _VENDORS["anthropic"],
        timeout=adviser.timeout_seconds,
        max_retries=_RETRIES,
        # A key goes to the server it is for, wherever that points.
        http_client=anthropic.DefaultHttpxClient(follow_redirects=False),
    )
    hold(client)
    with client.messages.stream(
        model=adviser.model,
        max_tokens=ANSWER_TOKENS,
        system=SYSTEM,
        messages=[{"role": "user", "content": asked}],
        tools=[{"name": name, "description": words, "input_schema": schema} for name, words, schema in offered],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    ) as stream:
        for count, _ in enumerate(stream):
            if count > _EVENTS:
                raise Unheeded("its answer had no end")
        message = stream.get_final_message()
    return Answer(
        calls=[(block.name, json.dumps(block.input)) for block in message.content if block.type == "tool_use"],
        said=" ".join(block.text for block in message.content if block.type == "text"),
        declined="the model's own refusal" if message.stop_reason == "refusal" else "",
        ended=message.stop_reason or "",
        input_tokens=message.usage.input_tokens,
        output_tokens=message.usage.output_tokens,
    )


def _openai(adviser: AdviserSpec, key: str, asked: str, offered: Tools, hold: Callable[[_Client], None]) -> Answer:
    import openai

    client = openai.OpenAI(
        api_key=key,
        base_url=adviser.base_url or _VENDORS["openai"],
        timeout=adviser.timeout_seconds,
        max_retries=_RETRIES,
        http_client=openai.DefaultHttpxClient(follow_redirects=False),
    )
    if adviser.base_url:
        client.organization = client.project = None  # from the environment, and the vendor's business alone
    hold(client)
    # Other servers know the older name; the vendor's newer models know no other than the newer.
    limit: dict[str, Any] = {"max_tokens" if adviser.base_url else "max_completion_tokens": ANSWER_TOKENS}
    stream = client.chat.completions.create(
        model=adviser.model,
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}],
        tools=[
            {"type": "function", "function": {"name": name, "description": words, "parameters": schema}}
            for name, words, schema in offered
        ],
        tool_choice="required",
        parallel_tool_calls=False,
        stream=True,
        stream_options={"include_usage": True},
        **limit,
    )
    calls: dict[int, list[str]] = {}
    said, refused, reason = "", "", None
    usage: tuple[int | None, int | None] = (None, None)
    for count, chunk in enumerate(stream):
        if count > _EVENTS:
            raise Unheeded("its answer had no end")
        if chunk.usage is not None:
            usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices[:1]:
            reason = choice.finish_reason or reason
            said += choice.delta.content or ""
            refused += choice.delta.refusal or ""
            for call in choice.delta.tool_calls or []:
                parts = calls.setdefault(call.index, ["", ""])
                if call.function is not None:
                    parts[0] += call.function.name or ""
                    parts[1] += call.function.arguments or ""
    return Answer([(name, arguments) for name, arguments in calls.values()], said, refused, reason or "", *usage)


def _cost(price: PriceSpec, input_tokens: int, output_tokens: int) -> float:
    return (price.input * input_tokens + price.output * output_tokens) / 1e6


def _tokens(said: int | None, most: int) -> int:
    """Return what a server says that it counted; where it says nothing, or what cannot be, the most."""
    return said if isinstance(said, int) and said >= 0 else most


def _unbilled(error: Exception) -> bool:
    """Whether nothing can have been charged: the server answered with an error, or never took the question."""
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and status >= 300


def _words(error: Exception) -> str:
    if isinstance(error, Unheeded | TimeoutError):
        return str(error)
    status = getattr(error, "status_code", None)
    if status == 429:
        return f"it limits how often it may be asked, and {_RETRIES} more tries did not help"
    cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
    return f"{type(error).__name__}: {error}{cause}"
