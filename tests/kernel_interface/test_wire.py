from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface import wire
from kernel_interface.intents import Intent, SubCommand
from kernel_interface.wire import Command, Defect, ErrorCode, Flag, FrameReader, Message, MessageType, Result, WireError
from tests.needs import need_program

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
messages = st.builds(
    Message,
    type=st.sampled_from(MessageType),
    payload=st.binary(max_size=300),
    sender=u64,
    receiver=u64,
    timestamp=u64,
    sequence=u32,
    flags=u32.map(Flag),
)
#: Text that ends in something visible: closing NULs do not count.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=900).map(lambda text: text + "x")


def cuts(data: bytes, sizes: list[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 200), max_size=20))
def test_frames_survive_any_cutting(sent: list[Message], sizes: list[int]) -> None:
    reader = FrameReader()
    stream = b"".join(message.encode() for message in sent)
    assert [item for part in cuts(stream, sizes) for item in reader.feed(part)] == sent


@given(st.binary(min_size=1, max_size=400).filter(lambda junk: b"\x21" not in junk), messages)
def test_resynchronises_after_junk_and_reports_it_once(junk: bytes, message: Message) -> None:
    found = FrameReader().feed(junk + message.encode())
    assert isinstance(found[0], Defect)
    assert found[0].code == ErrorCode.INVALID
    assert found[1:] == [message]


@given(st.binary(max_size=3000), st.lists(st.integers(0, 500), max_size=10))
def test_bounded_and_the_same_however_it_is_cut(data: bytes, sizes: list[int]) -> None:
    whole, parts = FrameReader(), FrameReader()
    expected = [item for item in whole.feed(data) if isinstance(item, Message)]
    found = [item for part in cuts(data, sizes) for item in parts.feed(part)]
    assert [item for item in found if isinstance(item, Message)] == expected
    assert len(parts._buffer) < wire.HEADER.size + wire.MAX_PAYLOAD


@given(messages, st.lists(st.integers(1, 100), max_size=10), st.binary(max_size=100))
def test_who_reads_what_a_frame_lacks_reads_it_and_no_more(sent: Message, sizes: list[int], rest: bytes) -> None:
    stream, reader, found = sent.encode() + rest, FrameReader(), list[Message | Defect]()
    while not found:
        part = stream[: min([reader.lacks, *sizes[:1]])]
        assert part
        stream, sizes = stream[len(part) :], sizes[1:]
        found = reader.feed(part)
    assert (found, stream) == ([sent], rest)


@given(messages, st.data())
def test_a_mutated_frame_never_raises_nor_hides_the_following(message: Message, data: st.DataObject) -> None:
    frame = bytearray(message.encode())
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    following = Message(MessageType.TEXT, b"here", sequence=77)
    # A changed length swallows at most one payload; a row of frames as long as that must come through at its end.
    found = FrameReader().feed(bytes(frame) + following.encode() * 90)
    assert found[-1] == following


def test_a_lying_length_is_reported_and_does_not_wait() -> None:
    header = wire.HEADER.pack(wire.MAGIC, 1, 5, 6, 7, 4097, 9, 0, 0)
    good = Message(MessageType.TEXT, b"ok")
    defect, message = FrameReader().feed(header + good.encode())
    assert isinstance(defect, Defect)
    assert defect.code == ErrorCode.TOO_LONG
    reply = defect.reply()
    assert (reply.type, reply.sequence, reply.sender, reply.receiver) == (MessageType.ERROR, 9, 6, 5)
    assert message == good


def test_an_unknown_type_is_reported_and_skipped() -> None:
    frame = bytearray(Message(MessageType.TEXT, b"abc", sequence=3).encode())
    frame[4:8] = struct.pack("<I", 0x0999)
    good = Message(MessageType.ACK)
    defect, message = FrameReader().feed(bytes(frame) + good.encode())
    assert isinstance(defect, Defect)
    assert (defect.code, defect.header.sequence) == (ErrorCode.INVALID, 3)
    assert "0x0999" in defect.reason
    assert message == good


def test_thousands_of_false_headers_are_one_defect() -> None:
    header = wire.HEADER.pack(wire.MAGIC, 1, 0, 0, 0, 2**32 - 1, 0, 0, 0)
    assert len(FrameReader().feed(header * 5000)) == 1


def test_too_long_a_payload_is_not_written() -> None:
    with pytest.raises(WireError) as caught:
        Message(MessageType.RAW, b"x" * 4097).encode()
    assert caught.value.code == ErrorCode.TOO_LONG
    with pytest.raises(WireError):
        Message(MessageType.RAW, sequence=2**32).encode()


@given(u32, u32, texts)
def test_commands_round_trip(intent: int, sub: int, text: str) -> None:
    command = Command(intent, sub, text)
    assert len(command.encode()) == 3852
    assert Command.decode(command.encode()) == command


@given(u32, st.integers(-(2**31), 2**31 - 1), texts)
def test_results_round_trip(intent: int, status: int, text: str) -> None:
    result = Result(intent, status, text)
    assert len(result.encode()) == 3852
    assert Result.decode(result.encode()) == result


@given(st.binary(max_size=5000) | st.binary(min_size=3852, max_size=3852))
def test_any_payload_is_decoded_or_refused(payload: bytes) -> None:
    for kind in (Command, Result):
        try:
            assert len(kind.decode(payload).encode()) == 3852
        except WireError as error:
            assert error.code == ErrorCode.INVALID


@pytest.mark.parametrize("size", [0, 8, 3851, 3853, 4096])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(WireError, match="3852"):
        Command.decode(bytes(size))


def test_a_text_length_beyond_the_array_is_refused() -> None:
    with pytest.raises(WireError, match="3841"):
        Command.decode(bytes(3848) + struct.pack("<I", 3841))


@given(
    st.text(st.characters(), max_size=6000) | st.integers(0, 6000).map(lambda n: "\x01" * n + "é€😀" * (n // 3)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=150),
)
def test_result_json_fits_and_only_the_response_is_cut(response: str, action: str) -> None:
    fields = {"requires_followup": False, "source": "rules", "confidence": 0.5}
    text = wire.fit_result(response, action, fields)
    content = json.loads(text)
    clean = response.encode(errors="replace").decode()
    assert len(text.encode()) <= 3840
    assert content["action_data"] == action
    assert clean.startswith(content["response"])
    assert len(content["response"].encode()) <= 2047
    if len(content["response"]) < len(clean):  # cut no more than necessary
        more = clean[: len(content["response"]) + 1]
        longer = json.dumps({**content, "response": more}, ensure_ascii=False, separators=(",", ":"))
        assert len(more.encode()) > 2047 or len(longer.encode()) > 3840


def test_action_data_is_refused_rather_than_cut() -> None:
    with pytest.raises(WireError, match="action_data"):
        wire.fit_result("", "x" * 1024, {})
    with pytest.raises(WireError, match="action_data"):
        wire.fit_result("long", "\x01" * 1000, {})


@given(st.sampled_from(ErrorCode), st.text(st.characters(), max_size=9000))
def test_errors_round_trip(code: ErrorCode, reason: str) -> None:
    payload = wire.encode_error(code, reason)
    assert len(payload) <= 4096
    found, text = wire.decode_error(payload)
    assert found == code
    assert reason.encode(errors="replace").decode().startswith(text)


HEADERS = Path(wire.__file__).parent / "c"
C_FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", str(HEADERS))

#: Each structure of the header, and where its fields must lie; a structure's size comes last.
LAYOUTS: dict[str, dict[str, int]] = {
    "auton_header": {
        "magic": 0,
        "type": 4,
        "sender": 8,
        "receiver": 16,
        "timestamp": 24,
        "length": 32,
        "sequence": 36,
        "flags": 40,
        "padding": 44,
        "": wire.HEADER.size,
    },
    "auton_command": {"intent": 0, "sub_command": 4, "args": 8, "args_len": 3848, "": wire.COMMAND.size},
    "auton_result": {"intent": 0, "status": 4, "data": 8, "data_len": 3848, "": wire.RESULT.size},
    "auton_error_head": {"code": 0, "": 4},
    "auton_answer": {
        "intent": 0,
        "status": 4,
        "response": 8,
        "response_len": 8 + wire.RESPONSE_BYTES + 1,
        "action_data": 2060,
        "action_data_len": 2060 + wire.ACTION_BYTES + 1,
        "requires_followup": 3088,
        "": 3092,
    },
}
CONSTANTS = {
    "AUTON_MAGIC": wire.MAGIC,
    "AUTON_MAX_PAYLOAD": wire.MAX_PAYLOAD,
    "AUTON_TEXT_BYTES": wire.TEXT_BYTES,
    **{f"AUTON_{item.name}": int(item) for kind in (MessageType, Flag, ErrorCode, Intent, SubCommand) for item in kind},
}

EXAMPLES = r"""
    static struct auton_header h; static struct auton_command c; static struct auton_result r;
    h.magic = AUTON_MAGIC; h.type = AUTON_SLM_COMMAND; h.sender = 0x1122334455667788; h.receiver = 2; h.timestamp = 3;
    h.length = sizeof c; h.sequence = 4; h.flags = AUTON_URGENT | AUTON_SLM_CHAN;
    c.intent = AUTON_DRIVER_SELECT; c.sub_command = AUTON_DRV_FALLBACK; strcpy(c.args, "driver=e1000"); c.args_len = 12;
    fwrite(&h, sizeof h, 1, stdout); fwrite(&c, sizeof c, 1, stdout);
    h.type = AUTON_SLM_RESULT;
    r.intent = AUTON_TROUBLESHOOT; r.status = AUTON_INVALID; strcpy(r.data, "{}"); r.data_len = 2;
    fwrite(&h, sizeof h, 1, stdout); fwrite(&r, sizeof r, 1, stdout);
    struct auton_error_head e = {AUTON_FULL};
    h.type = AUTON_ERROR; h.length = sizeof e + 4;
    fwrite(&h, sizeof h, 1, stdout); fwrite(&e, sizeof e, 1, stdout); fwrite("full", 4, 1, stdout);
"""


def compiled(source: Path, program: Path) -> Path:
    """Compile a C program against the header, every warning an error."""
    subprocess.run([need_program("gcc", "gcc"), *C_FLAGS, "-o", program, source], check=True)
    return program


def test_layout_is_the_c_compilers(tmp_path: Path) -> None:
    printed = [
        f"offsetof(struct {name}, {field})" if field else f"sizeof(struct {name})"
        for name, fields in LAYOUTS.items()
        for field in fields
    ]
    lines = [f'fprintf(stderr, "%lld\\n", (long long)({item}));' for item in (*printed, *CONSTANTS)]
    source = tmp_path / "layout.c"
    includes = "#include <stdio.h>\n#include <string.h>\n" + '#include "auton_ipc.h"\n'
    source.write_text(includes + "int main(void) {\n" + "\n".join(lines) + EXAMPLES + "return 0;\n}\n")
    done = subprocess.run([compiled(source, tmp_path / "layout")], check=True, capture_output=True)
    expected = [at for fields in LAYOUTS.values() for at in fields.values()]
    assert [int(word) for word in done.stderr.split()] == [*expected, *CONSTANTS.values()]
    common = (0x1122334455667788, 2, 3, 4, Flag(9))
    ours = [
        Message(MessageType.SLM_COMMAND, Command(1, 0x102, "driver=e1000").encode(), *common),
        Message(MessageType.SLM_RESULT, Result(5, -8, "{}").encode(), *common),
        Message(MessageType.ERROR, wire.encode_error(ErrorCode.FULL, "full"), *common),
    ]
    assert done.stdout == b"".join(message.encode() for message in ours)
    assert FrameReader().feed(done.stdout) == ours


def test_the_header_declares_every_name_that_we_know() -> None:
    text = (HEADERS / "auton_ipc.h").read_text()
    declared = set(re.findall(r"^    (AUTON_\w+) = |[{,] (AUTON_\w+) = ", text, re.MULTILINE))
    assert {first or second for first, second in declared} == set(CONSTANTS) - {
        "AUTON_MAGIC",
        "AUTON_MAX_PAYLOAD",
        "AUTON_TEXT_BYTES",
    }
    structures = re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.MULTILINE | re.DOTALL)
    fields = {name: set(re.findall(r"(\w+)(?:\[\w+\])?;", body)) for name, body in structures}
    assert fields == {name: set(layout) - {""} for name, layout in LAYOUTS.items()}


def changed(payload: bytes, data: st.DataObject) -> bytes:
    """Change, drop or add some bytes."""
    at = data.draw(st.integers(0, len(payload)))
    return payload[:at] + data.draw(st.binary(max_size=6)) + payload[at + data.draw(st.integers(0, 6)) :]


@given(u32, st.integers(-(2**31), 2**31 - 1), texts, st.data())
def test_a_mutated_payload_of_every_kind_is_read_or_refused(a: int, b: int, text: str, data: st.DataObject) -> None:
    for payload, kind in ((Command(a, b % 2**32, text).encode(), Command), (Result(a, b, text).encode(), Result)):
        try:
            read = kind.decode(changed(payload, data))
        except WireError as error:
            assert error.code == ErrorCode.INVALID
        else:  # what was read says the same once more
            assert kind.decode(read.encode()) == read
    try:
        code, reason = wire.decode_error(changed(wire.encode_error(ErrorCode.FULL, text), data))
    except WireError as error:
        assert error.code == ErrorCode.INVALID
    else:
        assert isinstance(reason, str) and -(2**31) <= code < 2**31
    try:
        wire.decode_text(changed(text.encode(), data), "SLM_QUERY").encode()
    except WireError as error:
        assert error.code == ErrorCode.INVALID


@given(texts)
def test_texts_round_trip_however_many_nuls_close_them(text: str) -> None:
    assert wire.decode_text(text.encode() + bytes(len(text) % 5), "SLM_QUERY") == text


def test_reply_swaps_pids_and_keeps_the_sequence() -> None:
    asked = Message(MessageType.SLM_QUERY, b"?", 1, 2, 3, 4, Flag.SLM_CHAN | Flag.URGENT | Flag.REPLY_REQ)
    assert asked.reply(MessageType.ACK, b"") == Message(MessageType.ACK, b"", 2, 1, 3, 4, Flag.SLM_CHAN)


def test_flags_without_a_name_leave_nothing_behind() -> None:
    reader, before = FrameReader(), len(Flag._value2member_map_)
    for number in range(2000):
        sent = Message(MessageType.SLM_EVENT, b"", flags=number << 21 | int(Flag.SLM_CHAN))
        (read,) = reader.feed(sent.encode())
        assert isinstance(read, Message)
        assert read == sent
        assert read.reply(MessageType.ACK, b"").flags == Flag.SLM_CHAN
    assert len(Flag._value2member_map_) == before
