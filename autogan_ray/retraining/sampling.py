"""Images from a retrained generator: as files, or scored again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.base.folders import check_writable
from autogan_ray.config.study import StudyConfig


def write_images(checkpoint: Path, num: int, out: Path, seed: int, label: int | None = None) -> int:
    """Write ``num`` PNG files, 8-bit.

    Args:
        label: draw this class only; None draws classes as often as the data has them.

    Raises:
        ResultsError: a checkpoint that is none.
        ConfigError: a class that the generator has not; a folder that cannot be written to.
    """
    import torch
    from PIL import Image

    from autogan_ray.retraining.generator_file import load_generator
    from autogan_ray.training.streams import layer_noise, stream, stream_seed, to_uint8

    generator = load_generator(checkpoint)
    classes = generator.latents.classes
    if label is not None and label >= classes:
        rule = f"its classes are 0 to {classes - 1}" if classes else "it is not class-conditional"
        raise ConfigError(f"--class {label}: {checkpoint} has no such class; {rule}")
    z = generator.latents.draw(num, stream(seed, "generate"), label)
    check_writable(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    done = 0
    for index, part in enumerate(z.split(256)):
        with torch.no_grad(), layer_noise(stream_seed(seed, "generate noise", index), torch.device("cpu")):
            images = to_uint8(generator(part)).numpy()
        for image in images:
            pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            Image.fromarray(pixels).save(out / f"{done:06}.png")
            done += 1
    return done


def score_again(checkpoint: Path, num: int | None) -> tuple[str, float | None, int]:
    """(metric's name, score, number of fakes) by the protocol of the study whose folder the checkpoint lies in."""
    from autogan_ray.metrics.evaluation import Evaluator, Protocol
    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.metrics.features import Extractor
    from autogan_ray.metrics.measure import prepare
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.retraining.generator_file import load_generator

    generator = load_generator(checkpoint)
    folder = next((one for one in checkpoint.resolve().parents if (one / "studies.parquet").is_file()), None)
    if folder is None:
        raise ResultsError(f"{checkpoint} lies in no study's folder, so there is no protocol to score it by")
    config = StudyConfig.parse(load_study(folder).config, str(folder), ConfigError)
    measure, metrics = prepare(config.data, config.metrics), config.metrics
    wanted = num or metrics.n_fake_final
    protocol = Protocol(metrics.n_fake_search, metrics.batch_size, metrics.bn_batches, config.seed)
    evaluator = Evaluator(Extractor(measure.extractor), measure.real, replace(protocol, n_fake=wanted), "cpu")
    score = evaluator.score(generator, generator.latents, kid=False)
    return metric_label(measure.extractor.name), score.fid, wanted
