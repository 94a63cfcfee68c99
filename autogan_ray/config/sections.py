"""The sections of a study file: each field with its unit, its range and what None means, stated once, here.

A section checks each of its values alone. What must hold between several settings stands in
:mod:`autogan_ray.config.rules`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from autogan_ray.base.errors import nearest
from autogan_ray.base.value import Value
from autogan_ray.config.methods import METHODS
from autogan_ray.config.score_and_cost import Objectives
from autogan_ray.config.training import Beta, GameConfig, Rate, Schedule, WeightsConfig

OWN = "own"
"""How a TOML file, which has no null, says that the relaxation is the method's own."""


def _one_of(names: Collection[str]) -> AfterValidator:
    """Returns a check that refuses any other name and says which of these names is nearest."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"no such name; {nearest(name, names)}")
        return name

    return AfterValidator(check)


Method = Annotated[str, _one_of(METHODS)]
Relaxation = Literal["softmax", "gumbel", "gumbel_hard"]
Fraction = Annotated[float, Field(gt=0, lt=1)]

FEWEST_REAL = 4
"""Scores need so many real images: precision and recall look at the 3 nearest neighbours of each."""
FEWEST_FINAL = 10
"""The scores of a retrained network need so many fakes: the Inception Score is taken over 10 parts of them."""
SEEDS = 2**32
"""A study's seed is below this number: torch-fidelity draws the subsets of KID by NumPy's ``RandomState``, which takes
32 bits."""


class DataConfig(Value):
    source: str = "digits"
    """``digits``, ``cifar10``, ``stl10``, ``imagefolder:DIR`` or ``parquet:FILE_OR_DIR``."""
    image_size: PositiveInt | None = None
    """Side of the images in pixels; None takes that of the data (48 for stl10)."""
    channels: Literal[1, 3] | None = None
    """Colour channels of the images; None takes 3 where any image has colour, else 1."""
    limit: PositiveInt | None = None
    """Only so many images are used, drawn over all of them and over the classes by their shares; None uses all."""
    root: str | None = None
    """Folder of downloaded data sets (``cifar10``, ``stl10``); None takes $AUTOGAN_RAY_DATA or the user's cache
    folder."""
    split: str | None = None
    """Which split of a folder or of Parquet shards is used: ``train``, ``validation``, ``test`` or ``all``; None takes
    the training one where there are splits."""
    image_column: str | None = None
    """Column of Parquet files that holds the encoded images; None finds it (``image``, ``img``, ...)."""
    label_column: str | None = None
    """Column of Parquet files that holds the classes, ``none`` for no labels; None finds it (``label``, ...)."""


class MetricsConfig(Value):
    extractor: str = "inception-v3-compat"
    """The name of a feature extractor in :mod:`autogan_ray.metrics.extractors`: its features of real and generated
    images are compared."""
    weights: str | None = None
    """File with the weights of ``inception-v3-compat`` or ``efficientnet-lite0``; None takes the file of torch.hub,
    which is downloaded if need be, or that of the installed package."""
    sha256: str | None = None
    """Digest of the weights, or its beginning; None demands the digest of the published weights."""
    n_real: Annotated[int, Field(ge=FEWEST_REAL)] | None = None
    """Number of real images behind the real statistics, drawn over all of them and over the classes by their shares;
    None takes all. At least 4, as precision and recall look at the 3 nearest neighbours of each."""
    n_fake_search: Annotated[int, Field(ge=2)] = 5000
    """Generated images at each evaluation of a search. It is equal for all trials, as the distance depends on it."""
    n_fake_final: Annotated[int, Field(ge=FEWEST_FINAL)] = 50000
    """Generated images with which a retrained network is scored. At least 10, as the Inception Score is taken over 10
    parts of them."""
    batch_size: PositiveInt = 256
    """Images in a forward pass of generation and of extraction. The statistics of batch norms are estimated on batches
    of this size, so scores depend on it."""
    rank_by: Literal["derived", "supernet"] = "derived"
    """Whose FID ASHA and Optuna see, and which picks the best genotype."""
    supernet_every: PositiveInt = 1
    """The mixture, the costlier of the two networks, is scored at every n-th evaluation and at the last; in between
    ``fid_supernet`` is null. With ``rank_by = "supernet"`` it must be 1."""
    bn_batches: PositiveInt = 4
    """Batches, of ``batch_size`` images each, from which batch-norm statistics are re-estimated before scoring. More
    than 1000 images changed the score of searched networks by less than another draw of z did, and cost as much as
    scoring does."""

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
    """Width of the generator in channels."""
    channels_d: PositiveInt = 128
    """Width of the discriminator in channels."""
    latent_dim: PositiveInt = 120
    """Length of the noise vector z."""
    norm_g: Literal["none", "batch"] | None = None
    """Normalisation in the generator's DAG cells; None takes that of the space. Block spaces decide it themselves."""
    head_d: Literal["sum", "flatten"] = "sum"
    """What comes before the discriminator's linear layer: the sum over the feature map (as published), or the
    flattened map (for small images)."""


class OptimConfig(WeightsConfig):
    lr_arch_g: Rate = 3e-4
    """Learning rate of the generator's architecture parameters."""
    lr_arch_d: Rate = 3e-4
    """Learning rate of the discriminator's architecture parameters."""
    betas_arch: tuple[Beta, Beta] = (0.5, 0.999)
    """Betas of Adam for the architecture parameters of both networks."""
    weight_decay_arch: NonNegativeFloat = 0.0
    """L2 penalty on the architecture parameters, added to their gradient before Adam scales it. The published 1e-4 can
    outweigh that gradient (1e-3 and less for mixtures of many operations) and pull every decision back to uniform,
    whatever the learning rate."""
    lr_controller: Rate = 3.5e-4
    """reinforce: learning rate of the controller, which Adam trains with ``betas``."""


class SearchConfig(GameConfig):
    method: Method = "adversarial"
    """The search method. docs/methods.md says what each method does, and which settings it reads."""
    kimg: PositiveFloat = 1500.0
    """Length of a search in thousands of real images shown to the discriminator."""
    batch_size: Annotated[int, Field(ge=2)] = 60
    """Real images that a step takes for weights, and as many others for architectures (``halves``)."""
    batch_size_g: Annotated[int, Field(ge=2)] | None = None
    """Images that G makes in each of its own steps, on weights and on logits; None takes batch_size. Published for
    AdversarialNAS is twice the batch size."""
    halves: Literal["fixed", "per_batch"] = "fixed"
    """What keeps architectures from learning from the images that weights learn from. ``fixed`` cuts the data set in
    two; ``per_batch`` cuts every batch of twice the batch size in two, so that both see all images in the course of
    the search (as the published AdversarialNAS code)."""
    d_steps_per_g_step: PositiveInt = 5
    """Steps of the discriminator before each step of the generator."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of the search, at its beginning, during which the architecture parameters stay as they are."""
    relaxation: Relaxation | None = None
    """How architecture parameters become the weights of a mixture. None, which a file writes ``own``, takes the
    method's own: ``gumbel``, or none for a method that runs a single path."""
    temperature_start: PositiveFloat = 5.0
    """Temperature of the Gumbel relaxation at the first step."""
    temperature_end: PositiveFloat = 0.1
    """Temperature of the Gumbel relaxation where the search ends, one step behind the last."""
    temperature_schedule: Schedule = "exponential"
    """How the temperature falls in between."""
    logits_as_probabilities: bool = False
    """Gives probabilities to the Gumbel relaxation, which wants log-probabilities, as the published AdversarialNAS
    code did."""
    search_d: bool = True
    """False leaves the discriminator's architecture parameters as they start: only the generator is searched."""
    unrolled: bool = False
    """adversarial: differentiate through one step of the weights (second order), at about 2.5 times the cost."""
    gap_inner_steps: PositiveInt = 3
    """duality_gap: steps of the worst opponents before each update; published are 22 steps before every 20 updates."""
    reward: Literal["fid", "is"] = "fid"
    """reinforce: the reward, minus the log of the Frechet distance or the published Inception Score."""
    reward_images: Annotated[int, Field(ge=20)] = 1000
    """reinforce: generated images behind one reward; published are 5000."""
    controller_phases: PositiveInt | None = None
    """reinforce: how often in a search the controller learns; published is 65. None takes 20, or the number of the
    generator's steps if that is smaller."""
    controller_steps: Annotated[int, Field(ge=2)] = 30
    """reinforce: steps of the controller in a phase, each with one reward."""
    controller_samples: PositiveInt = 10
    """reinforce: architectures that are sampled and scored after a phase; the best is the genotype from then on."""
    beam: PositiveInt = 5
    """reinforce: how many of the best sampled architectures the next level starts from."""
    levels: PositiveInt | None = None
    """reinforce: number of growing image sizes, each twice the one before. None takes as many as keep the first at
    8 px or more."""
    reset_window: NonNegativeInt = 500
    """reinforce: number of latest losses whose variance tells whether training has come to rest; 0 never asks."""
    reset_variance: NonNegativeFloat = 1e-3
    """reinforce: a variance of either network's losses below it makes the weights start anew (dynamic reset)."""

    @property
    def latents_g(self) -> int:
        """How many images G makes in each of its own steps."""
        return self.batch_size_g or self.batch_size

    @property
    def relaxation_in_force(self) -> str | None:
        """The relaxation that the study names, else the method's own; None where the method runs a single path."""
        return self.relaxation or METHODS[self.method].relaxation

    @field_validator("relaxation", mode="before")
    @classmethod
    def _own_is_none(cls, value: object) -> object:
        return None if value == OWN else value


class DeriveConfig(Value):
    """How a genotype follows from the architecture parameters.

    By default it takes the most probable choice of each decision, and repairs a node that would be without input.
    """

    exclude_none: bool = False
    """Never derive ``none``: each edge takes its most probable operation (DARTS, Liu et al., ICLR 2019, section 2.4).
    What ``reinforce`` and ``random`` have picked themselves stays as it is."""
    max_skips_per_cell_g: NonNegativeInt | None = None
    """As ``max_skips_per_cell_d``, of the generator."""
    max_skips_per_cell_d: NonNegativeInt | None = None
    """At most so many edges of each cell of the discriminator are ``skip``; None sets no limit. The
    least probable skips give way to the next most probable operation of their edge (P-DARTS, Chen et al., ICCV 2019,
    search space regularization; DARTS+ counts so)."""
    max_params_g: PositiveInt | None = None
    """As ``max_params_d``, of the generator."""
    max_params_d: PositiveInt | None = None
    """Trainable parameters that the derived discriminator may have at the widths of ``[model]``; None sets
    no limit. The genotype is then the most probable connected genotype within all limits: it has the greatest sum of
    log-probabilities, and is found exactly."""
    max_macs_g: PositiveInt | None = None
    """As ``max_macs_d``, of the generator."""
    max_macs_d: PositiveInt | None = None
    """As ``max_params_d``, of multiply-accumulates for one image. (FBNet, Wu et al., CVPR 2019, and its kin put a term
    into the loss instead, which makes small networks likely but promises none.)"""
    samples: NonNegativeInt = 0
    """At each evaluation, draw so many genotypes of the generator from the softmax of the architecture parameters,
    score them and the most probable genotype with inherited weights, and keep the best by FID (as ENAS derives, Pham
    et al., ICML 2018, section 2.2). 0 keeps the most probable genotype. Each draw costs one more scoring with
    ``metrics.n_fake_search`` images."""
    perturbation: bool = False
    """At the last evaluation, derive the generator by what the supernet misses most (DARTS-PT, Wang et al., ICLR 2021,
    algorithm 1): decision by decision in random order, each choice is taken out of the mixture in turn, and the choice
    whose absence raises the mixture's FID most is kept. It costs one scoring for each choice."""
    tune_steps: NonNegativeInt = 0
    """With ``perturbation``: steps of both networks' weights after each decision, so that the supernet adapts to it.
    The weights return to what they were once the genotype is derived."""


class RemediesConfig(Value):
    """Remedies for known failures of differentiable search; docs/remedies.md says when to use which."""

    auxiliary_skip: NonNegativeFloat = 0.0
    """b at the first step: each edge on which ``skip`` is still a choice adds b * x to its mixture, and b falls
    linearly to 0 at the last step; evaluations have none (DARTS-, Chu et al., ICLR 2021: the auxiliary skip connection
    with decay rate beta, there from 1). For mixtures only: a single path has no architecture weights that a skip could
    dominate."""
    entropy_weight: NonNegativeFloat = 0.0
    """Weight of a penalty in the loss of a network's architecture parameters: the mean over its decisions of entropy /
    log(number of choices), 0 to 1. The weight grows linearly from 0 at the end of the warm-up to this value at the
    last step (DA2S, Tian et al., Pattern Recognition 2021, whose loss term is an entropy under a growing continuation
    function)."""
    zero_one_weight: NonNegativeFloat = 0.0
    """Weight of the penalty -mean((p - 0.5)^2) over a network's choices (Fair DARTS, Chu et al., ECCV 2020, zero-one
    loss). There p is a sigmoid for each choice; here it is the softmax, so the terms of a decision with n choices sum
    to -(sum(p^2) - 1 + n / 4): the loss favours one sure choice, and its gradient is 0 where all are equally likely."""
    cost_weight_g: NonNegativeFloat = 0.0
    """Weight of the generator's expected cost, divided by that at uniform probabilities (so it is 1 at the start), in
    the loss of the generator's architecture parameters from the end of the warm-up (ProxylessNAS, Cai et al., ICLR
    2019, section 3.3: expected latency, the sum of p times cost)."""
    cost_weight_d: NonNegativeFloat = 0.0
    """The same for the discriminator and its own cost."""
    cost: Literal["macs", "params"] = "macs"
    """What both cost weights count, at the widths of the search."""
    shrink_at: tuple[Fraction, ...] = ()
    """At each of these parts of the search every decision loses its least probable choice, for good and with its
    computation, unless no choice or no connected network would be left (progressive shrinking: P-DARTS, Chen et al.,
    ICCV 2019, section 3.2; ASAP, Noy et al., AISTATS 2020). The parts increase and lie behind the warm-up."""

    @property
    def penalised(self) -> bool:
        """Whether a penalty is added to the loss of the architecture parameters."""
        return any((self.entropy_weight, self.zero_one_weight, self.cost_weight_g, self.cost_weight_d))

    @property
    def on(self) -> bool:
        """Whether the search differs from a search without remedies."""
        return self.penalised or bool(self.auxiliary_skip or self.shrink_at)

    @field_validator("shrink_at")
    @classmethod
    def _increases(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(after <= before for before, after in itertools.pairwise(value)):
            raise ValueError(f"shrink_at = {list(value)} does not increase; did you mean {sorted(set(value))}?")
        return value


class ComputeConfig(Value):
    """How networks are computed; results differ by rounding only, and every trial's row says what was used."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """Of activations and convolutions. Weights, spectral norms, architecture parameters, losses and optimisers stay
    float32."""
    channels_last: bool | None = None
    """Memory layout of activations and kernels; None takes it from 16 px on, where it pays."""
    merge: bool = True
    """Compute what the operations of a mixture have in common once; False calls each operation by itself."""
    compile: bool = False
    """``torch.compile``: a minute or more before the first step. Not for single paths, each of which is another
    network."""


class TuneConfig(Value):
    num_trials: PositiveInt = 16
    """Searches, each with settings of its own."""
    max_evaluations: PositiveInt = 10
    """Evaluations of a trial that runs to its end, spread evenly over its kimg."""
    objectives: Objectives = ("fid",)
    """What is to be low: ``fid``, by which trials are ranked, and at most one cost of the derived networks beside it,
    such as ``macs_g``."""
    searcher: Literal["tpe", "nsga2", "random"] = "tpe"
    """Who proposes settings: Optuna's TPE; with two objectives also its NSGA-II; or random draws."""
    startup_trials: PositiveInt = 10
    """Random proposals before TPE models anything; the size of a generation of NSGA-II, the first of which is
    random."""
    scheduler: Literal["asha", "none"] = "asha"
    """Who stops poor trials early."""
    prune_by: Literal["fid", "front"] = "fid"
    """How ASHA ranks the trials at a rung: by score, or by how many fronts of both objectives lie before theirs."""
    grace_evaluations: PositiveInt | None = None
    """Evaluations before ASHA may stop a trial; None takes max_evaluations / 8, rounded up."""
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0
    """ASHA keeps one in so many trials at each rung."""
    cpus_per_trial: PositiveFloat = 1.0
    """Processors that a trial holds."""
    gpus_per_trial: NonNegativeFloat = 0.0
    """GPUs of a trial: a part of one GPU, or a whole number."""
    max_concurrent: PositiveInt | None = None
    """Trials side by side at most; None: as many as the resources hold. 1 makes a study repeatable."""
    threads: PositiveInt | None = None
    """torch threads of a trial; None takes its CPUs, rounded down, at least 1."""
    max_failures: NonNegativeInt = 2
    """Restarts of a trial whose process or node died."""
    checkpoints: Annotated[int, Field(ge=1)] = 2
    """Newest checkpoints kept of each trial."""

    @model_validator(mode="after")
    def _two_objectives_where_they_are_weighed(self) -> Self:
        weighed = {"searcher": self.searcher == "nsga2", "prune_by": self.prune_by == "front"}
        for key, weighs in weighed.items():
            if weighs and self.cost is None:
                raise ValueError(
                    f'{key} = "{getattr(self, key)}" with objectives = {list(self.objectives)}: it weighs a score '
                    f'against a cost; set objectives = ["fid", "macs_g"], or leave {key} out'
                )
        if self.searcher == "nsga2" and self.startup_trials < 2:
            raise ValueError(
                f'startup_trials = {self.startup_trials} with searcher = "nsga2": it is the size of a generation, and '
                "a proposal has two parents; set it to 2 or more"
            )
        return self

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"a share of one GPU (such as 0.5) or a whole number; the nearest is {round(value)}")
        return value

    @property
    def cost(self) -> str | None:
        """The objective beside the score; None where the score is the only one."""
        return self.objectives[1] if len(self.objectives) > 1 else None

    @property
    def trial_threads(self) -> int:
        """torch threads of a trial."""
        return self.threads or max(1, int(self.cpus_per_trial))

    @property
    def grace(self) -> int:
        """Evaluations before ASHA may stop a trial, or after which trials are compared where nothing stops them."""
        return min(self.grace_evaluations or -(-self.max_evaluations // 8), self.max_evaluations)


class RetrainConfig(GameConfig, WeightsConfig):
    kimg: PositiveFloat = 16000.0
    """Length of a retraining in thousands of real images shown to the discriminator."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Images of a step of the discriminator."""
    batch_size_g: Annotated[int, Field(ge=2)] | None = None
    """Generated images of a step of the generator; None takes batch_size."""
    d_steps_per_g_step: PositiveInt = 5
    """Steps of the discriminator before each step of the generator."""
    discriminator: Literal["derived", "fixed"] = "derived"
    """``fixed`` is the AutoGAN discriminator, the published protocol."""
    channels_g: PositiveInt | None = None
    """Width of the generator in channels; None takes the search's, here and in the next four."""
    channels_d: PositiveInt | None = None
    """Width of the discriminator in channels."""
    latent_dim: PositiveInt | None = None
    """Length of the noise vector z."""
    norm_g: Literal["space", "none", "batch"] | None = None
    """Normalisation in the generator's DAG cells; ``space``: whatever the space says."""
    head_d: Literal["sum", "flatten"] | None = None
    """What comes before the discriminator's linear layer."""
    evaluations: PositiveInt = 10
    """Checkpoints and scores (at n_fake_search) on the way; the best of them is scored at n_fake_final."""


class RaceConfig(Value):
    grace: Annotated[float, Field(gt=0, le=1)] = 0.125
    """Part of a retraining before which a race stops no candidate."""
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0
    """A race keeps one in so many candidates at each rung."""


class ResultsConfig(Value):
    grids: NonNegativeInt = 8
    """Images at each evaluation are kept of so many trials, the best, and of those that run; 0 keeps none, of
    retrainings neither."""


class TrialSections(Value):
    """All settings of a trial, each legal by itself; a ``TrialConfig`` is one in which they also fit together."""

    space: str = "adversarialnas"
    """Name or file of the search space; ``G/D`` takes each network's part from a space of its own."""
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0
    """Seed of all random streams, below 2^32."""
    model: ModelConfig = ModelConfig()
    search: SearchConfig = SearchConfig()
    optim: OptimConfig = OptimConfig()
    derive: DeriveConfig = DeriveConfig()
    compute: ComputeConfig = ComputeConfig()
    remedies: RemediesConfig = RemediesConfig()
