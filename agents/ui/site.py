"""The page behind its door, as a web server takes it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from agents.ui.door import Door
from agents.ui.screen import CSS, screen, theme
from slm.layout import Layout


def site(layout: Layout, place: Path, name: str, deciding: str, token: bytes | None) -> Door:
    """Return the application; parameters as those of :func:`agents.ui.screen.screen` and :class:`Door`."""
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        screen(layout, place, deciding).queue(max_size=64),
        "/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=CSS,
    )
    return Door(app, name, token)
