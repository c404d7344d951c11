"""What an oracle is told: who will be right, and what each takes on an idle cloud with the link as it is."""

from __future__ import annotations

from edge_agent.sim.scenario import Scenario
from edge_agent.sim.world import Question, Questions

Three = tuple[float, float, float]


def truth(
    scenario: Scenario, questions: Questions, question: Question, slow: float, link: tuple[float, float]
) -> tuple[Three, Three, Three]:
    """(right, milliseconds, USD) of device, cloud, and cloud with the overview alone. `slow`: how much longer the
    device takes at this moment; `link` its (Mbit/s, round trip in ms).
    """
    here, price = question.edge, scenario.cloud.usd_per_question
    first_ms = slow * (here.encode_ms + questions.edge_node.overhead_ms)
    mbps, rtt_ms = link
    right, latency_ms = [float(here.right)], [first_ms + slow * here.service_ms]
    for there, node in ((question.cloud, questions.cloud_node), (question.overview, questions.overview_node)):
        sending_ms, receiving_ms = questions.beyond_ms(node, again=False)
        sent_ms = 0.008 * there.bytes_up / max(mbps, 1e-3) + rtt_ms
        made_ms = slow * (there.encode_ms - here.encode_ms + there.code_ms + sending_ms)
        served_ms = scenario.cloud.slowdown * (there.service_ms + receiving_ms)
        right.append(float(there.right))
        latency_ms.append(first_ms + made_ms + sent_ms + served_ms)
    return (right[0], right[1], right[2]), (latency_ms[0], latency_ms[1], latency_ms[2]), (0.0, price, price)
