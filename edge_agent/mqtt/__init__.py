"""The device in an MQTT house: answers and health to a broker, found by Home Assistant by itself; see docs/mqtt.md."""
