"""Whether every network that a study may propose can be derived within its limits, which is checked before a run."""

from __future__ import annotations

from autogan_ray.config.rules import Rule
from autogan_ray.config.sections import DeriveConfig, TrialSections
from autogan_ray.config.study import check_proposals
from autogan_ray.study.plan import Plan

_LIMITS = [name for name in DeriveConfig.model_fields if name.startswith("max_")]
_COSTLY = {"g": ("channels_g", "latent_dim", "norm_g"), "d": ("channels_d", "head_d")}
"""Network -> settings of ``[model]`` that its cost depends on."""


def check_limits(plan: Plan, image_size: int, image_channels: int) -> None:
    """Holds the limits of ``[derive]`` to the smallest networks of each space, at every end of what is swept.

    It costs a second or so where there is a limit, and nothing where there is none. Each trial checks it again for
    itself.

    Raises:
        ConfigError: a limit cannot be met; names limit, value and the least that is possible.
    """
    study = plan.study

    def check(trial: TrialSections) -> None:
        from autogan_ray.nets.cost.limits import rules_of
        from autogan_ray.nets.shape import Shape

        rules_of(trial.derive, plan.spaces[trial.space], Shape.of(trial.model, image_size, image_channels))

    for network, costly in _COSTLY.items():
        limits = [name for name in _LIMITS if name.endswith(f"_{network}")]
        if any(getattr(study.derive, name) is not None or f"derive.{name}" in study.sweep for name in limits):
            derive = [f"derive.{name}" for name in ("exclude_none", *limits)]
            check_proposals(study, [Rule(("space", *derive, *(f"model.{name}" for name in costly)), check)])
