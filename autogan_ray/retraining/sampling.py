"""Images from a retrained generator, written to files or scored again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.base.folders import check_writable
from autogan_ray.config.overrides import relocate
from autogan_ray.config.study import StudyConfig
from autogan_ray.retraining.generator_file import load_generator


def write_images(checkpoint: Path, num: int, out: Path, seed: int, label: int | None) -> int:
    """Draws ``num`` images and writes them to ``out`` as 8-bit PNG files; returns their number.

    Args:
        checkpoint: the generator's file, or the folder of its retraining.
        seed: of z and of the layers' noise.
        label: the class of all images; None draws classes as often as they occur in the data.

    Raises:
        ResultsError: ``checkpoint`` is no generator of this project.
        ConfigError: the generator has no class ``label``; nothing can be written to ``out``.
    """
    import torch
    from PIL import Image

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
    for index, batch in enumerate(z.split(256)):
        with torch.no_grad(), layer_noise(stream_seed(seed, "generate noise", index), torch.device("cpu")):
            images = to_uint8(generator(batch)).numpy()
        for image in images:
            pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            Image.fromarray(pixels).save(out / f"{done:06}.png")
            done += 1
    return done


def score_again(checkpoint: Path, num: int | None, overrides: Sequence[str] = ()) -> tuple[str, float | None, int]:
    """Scores a generator by the protocol of the study in whose folder it lies.

    Args:
        num: number of fake images; None takes the study's final number.
        overrides: ``key=value`` of where files lie now (:func:`autogan_ray.config.overrides.relocate`).

    Returns the metric's name, the score (None where the images are not finite), and the number of fake images.

    Raises:
        ResultsError: ``checkpoint`` is no generator of this project, or lies in no study's folder; or the images are
            not those of the study.
        ConfigError: an override of anything else than a place.
    """
    from autogan_ray.metrics.evaluation import Evaluator, Protocol
    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.metrics.features import Extractor
    from autogan_ray.metrics.measure import prepare
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.study.study_file import check_same_data

    generator = load_generator(checkpoint)
    folder = next((parent for parent in checkpoint.resolve().parents if (parent / "studies.parquet").is_file()), None)
    if folder is None:
        raise ResultsError(f"{checkpoint} lies in no study's folder, so there is no protocol to score it by")
    stored = load_study(folder)
    config = stored.config
    relocate(config, overrides)
    study = StudyConfig.parse(config, str(folder), ConfigError)
    measure = prepare(study.data, study.metrics)
    check_same_data(stored.studies.iloc[0], measure.data, folder)
    protocol = Protocol.of(study, num or study.metrics.n_fake_final)
    evaluator = Evaluator(Extractor(measure.extractor), measure.real, protocol, "cpu")
    score = evaluator.score(generator, generator.latents, kid=False)
    return metric_label(measure.extractor.name), score.fid, protocol.n_fake
