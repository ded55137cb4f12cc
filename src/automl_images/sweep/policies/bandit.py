"""Stops trials that are further behind the best one than a slack (specification D.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from automl_images.sweep.policies.policy import POLICIES, Curve, IntervalOptions, IntervalPolicy


class BanditOptions(IntervalOptions):
    """Slack as a ratio or as an amount of the primary metric; exactly one is above 0, 0 is the same as not given."""

    type: Literal["bandit"] = "bandit"
    slack_factor: float = Field(default=0, ge=0)
    slack_amount: float = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_slack(self) -> BanditOptions:
        if (self.slack_factor > 0) == (self.slack_amount > 0):
            raise ValueError("bandit takes exactly one of slack_factor and slack_amount above 0, such as 0.1")
        return self


@POLICIES.register("bandit")
class Bandit(IntervalPolicy):
    """A trial's best value so far must come up to the best one of all trials up to the same interval, less the slack.

    Trials that have not come to the interval yet count with what they have, and so do stopped ones.
    """

    options_type = BanditOptions
    options: BanditOptions

    def limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return the best value up to the interval, less the slack."""
        best = max(curve.best(interval) for curve in (own, *others))
        if self.options.slack_amount:
            return best - self.options.slack_amount
        ratio = 1 + self.options.slack_factor
        return best / ratio if best > 0 else best * ratio  # the slack lies on the worse side, whatever the sign
