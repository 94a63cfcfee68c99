"""What runs in the processes of the quality row: the real images and their classifier, the search, a retraining."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_stages.budget import MARGIN
from gpu_stages.sizes import Sizes
from gpu_stages.subjects import TF32, Form, arithmetic, retraining_job, study_of

if TYPE_CHECKING:
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.metrics.measure import Measure

PUBLISHED = "autogan-a"


def quality_study(sizes: Sizes, cifar: Path | None, settings: Mapping[str, Any]) -> StudyConfig:
    given: dict[str, Any] = {"metrics.extractor": "classifier", "metrics.n_fake_search": sizes.fakes}
    given |= {"data.image_size": sizes.image_size_retrained}
    if cifar is not None:
        given |= {"data.source": f"parquet:{cifar}", "data.limit": sizes.images}
        given |= {"data.channels": sizes.channels}
    return study_of(sizes, {**sizes.quality, **given, **settings})


def measured_against(study: StudyConfig) -> Measure:
    """The images, the classifier and the real statistics: from the cache, once :func:`prepare` has been through."""
    from autogan_ray.metrics.measure import prepare as prepared

    return prepared(study.data, study.metrics, "cpu")


def prepare(sizes: Sizes, cifar: Path | None, seconds: float) -> Iterator[dict[str, Any]]:
    """The job that trains the classifier and finds the real statistics. It takes its time: ``seconds`` is not read."""
    import torch

    from autogan_ray.metrics.measure import floor

    torch.set_num_threads(1)
    begin = time.perf_counter()
    measure = measured_against(quality_study(sizes, cifar, {}))
    yield {
        "images": len(measure.data),
        "data_digest": measure.data.digest,
        "extractor_digest": measure.extractor.digest,
        "floor_fd_classifier": floor(measure.real),
        "n_fake": sizes.fakes,
        "prepare_s": time.perf_counter() - begin,
    }


def search(sizes: Sizes, cifar: Path | None, form: Form, seconds: float) -> Iterator[dict[str, Any]]:
    """The job of as long a search as its first iterations say will fit, with a score now and then."""
    begin = time.perf_counter()
    from autogan_ray.metrics.evaluation import Evaluator, Protocol
    from autogan_ray.metrics.features import Extractor
    from autogan_ray.search.loop import SearchLoop
    from autogan_ray.spaces.load import load_space

    settings = {"search.relaxation": form.relaxation, **form.settings(), "space": "adversarialnas"}
    study = quality_study(sizes, cifar, settings)
    metrics = study.metrics
    measure = measured_against(study)
    protocol = Protocol(metrics.n_fake_search, metrics.batch_size, metrics.bn_batches, study.seed)
    evaluator = Evaluator(Extractor(measure.extractor, sizes.device), measure.real, protocol, sizes.device)

    def loop_of(kimg: float) -> SearchLoop:
        return SearchLoop(
            study.trial({"search.kimg": kimg}, 0),
            load_space(study.space),
            measure.data,
            evaluator,
            evaluations=sizes.points,
            supernet_every=sizes.points,
            device=sizes.device,
        )

    with arithmetic(form.arithmetic):
        trying = loop_of(1000.0)
        step_s = _seconds_a_step(trying, study.search.d_steps_per_g_step)
        before = time.perf_counter()
        trying.scorer.derived(trying.net.genotype())
        scoring_s = sizes.points * (time.perf_counter() - before)
        del trying
        left_s = min(sizes.search_s, seconds - (time.perf_counter() - begin))
        steps = max(2 * sizes.points, int(MARGIN * max(0.0, left_s - scoring_s) / step_s))
        start = time.perf_counter()
        for record in loop_of(steps * study.search.batch_size / 1e3).records():
            known = ("evaluation", "kimg", "entropy_g", "entropy_d", "loss_g", "loss_d", "images_per_s", "peak_mem_mib")
            yield {name: getattr(record, name) for name in known} | {
                "form": form.name,
                "planned_kimg": steps * study.search.batch_size / 1e3,
                "fd_classifier": None if record.diverged else record.fid,
                "mixture_fd_classifier": record.fid_supernet,
                "search_s": time.perf_counter() - start,
                "genotype": record.genotype.to_dict(),
            }


def _seconds_a_step(loop: Any, d_steps: int) -> float:
    """Of D, with its part of G's step. The first iteration is not counted, as kernels are chosen in it."""
    import torch

    for _ in range(d_steps):
        loop.step()
    if loop.device.type == "cuda":
        torch.cuda.synchronize(loop.device)
    begin = time.perf_counter()
    for _ in range(2 * d_steps):
        loop.step()
    if loop.device.type == "cuda":
        torch.cuda.synchronize(loop.device)
    return (time.perf_counter() - begin) / (2 * d_steps)


def retrain(
    sizes: Sizes, cifar: Path | None, name: str, genotype: dict[str, Any] | None, seconds: float
) -> Iterator[dict[str, Any]]:
    """The job that trains for a time, not for a number of images, and scores the average at even intervals of it."""
    begin = time.perf_counter()
    import torch

    from autogan_ray.retraining.training import Retraining
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.spaces.load import load_space
    from autogan_ray.spaces.published import load_genotype

    if sizes.device == "cpu":
        torch.set_num_threads(1)
    form = Form(TF32)  # as the package computes unless told otherwise
    study = quality_study(sizes, cifar, form.settings())
    measure = measured_against(study)
    if genotype is not None:
        chosen = Genotype.from_dict(genotype)
    elif name == PUBLISHED:
        chosen = load_genotype(PUBLISHED)
    else:
        chosen = load_space("adversarialnas").random(sizes.image_size_retrained, 0)
    job = retraining_job(sizes, chosen, study, name)
    with arithmetic(form.arithmetic):
        retraining = Retraining(job, measure)
        loop = retraining.loop

        def curve_point() -> dict[str, Any]:
            fid = retraining.score(loop.ema.network)
            spent = time.perf_counter() - start
            figure = {"kimg": loop.kimg, "retrain_s": spent, "fd_classifier": fid, "average": "ema"}
            return figure | {"form": form.retraining_name, "genotype_id": chosen.genotype_id}

        start = time.perf_counter()
        yield curve_point()
        length_s = min(sizes.retrain_s, seconds - (time.perf_counter() - begin))
        start = time.perf_counter()
        for point in range(1, sizes.points + 1):
            while time.perf_counter() - start < length_s * point / sizes.points:
                loop.step()
                if loop.device.type == "cuda" and loop.step_d % 10 == 0:  # the clock must not run ahead of the GPU
                    torch.cuda.synchronize(loop.device)
            yield curve_point()
