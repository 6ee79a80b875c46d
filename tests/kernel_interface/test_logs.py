from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_interface import serve
from kernel_interface.client import Client
from kernel_interface.intents import SubCommand
from kernel_interface.logs import JsonFormatter, RequestLog
from kernel_interface.service import Answer
from kernel_interface.wire import ErrorCode, Message, MessageType
from tests.streams import frame, receive, unix

SECRET = "zanzibar"
messages = st.builds(
    Message,
    type=st.sampled_from(MessageType),
    payload=st.binary(max_size=60).map(lambda junk: junk + SECRET.encode() + junk) | st.binary(max_size=60),
    sender=st.integers(0, 2**64 - 1),
    sequence=st.integers(0, 2**32 - 1),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages, st.booleans(), st.text(max_size=20))
def test_any_message_is_one_json_object_a_line(
    caplog: pytest.LogCaptureFixture, message: Message, texts: bool, action: str
) -> None:
    caplog.clear()
    told = RequestLog(texts)
    with caplog.at_level(logging.INFO):
        told.answered("unix-1", message, [Answer(SubCommand.DRV_SELECT, SECRET, action, False, "model", 0.5)], 0.25)
        told.refused("unix-1", message, ErrorCode.INVALID)
        told.told("unix-1", message)
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert not any("\n" in line for line in lines)
    answered, refused, other = map(json.loads, lines)
    assert (answered["event"], answered["ms"], answered["action"]) == ("answered", 250.0, action)
    assert (refused["event"], refused["code"], other["event"]) == ("refused", "INVALID", "told")
    for content in (answered, refused, other):
        assert (content["sequence"], content["sender"]) == (message.sequence, message.sender)
        assert ("text" in content) == texts
        assert texts or SECRET not in json.dumps({**content, "action": ""})


@pytest.mark.parametrize(
    ("sub", "action", "told"),
    [
        (SubCommand.PKG_INSTALL, f'{{"packages":["{SECRET}"],"again":false}}', ""),
        (SubCommand.SVC_STOP, f'{{"operation":"stop","service":"{SECRET}"}}', "stop"),
        (SubCommand.SVC_STOP, SECRET, ""),
        (SubCommand.DRV_SELECT, "e1000", "e1000"),
    ],
)
def test_names_that_users_wrote_are_not_told(
    caplog: pytest.LogCaptureFixture, sub: SubCommand, action: str, told: str
) -> None:
    message = Message(MessageType.SLM_QUERY, b"x")
    for texts, expected in ((False, told), (True, action)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            answer = Answer(sub, SECRET, action, False, "rules", 0.9)
            RequestLog(texts).answered("unix-1", message, [answer], 0.25)
        (line,) = (JsonFormatter().format(record) for record in caplog.records)
        assert json.loads(line)["action"] == expected
        assert (SECRET in line) == (texts and SECRET in action)


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "It %s.", ("failed",), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    content = json.loads(line)
    assert (content["event"], content["level"]) == ("It failed.", "ERROR")
    assert "two\nlines" in content["exception"]


def test_texts_are_asked_for_with_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serve.main(["--socket", "x", "--log-text"])
    assert "--log-json" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("texts", [False, True])
def test_the_programs_log(tables: Path, tmp_path: Path, texts: bool) -> None:
    path = tmp_path / "slm.sock"
    options = ["--log-json", *(["--log-text"] if texts else [])]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "kernel_interface.serve",
        "--socket",
        path,
        "--knowledge",
        tables,
        *options,
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            with Client(path) as client, unix(path) as connection:
                client.query(f"which driver for 8086:100e, {SECRET}?")
                connection.sendall(frame(SECRET, 3, kind=MessageType.RAW) + SECRET.encode() * 20)
                receive(connection, 2)
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=10)
    lines = [json.loads(line) for line in errors.splitlines()]
    answered = next(line for line in lines if line["event"] == "answered")
    expected = ("DRIVER_SELECT", "DRV_SELECT", "knowledge", "e1000", "SLM_QUERY")
    assert tuple(answered[key] for key in ("intent", "sub_command", "source", "action", "type")) == expected
    assert [line["code"] for line in lines if line["event"] == "refused"] == ["INVALID", "INVALID"]
    assert (SECRET in errors) == texts
