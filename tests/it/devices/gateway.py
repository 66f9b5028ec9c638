"""A gateway on Python's `websockets`: what somebody writes who has read the documentation and nothing else."""

import asyncio
import json
import sys

import websockets


def message(number):
    key = {"chat": "1@s.whatsapp.net", "sender": "1@s.whatsapp.net", "id": f"M{number}"}
    return {"kind": "event", "id": f"e-{number}", "type": "message.received", "key": key, "data": {"n": number}}


async def main(url, key):
    told = {"positions": []}
    connection = await websockets.connect(
        url, subprotocols=["trunkline.v1"], additional_headers={"Authorization": f"Bearer {key}"}
    )
    told["subprotocol"] = connection.subprotocol
    told["extensions"] = [extension.name for extension in connection.protocol.extensions]

    async def say(frame):
        await connection.send(json.dumps(frame))

    async def hear(kind):
        while True:
            frame = json.loads(await connection.recv())
            if frame["kind"] == kind:
                return frame
            assert kind != "ack" or frame["kind"] != "nack", frame

    await say({"kind": "hello", "gateway": "python/1"})
    welcome = await hear("welcome")
    assert welcome["heartbeat_seconds"] > 0, welcome
    await (await connection.ping())
    await say({"kind": "ping"})
    await hear("pong")

    for number in range(100):
        await say(message(number))
    for number in range(100):
        ack = await hear("ack")
        assert ack["id"] == f"e-{number}", ack
        told["positions"].append(ack["position"])
    await say(message(0))
    told["again"] = (await hear("ack"))["position"]
    # In pieces, as the library sends what it is given bit by bit.
    text = json.dumps({"kind": "event", "id": "bad", "type": "message.received", "data": "é" * 1000}, ensure_ascii=False)
    await connection.send(text[start : start + 100] for start in range(0, len(text), 100))
    told["refused"] = (await hear("nack"))["error"]["code"]

    await say({"kind": "state", "state": "connected"})
    command = await hear("command")
    told["command"] = command["name"]
    await say({"kind": "result", "id": command["id"], "ok": True, "data": {"subject": "Crew"}})
    # The result is taken before the goodbye is read, because frames are read in order.
    await connection.close()
    told["closed"] = connection.close_code
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
