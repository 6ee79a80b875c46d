"""The page behind its door: Gradio's real application, asked as browsers, other websites and strangers would."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agents.ui.site import site
from slm.layout import Layout

TOKEN = b"sixteen bytes, or more"
HERE = "http://127.0.0.1:7860"
JOIN = "/gradio_api/queue/join"


def client(home: Path, token: bytes | None = None, name: str = "127.0.0.1", address: str = HERE) -> TestClient:
    return TestClient(site(Layout(home), home, name, "ann", token), base_url=address)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return client(tmp_path_factory.mktemp("home"))


def test_the_page_is_served_and_its_browser_may_ask_nobody_else(here: TestClient) -> None:
    page = here.get("/")
    assert page.status_code == 200
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["connect-src"], policy["script-src-attr"]) == ("'none'", "'self'", "'none'")
    assert policy["frame-ancestors"] == "'none'"
    assert "fonts.googleapis.com" not in page.text + here.get("/theme.css").text


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file//etc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/docs",
        "/openapi.json",
        "/gradio_api/mcp/sse",
        "/monitoring",
        "/gradio_api/runs",
    ],
)
def test_no_file_and_no_documentation_can_be_fetched(here: TestClient, path: str) -> None:
    answer = here.get(path)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/run/look", "/gradio_api/call/look", "/login"])
def test_nothing_is_taken_that_the_page_does_not_send(here: TestClient, path: str) -> None:
    assert here.post(path, json={}).status_code == 404


def test_a_request_says_how_large_it_is_and_is_small(here: TestClient) -> None:
    assert here.post(JOIN, content=b"x" * 65_537).status_code == 413
    assert here.post(JOIN, content=iter([b"{}"])).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_website_cannot_drive_it(here: TestClient, headers: dict[str, str]) -> None:
    assert here.post(JOIN, json={}, headers=headers).status_code == 403
    assert here.get("/config", headers=headers).status_code == 403


def test_its_own_page_can_and_a_link_leads_to_it(here: TestClient) -> None:
    own = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    assert here.post(JOIN, json={}, headers=own).status_code == 422  # Gradio's own answer to what is no event
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert here.get("/", headers=linked).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7860", 200),
        ("127.0.0.1:7860", 200),
        ("[::1]:7860", 200),
        ("rebound.example:7860", 421),
        ("127.0.0.1.rebound.example", 421),
        ("[::1", 421),
    ],
)
def test_a_name_that_somebody_made_lead_here_is_refused(here: TestClient, host: str, status: int) -> None:
    assert here.get("/", headers={"Host": host}).status_code == status


def test_beyond_this_machine_every_request_shows_the_token(tmp_path: Path) -> None:
    there = client(tmp_path, TOKEN, "builds.lan", "http://builds.lan")

    def shown(password: bytes, scheme: str = "Basic") -> dict[str, str]:
        return {"Authorization": f"{scheme} {base64.b64encode(b'ann:' + password).decode()}"}

    for path in ("/", "/config", "/theme.css", "/assets/x.js"):
        for headers in ({}, shown(b"wrong"), shown(b""), shown(TOKEN, "Bearer"), {"Authorization": "Basic é"}):
            refused = there.get(path, headers={name.encode(): value.encode() for name, value in headers.items()})
            assert refused.status_code == 401
            assert TOKEN.decode() not in refused.text
    assert there.get("/", headers=shown(TOKEN)).status_code == 200
