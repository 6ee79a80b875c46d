"""Who may ask the page what: every request passes here first, and what is not known to be needed is refused."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of Gradio's many routes those that its page asks for. Files, uploads, proxies, documentation are not among them.
_READ = (
    "/",
    "/config",
    "/favicon.ico",
    "/gradio_api/queue/data",
    "/gradio_api/startup-events",
    "/manifest.json",
    "/theme.css",
)
_READ_BELOW = ("/assets/", "/gradio_api/heartbeat/", "/static/")
_WRITE = ("/gradio_api/cancel", "/gradio_api/queue/join")
#: Bytes of a request; what is written on the page is far less.
_MOST = 65_536

#: Gradio's page writes scripts and styles into itself and makes functions out of text. But no attribute of an element
#: is a script, and nothing is asked of, sent to or shown by anybody else.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "script-src-attr 'none'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Door:
    """The page behind its door.

    :param name: the name or address that the page is served at, beside numbers and ``localhost``.
    :param token: what a browser must show as the password, under any user name (HTTP Basic); None lets everybody on
        this machine in.
    """

    app: ASGIApp
    name: str
    token: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            if refusal := self._refusal(scope):
                await refusal(scope, receive, send)
            else:
                await self.app(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        if not self._is_ours(host := headers.get("host", "")):
            # A name that some website made lead here (DNS rebinding); a number is nobody's to lead anywhere.
            return _refused(421, f"This page is not served as {host!r}. Use its number, or localhost.")
        if _from_elsewhere(headers, host, method, path):
            return _refused(403, "Another website asked this. Open the page by its own address.")
        if self.token is not None and not _shows(headers, self.token):
            refusal = _refused(401, "The token is the password; the user name may be any.")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="AUTON builds", charset="UTF-8"'
            return refusal
        if not _is_needed(method, path):
            return _refused(404, "There is nothing here.")
        length = headers.get("content-length", "")
        if method == "POST" and not (length.isdecimal() and int(length) <= _MOST):
            return _refused(413, f"A request has at most {_MOST} bytes, and says how many.")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in ("localhost", self.name.lower()) or _is_number(name)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _from_elsewhere(headers: Headers, host: str, method: str, path: str) -> bool:
    """Say whether a page of another origin made the browser ask; a link to this page is no harm."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return not (method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate")


def _shows(headers: Headers, token: bytes) -> bool:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        _, _, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(password, token)


def _is_needed(method: str, path: str) -> bool:
    if ".." in path:
        return False
    if method == "POST":
        return path in _WRITE
    return method in ("GET", "HEAD") and (path in _READ or path.startswith(_READ_BELOW))


def _refused(status: int, why: str) -> PlainTextResponse:
    return PlainTextResponse(f"{why}\n", status, _HEADERS)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
