"""What is said over MQTT: topics, states, and the discovery messages that Home Assistant makes entities of."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_agent import __version__
from edge_agent.api.app import Api
from edge_agent.api.desk import Record, figures_of
from edge_agent.values import plain

ONLINE, OFFLINE = "online", "offline"
MOST_STATE_CHARS = 255  # Home Assistant drops a state that is longer
PRIVATE = "(private)"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device. `node` names it within `prefix` and for Home Assistant."""

    prefix: str
    discovery: str
    node: str

    def of(self, name: str) -> str:
        return f"{self.prefix}/{self.node}/{name}"

    def config(self, component: str, name: str) -> str:
        return f"{self.discovery}/{component}/{self.node}/{name}/config"


def node_of(name: str) -> str:
    """A name as topics may hold it; the host's where none is given."""
    return re.sub(r"[^a-zA-Z0-9_-]+", "-", name or socket.gethostname()).strip("-") or "edge-agent"


def discovery(topics: Topics, model: str, askable: bool) -> Iterator[tuple[str, str]]:
    """Topics and JSON of all entities, as of https://www.home-assistant.io/integrations/mqtt/ ."""
    device = {
        "identifiers": [f"edge-agent-{topics.node}"],
        "name": topics.node,
        "manufacturer": "edge-agent",
        "model": model,
        "sw_version": __version__,
    }

    def entity(component: str, name: str, **fields: Any) -> tuple[str, str]:
        common = {
            "name": name.replace("_", " "),
            "unique_id": f"edge-agent-{topics.node}-{name}",
            "availability_topic": topics.of("availability"),
            "device": device,
        }
        return topics.config(component, name), json.dumps({**common, **fields})

    def reading(name: str, **fields: Any) -> tuple[str, str]:
        value = f"{{{{ value_json.{name} }}}}"
        return entity("sensor", name, state_topic=topics.of("state"), value_template=value, **fields)

    answer = topics.of("answer")
    yield entity(
        "sensor",
        "answer",
        state_topic=answer,
        value_template="{{ value_json.answer }}",
        json_attributes_topic=answer,
        icon="mdi:eye",
    )
    yield entity(
        "binary_sensor",
        "problem",
        state_topic=topics.of("state"),
        value_template="{{ value_json.problem }}",
        device_class="problem",
        json_attributes_topic=topics.of("state"),
        entity_category="diagnostic",
    )
    measured = {"state_class": "measurement"}
    yield reading("changed", unit_of_measurement="%", icon="mdi:motion-sensor", **measured)
    yield reading("sound", unit_of_measurement="dB", icon="mdi:volume-high", **measured)
    yield reading("temperature", unit_of_measurement="°C", device_class="temperature", **measured)
    yield reading("budget_left", unit_of_measurement="USD", device_class="monetary")
    if askable:
        yield entity("text", "question", command_topic=topics.of("ask"), max=MOST_STATE_CHARS, icon="mdi:help")


def answer_of(record: Record) -> str:
    """A question and what became of it. A private one says only that it was."""
    answer = record.answer
    text = record.error if answer is None else PRIVATE if record.question is None else answer.text
    made: dict[str, Any] = {
        "answer": (text or "")[:MOST_STATE_CHARS],
        "question": record.question or PRIVATE,
        "trigger": record.trigger,
        "time": record.time_s,
        "answered": answer is not None,
    }
    if answer is not None:
        made |= figures_of(answer)
    return json.dumps(plain(made))


def state_of(api: Api) -> str:
    """How the device is, and what it last measured; null where that is not known."""
    ready, health = api.health.ready()
    state = None if api.state is None else api.state()
    motion, levels = api.senses.motion, api.senses.levels_db
    return json.dumps(
        plain(
            {
                "problem": "OFF" if ready else "ON",
                "reasons": health["reasons"],
                "changed": None if motion is None else round(100 * motion.changed_share, 1),
                "sound": levels[-1] if levels else None,
                "temperature": None if state is None else state.temperature_celsius,
                "budget_left": None if state is None else state.budget_left_usd,
            }
        )
    )
