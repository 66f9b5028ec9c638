"""A device on `paho-mqtt`: what somebody writes who has read the documentation and nothing else.

Arguments: what to do (talk, send or die), the version (311 or 5), port, device, key, and the file of the authority for TLS.
"""

import json
import os
import sys
import threading

import paho.mqtt.client as paho

todo, version, port, device, key, authority = sys.argv[1:]
is_new = version == "5"
told = {"acknowledged": 0, "foreign": "none"}
connected, gone, finished = threading.Event(), threading.Event(), threading.Event()


def on_connect(client, userdata, flags, reason, properties):
    assert not reason.is_failure, reason
    assert not flags.session_present
    connected.set()


def on_message(client, userdata, message):
    command = json.loads(message.payload)
    told["command"] = command["name"]
    result = {"id": command["id"], "ok": True, "data": {"subject": "Crew"}}
    client.publish("results", json.dumps(result), qos=1)
    finished.set()


def on_publish(client, userdata, mid, reason, properties):
    if reason.is_failure:
        told["foreign"] = str(reason)


client = paho.Client(
    paho.CallbackAPIVersion.VERSION2, client_id=device, protocol=paho.MQTTv5 if is_new else paho.MQTTv311
)
client.on_connect, client.on_message, client.on_publish = on_connect, on_message, on_publish
client.on_disconnect = lambda *_: gone.set()
client.username_pw_set("anybody", key)
client.will_set("events/sensor.gone", json.dumps({"why": "battery"}), qos=1)
if authority:
    client.tls_set(ca_certs=authority)
client.connect("127.0.0.1", int(port), keepalive=30)
client.loop_start()
assert connected.wait(60), "not connected"

if todo == "die":
    os._exit(0)

for number in range(110):
    # More than may be without an answer: the library has to wait as the server says.
    message = client.publish("events/sensor.reading", json.dumps({"n": number}), qos=1 if number < 100 else 2)
    message.wait_for_publish(60)
    told["acknowledged"] += message.is_published()

if todo == "talk":
    assert client.subscribe("commands", qos=1)[0] == paho.MQTT_ERR_SUCCESS
    assert finished.wait(60), "no command came"
    if is_new:
        client.publish("elsewhere", "1", qos=1).wait_for_publish(60)
client.disconnect()
assert gone.wait(60), "not disconnected"
client.loop_stop()
print(json.dumps(told))
