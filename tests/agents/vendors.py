"""A server on this machine that speaks both vendors' protocols, and errs, stalls and lies as told."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request; what it answers is the server's next act, of which the last is repeated."""

    server: Vendor
    protocol_version = "HTTP/1.0"  # a stream ends with its connection

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.server.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.asked.append((headers, json.loads(self.body)))
            act = self.server.acts.pop(0) if len(self.server.acts) > 1 else self.server.acts[0]
        with contextlib.suppress(OSError):
            act(self)

    @property
    def anthropic(self) -> bool:
        return self.path.startswith("/v1/messages")

    def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def event(self, content: Any) -> None:
        line = f"event: {content['type']}\n" if self.anthropic else ""
        self.wfile.write(f"{line}data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Vendor(ThreadingHTTPServer):
    """The server; ``asked`` has the headers and the content of every request."""

    daemon_threads = True

    def __init__(self, *acts: Act) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts = list(acts)
        self.asked: list[tuple[dict[str, str], Any]] = []
        self.lock = threading.Lock()

    def url(self, by: str) -> str:
        """Return the base URL as the vendor's SDK wants it."""
        return f"http://127.0.0.1:{self.server_address[1]}{'/v1' if by == 'openai' else ''}"


@contextlib.contextmanager
def serving(*acts: Act) -> Iterator[Vendor]:
    """Serve for a while."""
    with Vendor(*acts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def calls(*made: tuple[str, Any], usage: tuple[Any, Any] = (900, 40), said: str = "", end: str = "") -> Act:
    """Stream calls of tools, their arguments in pieces; arguments that are text are sent as they are."""

    def act(to: Handler) -> None:
        to.head()
        pieces = [
            (name, text := arguments if isinstance(arguments, str) else json.dumps(arguments), len(text) // 2)
            for name, arguments in made
        ]
        (_anthropic if to.anthropic else _openai)(to, pieces, usage, said, end)

    return act


def _anthropic(to: Handler, pieces: list[tuple[str, str, int]], usage: tuple[Any, Any], said: str, end: str) -> None:
    start: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [],
        "stop_reason": None,
    }
    counted = {"input_tokens": usage[0], "output_tokens": 1}
    to.event({"type": "message_start", "message": {**start, "stop_sequence": None, "usage": counted}})
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": said}]))
    for name, text, half in pieces:
        parts = [{"type": "input_json_delta", "partial_json": part} for part in (text[:half], text[half:])]
        blocks.append(({"type": "tool_use", "id": f"t{len(blocks)}", "name": name, "input": {}}, parts))
    for index, (block, deltas) in enumerate(blocks):
        to.event({"type": "content_block_start", "index": index, "content_block": block})
        for delta in deltas:
            to.event({"type": "content_block_delta", "index": index, "delta": delta})
        to.event({"type": "content_block_stop", "index": index})
    reason = end or ("tool_use" if pieces else "end_turn")
    delta = {"stop_reason": reason, "stop_sequence": None}
    to.event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage[1]}})
    to.event({"type": "message_stop"})


def _openai(to: Handler, pieces: list[tuple[str, str, int]], usage: tuple[Any, Any], said: str, end: str) -> None:
    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> None:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        whole = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "x", "choices": choices, **more}
        to.event(whole)

    chunk({"role": "assistant", "content": said or None, "refusal": said if end == "refusal" else None})
    for index, (name, text, half) in enumerate(pieces):
        call = {"index": index, "id": f"t{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        chunk({"tool_calls": [call]})
        for part in (text[:half], text[half:]):
            chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    chunk({}, "tool_calls" if pieces else "stop")
    if usage[0] is not None:
        counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": 0}
        chunk({}, choices=[], usage=counted)
    to.wfile.write(b"data: [DONE]\n\n")


def fails(status: int, words: str = "no", **headers: str) -> Act:
    """Answer with an error."""

    def act(to: Handler) -> None:
        to.head(status, "application/json", **headers)
        to.wfile.write(json.dumps({"type": "error", "error": {"type": "x", "message": words}}).encode())

    return act


def echoes(to: Handler) -> None:
    """Refuse, and send back the key that came."""
    key = to.headers.get("x-api-key") or to.headers.get("authorization", "")
    fails(401, f"wrong key: {key}")(to)


def tells_the_key(to: Handler) -> None:
    """Propose, and write the key into the proposal's reason and its tool's name."""
    key = to.headers.get("x-api-key") or to.headers.get("authorization", "").removeprefix("Bearer ")
    calls((f"Say{key}", {"why": key}), said=key)(to)


def stalls(to: Handler) -> None:
    """Begin an answer and say no more."""
    to.head()
    to.wfile.flush()
    time.sleep(30)


def drips(to: Handler) -> None:
    """Send a comment now and then, and never an answer."""
    to.head()
    while True:
        to.wfile.write(b": wait\n\n")
        to.wfile.flush()
        time.sleep(0.02)


def breaks_off(to: Handler) -> None:
    """End in the middle of a proposal."""
    to.head()
    to.wfile.write(b'event: message_start\ndata: {"type": "message_st')


def talks_rubbish(to: Handler) -> None:
    """Answer with a page."""
    to.head(200, "text/html")
    to.wfile.write(b"<html>Please log in</html>")
