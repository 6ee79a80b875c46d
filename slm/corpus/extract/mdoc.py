"""The ``mdoc`` macros (mdoc(7)), in which the BSD pages are written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from slm.corpus.extract.page import Page
from slm.corpus.extract.roff_language import plain

_ENCLOSURES = {
    "Op": ("[", "]"), "Dq": ("“", "”"), "Sq": ("‘", "’"), "Qq": ('"', '"'), "Pq": ("(", ")"), "Bq": ("[", "]"),
    "Aq": ("<", ">"), "Brq": ("{", "}"), "Ql": ("‘", "’"),
}  # fmt: skip
_OPENERS = {"Oo": "[", "Do": "“", "So": "‘", "Qo": '"', "Po": "(", "Bo": "[", "Ao": "<", "Bro": "{"}
_CLOSERS = {"Oc": "]", "Dc": "”", "Sc": "’", "Qc": '"', "Pc": ")", "Bc": "]", "Ac": ">", "Brc": "}"}
_SYSTEMS = {
    "Ux": "UNIX", "Bx": "BSD", "Fx": "FreeBSD", "Nx": "NetBSD", "Ox": "OpenBSD", "Dx": "DragonFly", "At": "AT&T UNIX",
    "Bsx": "BSD/OS",
}  # fmt: skip
_PLAIN = {
    "Ar", "Cm", "Ic", "Pa", "Va", "Vt", "Ft", "Fa", "Li", "Dv", "Er", "Ev", "Em", "Sy", "Tn", "An", "No", "Ad", "Ms",
    "Cd", "Fd", "Mt", "Bf", "Ef",
}  # fmt: skip
_CALLABLE = (
    set(_ENCLOSURES) | set(_OPENERS) | set(_CLOSERS) | set(_SYSTEMS) | _PLAIN
    | {"Fl", "Nm", "Xr", "Fn", "Ns", "Ap", "Pf", "Lk", "In", "St", "Ta", "Eo", "Ec", "Nd"}
)  # fmt: skip
_CLOSING = set(".,:;)]?!")
_OPENING = set("([")
_GLUE = "\x00"  # stands where no space may be
#: A macro of four characters writes a page's name.
_LONGEST_NAME = 100


class Mdoc:
    """Turns mdoc macros into text on a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.name = ""
        self.title = ""
        self.synopsis = False
        self.lists: list[str] = []
        self.function: list[str] | None = None
        self.reference: list[str] | None = None

    def text_line(self, line: str) -> None:
        """Take a line without a macro."""
        if not line.strip() and not self.page.verbatim:
            self.page.paragraph()
        else:
            self._add(plain(line) if self.page.verbatim else plain(line).strip())

    def macro(self, name: str, arguments: list[str]) -> None:
        """Take one macro with its arguments."""
        handler: Callable[[list[str]], None] | None = getattr(self, f"_do_{name}", None)
        if handler:
            handler(arguments)
        elif name.startswith("%"):
            if self.reference is not None and name != "%A":
                self.reference.append(self.inline(arguments))
        elif name in _CALLABLE:
            self._add(self.inline([name, *arguments]))

    def inline(self, tokens: list[str]) -> str:
        """Render a line of callable macros and words."""
        pieces: list[str] = []
        self._inline(deque(tokens), pieces)
        text: list[str] = []
        glued = True
        for piece in pieces:
            if piece == _GLUE:
                glued = True
                continue
            closing = piece in _CLOSING or (piece in _CLOSERS.values() and piece not in '"‘“')
            if piece or text:
                text.append(piece if glued or closing or not text else f" {piece}")
            glued = piece in _OPENING
        return "".join(text)

    def _inline(self, tokens: deque[str], out: list[str]) -> None:
        ends: list[list[str]] = []  # of the enclosures that are open
        while tokens:
            token = tokens.popleft()
            if token not in _CALLABLE:
                out.append(plain(token))
            elif token in _ENCLOSURES:
                opening, closing = _ENCLOSURES[token]
                out += [opening, _GLUE]
                after: list[str] = []
                while tokens and tokens[-1] in _CLOSING:
                    after.append(tokens.pop())
                ends.append([_GLUE, closing, *reversed(after)])
            elif token in _OPENERS:
                out += [_OPENERS[token], _GLUE]
            elif token in _CLOSERS:
                out += [_GLUE, _CLOSERS[token]]
            elif token in _SYSTEMS:
                out.append(" ".join([_SYSTEMS[token], *self._words(tokens)]))
            elif token == "Ns":
                out.append(_GLUE)
            elif token == "Ap":
                out += [_GLUE, "'", _GLUE]
            elif token == "Pf":
                out += [plain(tokens.popleft()) if tokens else "", _GLUE]
            elif token == "Ta":
                out.append("|")
            else:
                self._word_macro(token, tokens, out)
        for end in reversed(ends):
            out += end

    def _word_macro(self, token: str, tokens: deque[str], out: list[str]) -> None:
        words = self._words(tokens)
        if token == "Fl":
            out += [f"-{word}" for word in words] or ["-", _GLUE]
        elif token == "Nm":
            self.name = self.name or " ".join(words)[:_LONGEST_NAME]
            out += words or [self.name]
        elif token == "Xr":
            out.append(f"{words[0]}({words[1]})" if len(words) > 1 else "".join(words))
            out += words[2:]
        elif token == "Fn":
            out.append(f"{words[0]}({', '.join(words[1:])})" if words else "")
        elif token == "In":
            out.append(f"<{' '.join(words)}>")
        elif token == "Lk":
            out.append(" ".join([*words[1:], f"<{words[0]}>"]) if words else "")
        elif token == "Mt":
            out.append("<email>")
        elif token == "Ar" and not words:
            out.append("file ...")
        else:
            out += words

    @staticmethod
    def _words(tokens: deque[str]) -> list[str]:
        """Take the words up to the next macro or closing punctuation."""
        words = []
        while tokens and tokens[0] not in _CALLABLE and tokens[0] not in _CLOSING:
            words.append(plain(tokens.popleft()))
        return words

    def _add(self, text: str) -> None:
        if self.function is not None:
            self.function.append(text)
        elif text[:1] in _CLOSING and self.page.words and not self.page.verbatim:
            self.page.words.append(text)
        else:
            if text.startswith(_GLUE):
                self.page.glue = True
            self.page.text(text)

    # One method a block macro, named after it: macro() looks them up.

    def _do_Dt(self, words: list[str]) -> None:
        self.title = f"{words[0].lower()}({words[1]})" if len(words) > 1 else ""
        self.page.blocks.append(self.title)

    def _do_Dd(self, words: list[str]) -> None: ...

    def _do_Os(self, words: list[str]) -> None: ...

    def _do_Sh(self, words: list[str]) -> None:
        self.lists = []
        heading = self.inline(words)
        self.synopsis = heading == "SYNOPSIS"
        self.page.heading(heading, True)

    def _do_Ss(self, words: list[str]) -> None:
        self.page.heading(self.inline(words), False)

    def _do_Nd(self, words: list[str]) -> None:
        self._add(f"- {self.inline(words)}")

    def _do_Nm(self, words: list[str]) -> None:
        if self.synopsis and not self.page.verbatim:
            self.page.end_line()
        self._add(self.inline(["Nm", *words]))

    def _do_Pp(self, words: list[str]) -> None:
        if self.page.verbatim:
            self.page.kept.append("")
        else:
            self.page.paragraph()

    _do_Lp = _do_Pp

    def _do_Bl(self, words: list[str]) -> None:
        self.page.paragraph()
        self.lists.append(next((word for word in words if word.startswith("-")), "-item"))

    def _do_El(self, words: list[str]) -> None:
        self.page.paragraph()
        if self.lists:
            self.lists.pop()

    def _do_It(self, words: list[str]) -> None:
        text = self.inline(words)
        kind = self.lists[-1] if self.lists else ""
        if kind == "-column":
            self.page.line(text)
        else:
            self.page.verbatim = False
            self.page.tag(f"• {text}".strip() if kind in ("-bullet", "-dash", "-hyphen") and text else text)

    def _do_Bd(self, words: list[str]) -> None:
        self.page.paragraph()
        self.page.verbatim = bool({"-literal", "-unfilled"} & set(words))

    def _do_Ed(self, words: list[str]) -> None:
        self.page.verbatim = False
        self.page.paragraph()

    def _do_D1(self, words: list[str]) -> None:
        self.page.line(self.inline(words))

    _do_Dl = _do_D1

    def _do_Ft(self, words: list[str]) -> None:
        if self.synopsis:
            self.page.paragraph()
        self._add(self.inline(words))
        if self.synopsis:
            self.page.end_line()

    def _do_In(self, words: list[str]) -> None:
        if self.synopsis:
            self.page.line(f"#include <{' '.join(words)}>")
        else:
            self._add(self.inline(["In", *words]))

    def _do_Fd(self, words: list[str]) -> None:
        self.page.line(self.inline(words))

    _do_Cd = _do_Fd

    def _do_Fn(self, words: list[str]) -> None:
        text = self.inline(["Fn", *words])
        if self.synopsis:
            self.page.line(text)
        else:
            self._add(text)

    def _do_Fo(self, words: list[str]) -> None:
        self.function = [plain(word) for word in words[:1]]

    def _do_Fc(self, words: list[str]) -> None:
        parts = self.function or [""]
        self.function = None
        text = f"{parts[0]}({', '.join(part.strip() for part in parts[1:])}){''.join(words)}"
        if self.synopsis:
            self.page.line(text)
        else:
            self._add(text)

    def _do_Rs(self, words: list[str]) -> None:
        self.reference = []

    def _do_Re(self, words: list[str]) -> None:
        self._add(", ".join(self.reference or []) + ".")
        self.reference = None

    def _do_Ex(self, words: list[str]) -> None:
        self._add(f"The {self.name} utility exits 0 on success, and >0 if an error occurs.")

    def _do_Rv(self, words: list[str]) -> None:
        self._add("The function returns 0 on success; otherwise it returns -1 and sets errno to tell the error.")

    def _do_Sm(self, words: list[str]) -> None: ...
