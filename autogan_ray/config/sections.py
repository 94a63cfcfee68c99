"""The sections of a study file: each field with unit, range and what None means, stated once, here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from autogan_ray.base.value import Value
from autogan_ray.config import method_rules

Method = Literal["adversarial", "duality_gap", "reinforce", "random"]
Relaxation = Literal["softmax", "gumbel", "gumbel_hard"]
Schedule = Literal["constant", "linear", "cosine", "exponential"]
Rate = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class DataConfig(Value):
    source: str = "digits"
    """``digits``, ``cifar10``, ``stl10``, ``imagefolder:DIR`` or ``parquet:FILE_OR_DIR``."""
    image_size: PositiveInt | None = None
    """Side in pixels; None takes the data's own (48 for stl10)."""
    channels: Literal[1, 3] | None = None
    """None follows the data."""
    limit: PositiveInt | None = None
    """Take the first so many images; None takes all."""
    root: str | None = None
    """Folder of downloaded data sets; None takes $AUTOGAN_RAY_DATA or the cache of the user."""


class MetricsConfig(Value):
    extractor: str = "inception-v3-compat"
    """The name of a feature extractor in :mod:`autogan_ray.metrics.extractors`."""
    weights: str | None = None
    """File of Inception weights; None takes (or downloads) torch.hub's."""
    sha256: str | None = None
    """Digest, or its beginning, that the weights must have; None takes the published one."""
    n_real: PositiveInt | None = None
    """Real images behind the real statistics; None takes all."""
    n_fake_search: Annotated[int, Field(ge=2)] = 5000
    """Generated images at each evaluation of a search; equal for all trials, as FD depends on it."""
    n_fake_final: Annotated[int, Field(ge=2)] = 50000
    """Generated images for a retrained network."""
    batch_size: PositiveInt = 256
    """Images a forward pass of generation and extraction."""
    rank_by: Literal["derived", "supernet"] = "derived"
    """Which FID ASHA and Optuna see, and which picks the best genotype."""
    supernet_every: PositiveInt = 1
    """Score the mixture, the costlier of the two networks, at every n-th evaluation and at the last; in between
    ``fid_supernet`` is null. With ``rank_by = "supernet"`` only 1 will do."""
    bn_batches: PositiveInt = 4
    """Batches from which batch-norm statistics are re-estimated before scoring. More than 1000 images changed the score
    of searched networks by less than another draw of z did, and cost as much as scoring does."""

    @model_validator(mode="after")
    def _what_ranks_is_scored(self) -> Self:
        if self.rank_by == "supernet" and self.supernet_every > 1:
            raise ValueError(
                f'supernet_every = {self.supernet_every} with rank_by = "supernet": what ranks trials is scored at '
                "every evaluation; leave supernet_every at 1, or rank by the derived network"
            )
        return self


class ModelConfig(Value):
    channels_g: PositiveInt = 256
    channels_d: PositiveInt = 128
    latent_dim: PositiveInt = 120
    norm_g: Literal["none", "batch"] | None = None
    """Normalisation in G's DAG cells; None takes the space's. Block spaces decide it themselves."""
    head_d: Literal["sum", "flatten"] = "sum"
    """Before D's linear layer: sum over the map (published), or flatten it (small images)."""


class OptimConfig(Value):
    lr_g: Rate = 2e-4
    lr_d: Rate = 2e-4
    betas: tuple[Beta, Beta] = (0.0, 0.9)
    """Adam, for both networks' weights."""
    lr_arch_g: Rate = 3e-4
    lr_arch_d: Rate = 3e-4
    betas_arch: tuple[Beta, Beta] = (0.5, 0.999)
    weight_decay_arch: NonNegativeFloat = 0.0
    """L2 on the logits, added to their gradient before Adam scales it. The published 1e-4 can outweigh that gradient
    (1e-3 and less for mixtures of many operations) and pull every decision back to uniform, whatever the rate."""
    lr_controller: Rate = 3.5e-4
    """reinforce: of the controller, Adam with ``betas``."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the average of G's weights, a step of G."""


class SearchConfig(Value):
    method: Method = "adversarial"
    """Which one moves the architecture; docs/methods.md says what each does, and which settings it reads."""
    kimg: PositiveFloat = 1500.0
    """Length of a search, in thousands of real images shown to D."""
    batch_size: Annotated[int, Field(ge=2)] = 60
    """Images of each of the two halves (weights, architecture) a step."""
    d_steps_per_g_step: PositiveInt = 5
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of the search at its beginning during which the logits stay frozen."""
    relaxation: Relaxation | None = None
    """None, which a file writes ``own``, takes the method's own: gumbel, or none where a method runs one path."""
    temperature_start: PositiveFloat = 5.0
    temperature_end: PositiveFloat = 0.1
    temperature_schedule: Schedule = "exponential"
    logits_as_probabilities: bool = False
    """Feed probabilities where Gumbel wants log-probabilities, as the published AdversarialNAS code did."""
    search_d: bool = True
    """False keeps D's logits as they start: only G is searched."""
    unrolled: bool = False
    """adversarial: differentiate through one step of the weights (second order), at about 2.5 times the cost."""
    gap_inner_steps: PositiveInt = 3
    """duality_gap: steps that the worst opponents take before each update; published 22 before every 20 updates."""
    reward: Literal["fid", "is"] = "fid"
    """reinforce: -log of the Frechet distance, or the published Inception Score."""
    reward_images: Annotated[int, Field(ge=20)] = 1000
    """reinforce: images behind one reward; published 5000."""
    controller_phases: PositiveInt | None = None
    """reinforce: how often in a search the controller learns; published 65. None: 20, or as often as G steps."""
    controller_steps: Annotated[int, Field(ge=2)] = 30
    """reinforce: steps of the controller in a phase, one reward each."""
    controller_samples: PositiveInt = 10
    """reinforce: architectures that are drawn and scored after a phase; the best is the genotype of the moment."""
    beam: PositiveInt = 5
    """reinforce: the best of them that a next level starts from."""
    levels: PositiveInt | None = None
    """reinforce: growing image sizes, each twice the one before. None: as many as keep the first at 8 px or more."""
    reset_window: NonNegativeInt = 500
    """reinforce: losses among which it is asked whether training has come to rest; 0 never asks."""
    reset_variance: NonNegativeFloat = 1e-3
    """reinforce: a variance of either network's losses below it makes the weights start anew (dynamic reset)."""

    @property
    def relaxation_in_force(self) -> str | None:
        """The one named, or the method's own; None where the method runs one path."""
        return self.relaxation or method_rules.OWN_RELAXATION[self.method]

    @field_validator("relaxation", mode="before")
    @classmethod
    def _own_is_none(cls, value: object) -> object:
        return None if value == method_rules.OWN else value

    @model_validator(mode="after")
    def _settings_fit_the_method(self) -> Self:
        for name in method_rules.GUARDED:
            wrong = method_rules.misfit(self.method, name, getattr(self, name))
            if wrong:
                raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _temperature_falls(self) -> Self:
        if self.temperature_end > self.temperature_start:
            raise ValueError(
                f"temperature_end = {self.temperature_end} is above temperature_start = {self.temperature_start}; "
                "a relaxation is sharpened, so end must not exceed start"
            )
        return self


class ComputeConfig(Value):
    """How networks are computed; results differ by rounding only, and every trial's row says what was used."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """Of activations and convolutions. Weights, spectral norms, logits, losses and optimisers stay float32."""
    channels_last: bool | None = None
    """Memory layout of activations and kernels; None: from 16 px on, where it pays."""
    merge: bool = True
    """Compute what the operations of a mixture have in common once; False calls each by itself."""
    compile: bool = False
    """``torch.compile``: a minute or more before the first step. Not for ``gumbel_hard``, whose every path is another
    network."""


class TuneConfig(Value):
    num_trials: PositiveInt = 16
    max_evaluations: PositiveInt = 10
    """Evaluations of a trial that runs to its end, spread evenly over its kimg."""
    searcher: Literal["tpe", "random"] = "tpe"
    startup_trials: PositiveInt = 10
    """Random proposals before TPE models anything."""
    scheduler: Literal["asha", "none"] = "asha"
    grace_evaluations: PositiveInt | None = None
    """Evaluations before ASHA may stop a trial; None takes max_evaluations / 8, rounded up."""
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0
    cpus_per_trial: PositiveFloat = 1.0
    gpus_per_trial: NonNegativeFloat = 0.0
    max_concurrent: PositiveInt | None = None
    """Trials side by side at most; None: as many as the resources hold. 1 makes a study repeatable."""
    threads: PositiveInt | None = None
    """torch threads of a trial; None takes its CPUs, rounded down, at least 1."""
    max_failures: NonNegativeInt = 2
    """Restarts of a trial whose process or node died."""
    checkpoints: Annotated[int, Field(ge=1)] = 2
    """Newest checkpoints kept of each trial."""

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"a share of one GPU (such as 0.5) or a whole number; the nearest is {round(value)}")
        return value

    @property
    def grace(self) -> int:
        return self.grace_evaluations or -(-self.max_evaluations // 8)


class RetrainConfig(Value):
    kimg: PositiveFloat = 16000.0
    batch_size: Annotated[int, Field(ge=2)] = 64
    batch_size_g: Annotated[int, Field(ge=2)] | None = None
    """Fakes of a step of G; None takes batch_size."""
    d_steps_per_g_step: PositiveInt = 5
    discriminator: Literal["derived", "fixed"] = "derived"
    """``fixed`` is the AutoGAN discriminator, the published protocol."""
    channels_g: PositiveInt | None = None
    channels_d: PositiveInt | None = None
    latent_dim: PositiveInt | None = None
    norm_g: Literal["space", "none", "batch"] | None = None
    """``space``: whatever the space says."""
    head_d: Literal["sum", "flatten"] | None = None
    """None takes the search's: both widths, the length of z, norm_g and head_d."""
    lr_g: Rate = 2e-4
    lr_d: Rate = 2e-4
    betas: tuple[Beta, Beta] = (0.0, 0.9)
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    evaluations: PositiveInt = 10
    """Checkpoints and scores (at n_fake_search) on the way; the best of them is scored at n_fake_final."""
