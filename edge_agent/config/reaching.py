"""Settings of how others reach the device: its HTTP API and page, and a broker."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.config.leaf import setting


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`[api]`: the local HTTP API and the page (docs/api.md)."""

    enabled: bool = setting(False, "`edge-agent run` serves the API, too")
    host: str = setting("127.0.0.1", "address to listen on; beyond this machine only with a token and TLS")
    port: int = setting(8686, "port to listen on; 0: any free one", low=0, high=65_535)
    hosts: str = setting(
        "", "names that this device is called by beside localhost and bare addresses, with commas between"
    )
    token_file: str = setting(
        "",
        "file that holds the token clients must send; EDGE_AGENT_API_TOKEN wins over it; "
        "empty: systemd's credential api-token, if there is one",
    )
    tls_cert: str = setting("", "certificate chain, PEM: serve https")
    tls_key: str = setting("", "its private key, PEM")
    max_body_mb: float = setting(16.0, "largest request", unit="MB", low=0.01, high=256)
    waiting: int = setting(8, "questions that may wait for their turn; more are refused with 429", low=0, high=256)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """`[mqtt]`: answers and health for a broker, found by Home Assistant (docs/mqtt.md)."""

    host: str = setting("", "the broker; empty: none (needs the extra `mqtt`)")
    port: int = setting(1883, "its port; with TLS usually 8883", low=1, high=65_535)
    tls: bool = setting(False, "speak TLS with it")
    ca: str = setting("", "certificate that it is trusted by, PEM; empty: those of the system")
    user: str = setting("", "user name, if it asks for one")
    password_file: str = setting("", "file that holds the password; EDGE_AGENT_MQTT_PASSWORD wins over it")
    plain_password: bool = setting(False, "the password may travel without TLS beyond this machine")
    name: str = setting("", "what this device is called there; empty: the host's name")
    prefix: str = setting("edge-agent", "first part of its topics")
    discovery: str = setting("homeassistant", "first part of Home Assistant's discovery topics")
    ask: bool = setting(False, "whoever may write to the broker may ask, on the topic `ask`")
    every_s: float = setting(30.0, "how often health and measurements are sent", unit="s", low=1, high=86_400)
