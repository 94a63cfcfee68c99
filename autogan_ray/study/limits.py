"""Whether every network that a study may propose can be derived within its limits: asked before anything runs."""

from __future__ import annotations

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.corners import corners
from autogan_ray.config.derive import DeriveConfig
from autogan_ray.study.plan import Plan, image_form

_LIMITS = [name for name in DeriveConfig.model_fields if name.startswith("max_")]
_COSTLY = {"g": ("channels_g", "latent_dim", "norm_g"), "d": ("channels_d", "head_d")}
"""Network -> settings of ``[model]`` that its cost depends on."""


def check_limits(plan: Plan) -> None:
    """Hold the limits of ``[derive]`` to the smallest networks of each space, at every end of what is swept.

    Costs a second or so where there is a limit, and nothing where there is none. Where the data is not there yet and
    their size is not known either, nothing is checked: each trial does it again for itself.

    Raises ConfigError naming limit, value and the least that is possible.
    """
    study = plan.study
    limits = [n for n in _LIMITS if getattr(study.derive, n) is not None or f"derive.{n}" in study.sweep]
    if not limits:
        return
    costly = [f"model.{name}" for limit in limits for name in _COSTLY[limit[-1]]]
    keys = ["space", "derive.exclude_none", *(f"derive.{name}" for name in limits), *costly]
    form = image_form(study)
    if form is None:
        return
    from autogan_ray.nets.cost.limits import rules_of
    from autogan_ray.nets.shape import Shape

    for corner in corners(study.sweep, keys):
        trial = study.trial(corner, study.seed)
        shape = Shape.of(trial.model, *form)
        try:
            rules_of(trial.derive, plan.spaces[trial.space], shape)
        except ConfigError as error:
            swept = ", ".join(f"{key} = {value}" for key, value in corner.items())
            raise ConfigError(f"{error}" + (f" (where the sweep proposes {swept})" if swept else "")) from error
