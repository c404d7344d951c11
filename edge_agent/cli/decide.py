"""`edge-agent decide`: what would be decided about a question, and which numbers decided; nothing is run or sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_agent.agent import check_question
from edge_agent.cli.inputs import gather, inputs_of_file
from edge_agent.cli.options import deciding_options, json_option, limits_of, settle
from edge_agent.cli.output import emit
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.policy.explain import turning_points
from edge_agent.policy.plans import goes_up_bytes
from edge_agent.types import Decision, Modality, ModalityFeatures, Route, SystemState

FRAMES_BYTES, GREETING_BYTES = 650, 290
"""What the wire protocol adds to the payload of a question about a new picture, and for a new connection."""


@click.command()
@click.argument("file", type=FILE)
@click.argument("question")
@click.option("--explain", is_flag=True, help="Also say which numbers alone would change it, and at what value.")
@deciding_options
@json_option
def command(file: Path, question: str, explain: bool, as_json: bool, **deciding: Any) -> None:
    """The decision for QUESTION about FILE (photo, clip or sound), explained. No model is loaded, nothing is sent."""
    from edge_agent.cli.build import Decider, extractor_factory

    check_question(question)
    loaded = settle(**deciding)
    make_extractor = extractor_factory(loaded.config)
    private = loaded.config.limits.private
    observation = run(gather(inputs_of_file(file), question, private, make_extractor))
    deciding_now = Decider(loaded.config)
    features, state, decision = deciding_now(observation, limits_of(loaded))
    turning = turning_points(lambda varied: deciding_now.again(features, varied, observation), state) if explain else []
    if as_json:
        emit({"decision": decision, "features": features, "state": state, **({"turns": turning} if explain else {})})
        return
    _say(features, state, decision)
    if explain:
        _explain(features, state, decision, turning)


def _explain(features: ModalityFeatures, state: SystemState, decision: Decision, turning: list[str]) -> None:
    """What is expected, and what alone would change the route."""
    expected = [
        (
            "right on the device, before a draft" if decision.min_gain is not None else "right",
            decision.predicted_quality,
        ),
        ("ms until the answer", decision.predicted_latency_ms),
        ("bytes of payload up", decision.predicted_bytes),
        ("USD", decision.predicted_cost_usd),
    ]
    known = ", ".join(f"{value:.4g} {words}" for words, value in expected if value is not None)
    click.echo(f"  expected: {known or 'nothing is known yet'}")
    if decision.predicted_bytes:
        click.echo(f"  {_sent_words(features, state, decision)}")
    if decision.min_gain is not None:
        click.echo(f"  a draft goes up from an expected gain of {decision.min_gain:.3f} right answers on")
    elif decision.accept_entropy is not None:
        click.echo(f"  a draft stands up to a token entropy of {decision.accept_entropy:.3f}")
    for sentence in turning:
        click.echo(f"  {sentence}")
    if not turning:
        click.echo("  no single number of link, load, price or time would change it")


def _sent_words(features: ModalityFeatures, state: SystemState, decision: Decision) -> str:
    """What goes up if anything does, and what its frames add: `ask` counts both."""
    images = [plan for plan in decision.plans if plan.modality is Modality.IMAGE]
    size = decision.predicted_bytes
    if decision.route is Route.CASCADE:  # whose prediction may be weighed by how often a draft goes up
        coarser = any(plan.level is not None for plan in images)
        size = None if coarser else goes_up_bytes(features, state, any(plan.overview for plan in images))
    payload = "a payload" if size is None else f"a payload of about {size} bytes"
    return f"what goes up: {payload}, in frames that add some {FRAMES_BYTES}, and {GREETING_BYTES} on a new connection"


def _say(features: ModalityFeatures, state: SystemState, decision: Decision) -> None:
    click.echo(f"{decision.route.value} ({decision.policy})\n  why: {decision.reason}")
    for plan in decision.plans:
        sparsity = "" if plan.sparsity is None else f", MAS {plan.sparsity:.2f}"
        codec = f" as {plan.codec}" if plan.codec else ""
        codec += f" at level {plan.level}" if plan.level is not None else ""
        codec += ", its overview alone" if plan.overview else ""
        click.echo(f"  {plan.modality.value}: {plan.action.value}{codec}{sparsity} ({plan.reason})")
    for words in decision.guards:
        click.echo(f"  guard {words}")
    if features.image is not None:
        image = features.image
        click.echo(
            f"  picture {image.width}x{image.height}: entropy {image.entropy_bits:.2f} bits, "
            f"edges {image.edge_density:.3f}, Laplacian variance {image.laplacian_variance:.0f}"
        )
    click.echo(
        f"  limits: {state.deadline_ms:g} ms and {state.max_cost_usd:g} USD a question, "
        f"{state.budget_left_usd:g} USD left today"
    )
