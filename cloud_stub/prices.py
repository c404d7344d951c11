"""What an answer costs, and how long a one a given sum pays for."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.transport.drafts import Verdict


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-dollars per 1,000 tokens."""

    prompt: int = 0
    completion: int = 0

    def cost_microusd(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Rounded up to a whole micro-dollar."""
        return -(-(prompt_tokens * self.prompt + completion_tokens * self.completion) // 1000)

    def affordable(self, prompt_tokens: int, max_cost_microusd: int | None, max_tokens: int) -> int:
        """How many tokens of answer, at most `max_tokens`, fit under the cost; 0 if none does."""
        if max_cost_microusd is None:
            return max_tokens
        left = max_cost_microusd * 1000 - prompt_tokens * self.prompt
        if left < 0:
            return 0
        return max_tokens if self.completion == 0 else min(max_tokens, left // self.completion)

    def verified_microusd(self, prompt_tokens: int, completion_tokens: int, verdict: Verdict | None) -> int:
        """The cost where a draft was checked: all of it is paid as prompt, what of it stood not as completion."""
        if verdict is None:
            return self.cost_microusd(prompt_tokens, completion_tokens)
        return self.cost_microusd(prompt_tokens + verdict.drafted, completion_tokens - verdict.accepted)
